import subprocess
import sys

import pytest

from toto_robot.ground.errors import UserError
from toto_robot.ground.resume import check_resumable, differences, flat

SETTINGS = {"seed": 0, "optim": {"lr": 0.1, "betas": [0.9, 0.95]}, "run": "a"}


def test_equal_settings_may_resume_whatever_the_order_of_their_keys():
    backwards = {key: SETTINGS[key] for key in reversed(SETTINGS)}
    assert differences(SETTINGS, backwards) == []
    check_resumable("run a", SETTINGS, backwards)


def test_every_key_that_differs_is_named_with_both_values():
    other = {"seed": 1, "optim": {"lr": 0.1, "betas": [0.9, 0.99]}, "run": "a"}
    assert differences(SETTINGS, other) == [
        "optim.betas was [0.9, 0.95] and is [0.9, 0.99]",
        "seed was 0 and is 1",
    ]
    with pytest.raises(UserError, match=r"^run a was written with other settings: optim\.betas was .*; seed was 0 and"):
        check_resumable("run a", SETTINGS, other)


def test_a_message_names_four_differences_and_counts_the_others():
    with pytest.raises(UserError, match=r"a was 0 and is 1; .*d was 0 and is 1; and 2 more\. Resume"):
        check_resumable("run a", dict.fromkeys("abcdef", 0), dict.fromkeys("abcdef", 1))


def test_ignored_keys_and_everything_inside_of_them_may_differ():
    other = {"seed": 0, "optim": {"lr": 0.2, "betas": [0.9, 0.95]}, "run": "b"}
    assert differences(SETTINGS, other, ignored=("run", "optim")) == []
    assert differences(SETTINGS, other, ignored=("run", "opt")) == ["optim.lr was 0.1 and is 0.2"]


def test_a_missing_key_differs_from_a_value_and_not_from_none():
    assert differences({"a": None}, {}) == []
    assert differences({}, {"a": {"b": 2}}) == ["a.b was None and is 2"]
    assert flat({"a": {"b": 2}, "c": 3}) == {"a.b": 2, "c": 3}


def test_the_ground_loads_neither_torch_nor_hydra():
    script = (
        "import sys, toto_robot.ground.resume, toto_robot.ground.average, toto_robot.ground.schedules\n"
        "sys.exit(bool({'torch', 'hydra'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0

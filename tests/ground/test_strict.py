import os
from dataclasses import dataclass, field

import pytest

from toto_robot.ground.errors import UserError
from toto_robot.ground.strict import DEEPEST, MOST_BYTES, build, dump_yaml, parse_yaml, read_bytes, read_yaml

BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30)
)


@dataclass
class Inner:
    width: int = 1
    name: str | None = None


@dataclass
class Outer:
    rate: float
    sizes: list[int] = field(default_factory=list)
    place: tuple[float, float, float] | None = None
    inner: Inner = field(default_factory=Inner)
    on: bool = False

    def __post_init__(self):
        if self.rate == 7:
            raise ValueError("seven is nobody's rate")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BOMB, "anchors and aliases are refused"),
        ("a: &x 1\n", "anchors and aliases"),
        ("a: {<<: {b: 1}, <<: {c: 1}}", "each key once"),
        ("a: 1\na: 2\n", "each key once, got 'a'"),
        ("? [1, 2]\n: 3\n", "key that is not text"),
        ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), "levels inside each other"),
        ("[" * 20_000, "not plain YAML"),
        ("!!python/object/apply:os.mkdir ['ran']", "could not determine a constructor"),
        ("a: " + "9" * 10_000, "not plain YAML"),
        ("a: [1, 2", "not plain YAML"),
    ],
)
def test_yaml_that_is_more_than_plain_values_is_one_sentence_at_once(text, words, tmp_path):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(UserError, match=words) as error:
        read_yaml(tmp_path / "x.yaml")
    assert str(tmp_path / "x.yaml") in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 600
    assert not (tmp_path / "ran").exists()


def test_only_regular_files_of_a_bounded_size_are_read(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "large").write_bytes(b"#" * (MOST_BYTES + 1))
    (tmp_path / "latin").write_bytes(b"\xff\xfe")
    (tmp_path / "link").symlink_to("/dev/zero")
    for name, words in (
        ("fifo", "a FIFO"),
        ("link", "a device"),
        ("large", "at most"),
        ("latin", "UTF-8"),
        (".", "a folder"),
        ("nothing", "No such file"),
    ):
        with pytest.raises(UserError, match=words):
            read_yaml(tmp_path / name)
    with pytest.raises(UserError, match="at most 3"):
        read_bytes(tmp_path / "latin.txt" if (tmp_path / "latin.txt").write_bytes(b"four") else "", most=3)


def test_what_is_dumped_is_read_back_also_where_one_list_stands_twice():
    same = [1.5, 1e-5, "yes", None, True]
    values = {"a": same, "b": {"c": same, "d": []}}
    assert parse_yaml(dump_yaml(values).encode(), "x") == values


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], "keys of a mapping"),
        ({}, "expected the key rate"),
        ({"rate": 1.0, "speed": 2}, "Unknown key in [^:]+: 'speed'. What exists: inner, on, place, rate, sizes"),
        ({"rate": "1"}, "x.rate: expected a number, got '1'"),
        ({"rate": True}, "x.rate: expected a number"),
        ({"rate": float("nan")}, "finite"),
        ({"rate": 10**400}, "x.rate"),
        ({"rate": 1.0, "sizes": 3}, "x.sizes: expected a list"),
        ({"rate": 1.0, "sizes": [1, 2.0]}, r"x.sizes\[1\]: expected a whole number"),
        ({"rate": 1.0, "sizes": [0] * 5000}, "at most"),
        ({"rate": 1.0, "place": [1, 2]}, "expected 3 entries, got 2"),
        ({"rate": 1.0, "inner": {"width": "x"}}, "x.inner.width: expected a whole number"),
        ({"rate": 1.0, "inner": None}, "x.inner"),
        ({"rate": 1.0, "on": 1}, "true or false"),
        ({"rate": 7}, "x: seven is nobody's rate"),
    ],
)
def test_a_dataclass_is_built_of_exact_types_only(values, words):
    with pytest.raises(UserError, match=words):
        build(Outer, values, "x")


def test_lists_become_what_the_dataclass_says_and_whole_numbers_may_stand_for_others():
    made = build(Outer, {"rate": 2, "place": [1, 2, 3], "inner": {"width": 4, "name": None}}, "x")
    assert made == Outer(2.0, place=(1.0, 2.0, 3.0), inner=Inner(4)) and isinstance(made.rate, float)

"""A folder that hides one of our packages ends a command with one sentence, and changes nothing for others."""

import os
import subprocess
import sys

import pytest

from toto_robot.ground import siblings
from toto_robot.ground.siblings import HOME, PACKAGES


def python(folder, *words):
    """The finished Python in `folder`, which finds this project as an installed one."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(HOME)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_nothing_hides_our_packages_here():
    assert siblings.shadowed() is None


@pytest.mark.parametrize("name", PACKAGES)
def test_a_command_beside_a_folder_of_that_name_ends_with_one_sentence(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    done = python(tmp_path, "-m", "toto_robot.evaluate", "--help")
    assert done.returncode == 2 and done.stdout == "" and len(done.stderr.splitlines()) == 1
    assert str(tmp_path / name) in done.stderr and f"the package {name} of toto_robot" in done.stderr


def test_a_folder_without_modules_hides_an_editable_installation_too(tmp_path, monkeypatch):
    (tmp_path / "envs").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "envs", raising=False)
    assert str(tmp_path / "envs") in (siblings.shadowed("envs") or "")


def test_a_program_with_an_envs_of_its_own_may_use_toto_robot(tmp_path):
    (tmp_path / "envs.py").write_text("mine = 1\n")
    (tmp_path / "theirs.py").write_text(
        "import envs, toto_robot, gymnasium\n"
        "try:\n    gymnasium.make('toto_robot/FrankaPick-v0')\n"
        "except ImportError as error:\n    print(envs.mine, error)\n"
    )
    done = python(tmp_path, "-m", "theirs")
    assert done.stderr == "" and done.stdout.startswith("1 ") and "hides the package envs" in done.stdout

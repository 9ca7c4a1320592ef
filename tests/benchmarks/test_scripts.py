"""Every benchmark script: its help, its mistakes, and that it is not installed."""

import runpy
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = {"__init__", "alternation", "machine"}
SCRIPTS = sorted({path.stem for path in (ROOT / "benchmarks").glob("*.py")} - TOOLS)


def ended(monkeypatch, script, *argv):
    """Exit code of the script, run in this process."""
    if script == "windows":
        pytest.importorskip("h5py", reason="h5py is an extra")
        pytest.importorskip("pyarrow", reason="pyarrow is an extra")
    monkeypatch.setattr(sys, "argv", [script, *argv])
    monkeypatch.delitem(sys.modules, f"benchmarks.{script}", raising=False)
    with pytest.raises(SystemExit) as end:
        runpy.run_module(f"benchmarks.{script}", run_name="__main__", alter_sys=True)
    return end.value.code


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_is_the_docstring_and_a_wrong_key_says_what_exists(monkeypatch, capsys, script):
    assert ended(monkeypatch, script, "--help") == 0
    said = capsys.readouterr().out
    assert f"python -m benchmarks.{script} [" in said and f"usage: python -m benchmarks.{script} " in said
    assert ended(monkeypatch, script, "secnds=1") == 2
    assert "Unknown key 'secnds'" in capsys.readouterr().err


def test_a_wrong_value_is_one_sentence(monkeypatch, capsys):
    assert ended(monkeypatch, "encoder", "threads=many") == 2
    said = capsys.readouterr().err
    assert said.startswith("error: threads=many: expected a value of type int, such as ") and said.count("\n") == 1


@pytest.mark.parametrize("script", sorted(set(SCRIPTS) - {"look_check"}))
def test_every_script_that_measures_speed_uses_the_one_harness(script):
    """look_check counts verdicts and measures no speed."""
    text = (ROOT / "benchmarks" / f"{script}.py").read_text()
    assert "alternate(" in text and "joined(" in text


def test_the_benchmarks_are_not_installed():
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    assert not [pattern for pattern in found if pattern.startswith(("benchmarks", "*", "tests"))]

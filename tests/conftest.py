import os
import runpy
import subprocess
import sys
import warnings
from pathlib import Path

import hypothesis
import pytest

import envs  # noqa: F401 (before anything imports mujoco, so that it chooses the GL of a machine without a display)

hypothesis.settings.register_profile("busy machine", deadline=None)  # how long an example takes is not what is tested
hypothesis.settings.load_profile("busy machine")


@pytest.fixture(scope="session")
def command_process():
    """command_process(folder, MODULE, *argv) runs a command of this checkout in a folder: the finished process."""

    def run(folder, module, *argv):
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        command = [sys.executable, "-m", module, *map(str, argv)]
        return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=env, timeout=300)

    return run


@pytest.fixture
def compose_command(monkeypatch):
    """compose_command(MODULE, arguments) checks a command's keys and values, up to where the command would start."""
    from toto_robot import command

    def compose(module, arguments):
        monkeypatch.setattr(
            command, "run", lambda fn, schema, name, positional=(): command.compose(schema, name, arguments, positional)
        )
        monkeypatch.setattr(sys, "argv", [module, *arguments])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # the module has been imported before
            runpy.run_module(module, run_name="__main__")

    return compose

import os
import subprocess
import sys
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

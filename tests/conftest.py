import runpy
import sys
import warnings
from pathlib import Path

import hypothesis
import pytest

import envs  # noqa: F401 (before anything imports mujoco, so that it chooses the GL of a machine without a display)

sys.path.insert(0, str(Path(__file__).parent))  # fork_server, pace
from fork_server import ForkServer
from pace import arrange

hypothesis.settings.register_profile("busy machine", deadline=None)  # how long an example takes is not what is tested
hypothesis.settings.load_profile("busy machine")


def pytest_collection_modifyitems(items):
    arrange(items)


@pytest.fixture(scope="session")
def fork_server():
    """Starts commands of this checkout, each in a process of its own."""
    server = ForkServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def command_process(fork_server):
    """command_process(folder, MODULE, *argv) runs a command of this checkout in a folder: the finished process."""
    return fork_server.run


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

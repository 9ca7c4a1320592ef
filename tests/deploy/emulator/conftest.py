import pytest
from emulated import Running


@pytest.fixture(scope="module")
def lockstep():
    """An emulator in lockstep whose time runs free. `fresh` resets it."""
    emulator = Running("--clock", "lockstep")
    emulator.run_free()
    yield emulator
    emulator.close()

"""The real panda_py (libfranka 0.9, protocol 5) against the emulator.

TOTO_ROBOT_PANDA_PYTHON names the interpreter of an environment that has panda-python, where this one has none.
"""

import importlib.util
import os
import shutil
import sys

import numpy as np
import pytest
from emulated import Running

PYTHON = os.environ.get("TOTO_ROBOT_PANDA_PYTHON") or (sys.executable if importlib.util.find_spec("panda_py") else None)


@pytest.mark.skipif(PYTHON is None, reason="panda-python is not installed")
@pytest.mark.skipif(shutil.which("gcc") is None, reason="the model library needs gcc")
def test_panda_py_loads_the_model_holds_the_arm_and_moves_the_gripper():
    emulator = Running("--protocol", "5", "--clock", "lockstep")
    try:
        emulator.run_free()
        s = emulator.client("panda", "all_of_it", python=PYTHON)
        assert emulator.console.ask("counters")["violations"] == []
    finally:
        emulator.close()
    assert np.allclose(s["pose"], s["fk"], atol=1e-3)  # its own closed form of the Panda's kinematics
    assert s["mode"] == "kMove" and np.allclose(s["held"], s["q"], atol=1e-2)
    assert s["move"] and abs(s["width"] - 0.05) < 1e-3

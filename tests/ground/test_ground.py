"""The ground room stays light: every room of every package imports it."""

import subprocess
import sys
from pathlib import Path

import pytest

import toto_robot.ground

MODULES = sorted(p.stem for p in Path(toto_robot.ground.__file__).parent.glob("[a-z]*.py"))


@pytest.mark.parametrize("module", MODULES)
def test_a_module_of_the_ground_loads_neither_torch_nor_hydra(module):
    check = f"import sys, toto_robot.ground.{module}; sys.exit(bool({{'torch', 'hydra'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0

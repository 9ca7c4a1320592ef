import shutil
import sys
from pathlib import Path

import pytest

from policies.fit.folder import EMBEDDED
from toto_robot import add_look

sys.path.insert(0, str(Path(__file__).parent))  # stage


@pytest.fixture(scope="session")
def policy_of_one_look(tmp_path_factory) -> str:
    """bc_cube with the look statistics of a policy that was trained in the nominal look alone."""
    folder = tmp_path_factory.mktemp("policy") / "one_look"
    shutil.copytree(EMBEDDED / "bc_cube", folder)
    add_look.main(add_look.AddLookConfig(policy=str(folder), episodes=12))
    return str(folder)

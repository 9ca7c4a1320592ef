import sys
from pathlib import Path

import pytest

from demos import DemoWriter

sys.path.insert(0, str(Path(__file__).parent))  # sample_set
from sample_set import attrs, episode


@pytest.fixture
def three(tmp_path):
    """A set of three episodes with seeds 0, 1, 2 and lengths 11, 300 (two shards), 5."""
    path = tmp_path / "set"
    with DemoWriter(path, attrs()) as writer:
        for seed, length in enumerate((11, 300, 5)):
            writer.append(episode(seed, length), {"seed": seed, "index": seed})
    return path

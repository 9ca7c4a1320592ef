"""The list of slow tests names tests that exist, and the soak holds at most one test in twenty."""

from pathlib import Path

import pace
import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", [*pace.SLOW, *pace.SOAK, *pace.PARALLEL_IN_DEPLOY])
def test_a_listed_test_exists(name):
    file, _, function = name.partition("::")
    assert (ROOT / file).exists()
    assert not function or f"def {function.partition('[')[0]}(" in (ROOT / file).read_text()


def test_a_name_is_listed_by_its_folder_its_file_or_itself():
    assert pace.listed("tests/tokens/training/test_vqgan.py::test_x[1]") == pace.SLOW["tests/tokens/training"]
    assert pace.listed("tests/test_arrow.py::test_x") == pace.SLOW["tests/test_arrow.py"]
    assert pace.listed("tests/test_generate.py::test_x") > 0 == pace.listed("tests/test_rooms.py::test_x")


def test_the_soak_is_a_small_part_of_the_suite():
    written = sum(path.read_text().count("\ndef test_") for path in (ROOT / "tests").rglob("test_*.py"))
    assert len(pace.SOAK) < 0.05 * written

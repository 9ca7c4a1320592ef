"""A damaged file of any format loads, or gives one sentence: no crash, no hang, no memory out of proportion, no code.

A few examples for each format. tests/soak/mutations.py has 1,000 and more.
"""

import pytest
from hostile_files import FORMATS, KINDS, Readers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toto_robot.ground.workers import Worker, close

OPERATION = st.tuples(st.integers(0, KINDS - 1), st.floats(0, 0.999), st.floats(0, 1), st.integers(0, 2**31 - 1))


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    worker = Worker("a reader", Readers, str(tmp_path_factory.mktemp("files")))
    worker.result()
    yield worker
    close([worker])


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=st.lists(OPERATION, min_size=1, max_size=3), file=st.floats(0, 0.999))
def test_a_damaged_file_loads_or_is_refused_in_one_sentence(reader, name, operations, file):
    reader.call("outcome", name, operations, file)
    assert reader.answers(120), "the reader hangs"
    found = reader.result()
    assert found["kind"] in ("right", "other", "refused"), found


def test_what_is_whole_is_read_right(reader):
    for name in FORMATS:
        reader.call("outcome", name, [], 0.0)
        assert reader.result()["kind"] == "right", name

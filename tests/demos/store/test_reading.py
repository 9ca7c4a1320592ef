"""The reader of steps gives what zarr gives, from any layout, and refuses what zarr would fill in."""

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zarr.codecs import BloscCodec, ZstdCodec

from demos.errors import DemoError
from demos.store.reading import read

LAYOUTS = {
    "ours": dict(chunks=(4, 3), shards=(16, 3), compressors=ZstdCodec(level=3, checksum=True)),
    "columns apart": dict(chunks=(4, 1), shards=(16, 3), compressors=ZstdCodec()),
    "blosc": dict(chunks=(4, 3), shards=(16, 3), compressors=BloscCodec()),
    "not sharded": dict(chunks=(4, 3), compressors=ZstdCodec()),
    "not packed": dict(chunks=(4, 3), shards=(16, 3), compressors=None),
}


def make(path, layout, dtype="float32", steps=41):
    values = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 99, (steps, 3)).astype(dtype)
    array = zarr.create_array(
        str(path),
        name="x",
        shape=values.shape,
        dtype=dtype,
        fill_value=0,
        zarr_format=3,
        config={"write_empty_chunks": True},
        **LAYOUTS[layout],
    )
    array[:] = values
    return array, values


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    layout=st.sampled_from(list(LAYOUTS)),
    dtype=st.sampled_from(["uint8", "bool", "int64", "float32", "float64"]),
    ends=st.tuples(st.integers(0, 41), st.integers(0, 41)).map(sorted),
)
def test_any_span_of_any_layout_is_what_was_written(tmp_path_factory, layout, dtype, ends):
    path = tmp_path_factory.mktemp("set")
    array, values = make(path, layout, dtype)
    got = read(path, array, slice(*ends), "x")
    assert got.dtype == values.dtype and got.shape == (ends[1] - ends[0], 3)
    np.testing.assert_array_equal(got, values[slice(*ends)])


def test_a_chunk_that_was_never_written_is_damage_not_zeros(tmp_path):
    array, values = make(tmp_path, "ours")
    array.resize((60, 3))  # the last shard holds chunks for 9 of its 16 steps
    np.testing.assert_array_equal(read(tmp_path, array, slice(32, 41), "x"), values[32:41])
    with pytest.raises(DemoError, match="x can't be read: x/c/2/0 .* is damaged .*chunk 3 is not there"):
        read(tmp_path, array, slice(40, 46), "x")

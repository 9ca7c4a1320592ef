"""A foreign set that points outside itself is refused, in every format, and declares no more than its limits."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import zarr
from foreign_sets import episode, make, write_rpt

from demos import convert
from demos.errors import DemoError
from demos.formats import foreign_set, hdf5
from demos.formats.source import Options
from demos.store.demo_set import DemoSet
from toto_robot.ground.foreign import allowing

RATE = Options(hz=20.0)


def read_source(path, options):
    return foreign_set.read_checked(path, foreign_set.detect(path), options)


def write(kind, path):
    rng = np.random.default_rng(0)
    if kind == "rlds":
        demo = {"q": rng.normal(size=(5, 7)), "grip": np.zeros(5), "task": "pick", "image": [b""] * 5, "size": (8, 8)}
        return write_rpt(path, [demo])
    source = make([episode(rng, 6, cameras={"wrist": (16, 16)}) for _ in range(2)])
    foreign_set.module_of(kind).write(source, path, Options())
    return path


@pytest.mark.parametrize("kind", ["zarr", "lerobot", "diffusion_policy", "rlds"])
def test_a_folder_with_a_link_to_a_file_of_the_person_is_refused(tmp_path, kind):
    path = write(kind, tmp_path / "set")
    largest = max((p for p in path.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    shutil.move(largest, tmp_path / "private")
    largest.symlink_to(tmp_path / "private")
    with pytest.raises(DemoError, match=f"{largest.name} is a link to .*private, which lies outside of"):
        read_source(path, RATE)
    if kind == "zarr":
        with pytest.raises(DemoError, match="is a link to"):
            DemoSet(path)


def robomimic(path, **more):
    """A set of one demo; `more` replaces its members: a link, or a function that makes one."""
    with h5py.File(path, "w") as file:
        demo = file.create_group("data/demo_0")
        demo["actions"], demo["obs/robot0_joint_pos"] = np.zeros((5, 7)), np.ones((5, 7))
        for name, item in more.items():
            demo["obs"].pop(name, None)
            if callable(item):
                item(demo["obs"])
            else:
                demo["obs"][name] = item
    return path


def outside(path):
    """A file of the person with five rows."""
    with h5py.File(path / "private.hdf5", "w") as file:
        file["x"] = np.full((5, 7), 42.0)
    (path / "private.raw").write_bytes(np.full((5, 7), 42.0).tobytes())
    return path


def test_hdf5_reads_nothing_that_lies_in_another_file(tmp_path):
    outside(tmp_path)
    read_source(robomimic(tmp_path / "whole.hdf5"), RATE)
    layout = h5py.VirtualLayout((5, 7), "f8")
    layout[:] = h5py.VirtualSource(str(tmp_path / "private.hdf5"), "x", (5, 7))
    external = [(str(tmp_path / "private.raw"), 0, h5py.h5f.UNLIMITED)]
    for name, item, says in (
        ("external", h5py.ExternalLink(str(tmp_path / "private.hdf5"), "x"), "link to the file .*private.hdf5"),
        ("soft", h5py.SoftLink("/data/demo_0/actions"), "is a link to '/data/demo_0/actions'"),
        ("virtual", lambda obs: obs.create_virtual_dataset("v", layout), "a virtual dataset"),
        ("raw", lambda obs: obs.create_dataset("r", (5, 7), "f8", external=external), "external storage"),
        ("twice", lambda obs: obs.__setitem__("t", obs["robot0_joint_pos"]), "second name"),
        ("circle", lambda obs: obs.__setitem__("c", obs), "second name"),
    ):
        path = robomimic(tmp_path / f"{name}.hdf5", **{name: item})
        with pytest.raises(DemoError, match=says):
            read_source(path, RATE)


def test_hdf5_declares_no_more_than_it_stores_and_no_more_than_the_limit(tmp_path):
    empty = lambda obs: obs.create_dataset("e", (10**6, 7), "f8")  # nothing is stored: all zeros
    with pytest.raises(DemoError, match="declares 56,000,000 bytes, and the file holds 0"):
        read_source(robomimic(tmp_path / "empty.hdf5", empty=empty), RATE)
    packed = lambda obs: obs.create_dataset("p", (10**12, 7), "f8", chunks=(100, 7), compression="gzip")
    path = robomimic(tmp_path / "packed.hdf5", packed=packed)
    assert path.stat().st_size < 20_000
    with pytest.raises(DemoError, match=r"at most 4 GB .* declare 56,000.0 GB"):
        read_source(path, RATE)


def test_a_column_is_read_whole_in_pieces(tmp_path, monkeypatch):
    values = np.random.default_rng(0).normal(size=(100, 7))
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        file.create_dataset("x", data=values, chunks=(9, 7), compression="gzip")
    monkeypatch.setattr(hdf5, "PIECE", 1000)
    with h5py.File(tmp_path / "x.hdf5") as file:
        np.testing.assert_array_equal(hdf5.column(file["x"]), values)


def test_zarr_declares_no_more_than_the_limit_and_max_gb_moves_it(tmp_path):
    path = write("diffusion_policy", tmp_path / "set.zarr")
    with allowing(1e-6), pytest.raises(DemoError, match=r"max_gb=1\."):
        list(read_source(path, RATE).episodes())
    array = zarr.open_group(path, mode="r+")["data/action"]
    text = (path / "data/action/.zarray").read_text().replace(f"{array.chunks[0]},", f"{10**12},", 1)
    (path / "data/action/.zarray").write_text(text)
    with pytest.raises(DemoError, match=r"action \(a chunk\): expected at most 4 GB"):
        list(read_source(path, RATE).episodes())


def test_a_chunk_that_unpacks_to_more_than_its_size_takes_no_memory(tmp_path):
    import numcodecs

    path = write("diffusion_policy", tmp_path / "set.zarr")
    chunk = next(Path(path / "data/action").glob("[0-9]*"))
    bomb = bytearray(numcodecs.Blosc("zstd").encode(np.zeros(1 << 20)))
    bomb[4:8] = (2**31 - 1).to_bytes(4, "little")  # what it says it unpacks to
    chunk.write_bytes(bomb)
    with pytest.raises(DemoError, match="damaged"):
        list(read_source(path, RATE).episodes())


def test_a_damaged_set_raises_nothing_but_one_sentence(tmp_path, monkeypatch):
    path = write("diffusion_policy", tmp_path / "set.zarr")
    for error in (RuntimeError("a library's own"), MemoryError(), RecursionError("deep"), ZeroDivisionError()):
        monkeypatch.setattr(
            foreign_set.module_of("diffusion_policy"), "read", lambda *_, e=error: (_ for _ in ()).throw(e)
        )
        with pytest.raises(DemoError, match=f"can't be read .{type(error).__name__}"):
            read_source(path, RATE)


def test_a_full_disk_leaves_nothing_and_hdf5_ends_no_process(tmp_path, monkeypatch):
    source = make([episode(np.random.default_rng(0), 6) for _ in range(2)])
    room = [3000]

    def writes(self, data):
        room[0] -= len(data)
        if room[0] < 0:
            raise OSError(28, "No space left on device")
        self._file.write(data)

    monkeypatch.setattr(hdf5._Patient, "_write", writes)
    with (
        pytest.raises(DemoError, match=r"out.hdf5 can't be written or read: No space left on device. Free some space"),
        convert.staged(tmp_path / "out.hdf5") as temporary,
    ):
        foreign_set.module_of("robomimic").write(source, temporary, Options())
    assert not list(tmp_path.iterdir())

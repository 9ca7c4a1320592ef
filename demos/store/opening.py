"""Opens the group and the arrays of a set for reading; a DemoError names what is missing or damaged."""

from pathlib import Path

import zarr

from demos.errors import DemoError
from demos.store import schema
from demos.store.disk import Disk
from demos.store.shards import said


def open_group(path: Path):
    """The zarr group at `path`, read-only; DemoError for anything else."""
    if not path.exists():
        near = (
            sorted(p.name for p in path.parent.glob("*") if (p / "zarr.json").exists()) if path.parent.is_dir() else []
        )
        raise DemoError(
            f"no demonstration set at {path}; sets beside it: {', '.join(near) or 'none'}. "
            "`python -m demos.record out=PATH` makes one."
        )
    if not (path / "zarr.json").exists():
        other = "a zarr v2 group" if (path / ".zgroup").exists() else "not a zarr v3 group"
        raise DemoError(
            f"{path} is {other}: expected a folder with a zarr.json. `python -m demos.record out=PATH` makes one, "
            f"`python -m demos.convert {path} PATH to=zarr` imports a set of another format."
        )
    try:
        return zarr.open_group(Disk(path, read_only=True), mode="r", zarr_format=3)
    except Exception as error:  # a damaged zarr.json makes zarr raise anything
        raise DemoError(
            f"{path}/zarr.json is damaged ({said(error)}); restore it from a copy, or record the set again"
        ) from error


def open_array(path: Path, name: str, dtype: str | None = None):
    """One array of the set at `path`; DemoError unless it is there, whole and of type `dtype`."""
    if not (path / name / "zarr.json").exists():
        raise DemoError(
            f"{path}: {name} is missing (no {name}/zarr.json), though the set was recorded with it; restore it "
            "from a copy, or record the set again"
        )
    try:
        array = zarr.open_array(Disk(path, read_only=True), path=name, mode="r", zarr_format=3)
    except Exception as error:  # a damaged zarr.json makes zarr raise anything
        raise DemoError(
            f"{path}/{name}/zarr.json is damaged ({said(error)}); restore it from a copy, or record the set again"
        ) from error
    want = schema.expected(name.removeprefix("data/")) if name.startswith("data/") else None
    wanted = {d for d in (dtype, want and want.dtype) if d}
    if wanted - {array.dtype.name}:
        raise DemoError(
            f"{path}: {name} has type {array.dtype}, expected {' or '.join(sorted(wanted))}. Its zarr.json was "
            "changed, or other software wrote it: restore it from a copy."
        )
    return array

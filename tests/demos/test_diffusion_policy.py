import json
import pickle
import zipfile

import numcodecs
import numpy as np
import pytest
import zarr
from foreign_sets import assert_same, episode, make, sets
from hypothesis import HealthCheck, given, settings

from demos.errors import DemoError
from demos.formats import diffusion_zarr
from demos.formats.source import Options


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(sets())
def test_a_round_trip_loses_nothing(tmp_path_factory, made):
    path = tmp_path_factory.mktemp("set") / "set.zarr"
    report = diffusion_zarr.write(made, path, Options())
    assert not report.dropped and report.episodes == len(list(made.episodes()))
    assert_same(diffusion_zarr.read(path, Options()), made)


def test_the_layout_is_a_replay_buffer_of_zarr_format_2(tmp_path):
    rng = np.random.default_rng(0)
    diffusion_zarr.write(make([episode(rng, n) for n in (4, 6)]), tmp_path / "set.zarr", Options())
    entry = json.loads((tmp_path / "set.zarr/data/rgb_wrist/.zarray").read_text())
    assert (entry["zarr_format"], entry["shape"], entry["dtype"]) == (2, [10, 16, 18, 3], "|u1")
    assert entry["compressor"]["id"] == "blosc" and entry["filters"] is None and entry["chunks"][1:] == [16, 18, 3]
    ends = json.loads((tmp_path / "set.zarr/meta/episode_ends/.zarray").read_text())
    assert (ends["dtype"], ends["compressor"], ends["shape"]) == ("<i8", None, [2])
    assert np.fromfile(tmp_path / "set.zarr/meta/episode_ends/0", "<i8").tolist() == [4, 10]


def pusht(path, images=None, **more):
    """A set like Diffusion Policy's pusht: float32 pictures of whole numbers, state, keypoints."""
    rng, root = np.random.default_rng(0), zarr.create_group(path, zarr_format=2)
    images = rng.integers(0, 256, (9, 6, 6, 3)).astype(np.float32) if images is None else images
    arrays = {
        "action": rng.normal(size=(9, 2)).astype(np.float32),
        "state": rng.normal(size=(9, 5)).astype(np.float32),
        "keypoint": rng.normal(size=(9, 9, 2)),
        "n_contacts": np.zeros((9, 1)),
        "img": images,
        **more,
    }
    for name, value in arrays.items():
        root.create_array(f"data/{name}", data=value)
    root.create_array("meta/episode_ends", data=np.array([4, 9]))
    return path, arrays


def test_pusht_imports(tmp_path):
    path, arrays = pusht(tmp_path / "pusht.zarr")
    with pytest.raises(DemoError, match="does not say its control rate"):
        diffusion_zarr.read(path, Options())
    source = diffusion_zarr.read(path, Options(hz=10))
    first, second = (e for e, _ in source.episodes())
    assert set(first) == {"action", "proprio", "rgb_img"} and len(first["action"]) == 4 and len(second["action"]) == 5
    assert first["rgb_img"].dtype == np.uint8
    np.testing.assert_array_equal(second["rgb_img"], arrays["img"][4:])
    assert {entry["what"] for entry in source.dropped} == {"data/keypoint", "data/n_contacts"}
    with_more = diffusion_zarr.read(path, Options(hz=10, proprio=("state", "n_contacts")))
    assert next(with_more.episodes())[0]["proprio"].shape == (4, 6)


def test_pictures_that_uint8_can_not_hold_are_dropped_with_the_reason(tmp_path):
    path, _ = pusht(tmp_path / "pusht.zarr", images=np.full((9, 6, 6, 3), 0.5, np.float32))
    source = diffusion_zarr.read(path, Options(hz=10))
    assert source.attrs["cameras"] == {}
    assert "no whole numbers of 0 to 255" in next(e["why"] for e in source.dropped if e["what"] == "data/img")


def test_a_zipped_set_imports(tmp_path):
    path, arrays = pusht(tmp_path / "pusht.zarr")
    with zipfile.ZipFile(tmp_path / "pusht.zarr.zip", "w") as archive:
        for file in sorted(path.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(path))
    assert diffusion_zarr.looks(tmp_path / "pusht.zarr.zip")
    source = diffusion_zarr.read(tmp_path / "pusht.zarr.zip", Options(hz=10))
    np.testing.assert_array_equal(next(source.episodes())[0]["action"], arrays["action"][:4])


class Attack:
    ran = False

    def __reduce__(self):
        return exec, ("import foreign_sets; foreign_sets.HACKED = True",)


@pytest.mark.parametrize("filters", [[{"id": "pickle", "protocol": 5}], [{"id": "json2", "encoding": "utf-8"}], None])
def test_arrays_of_objects_are_refused_and_never_unpickled(tmp_path, filters):
    import foreign_sets

    path, _ = pusht(tmp_path / "pusht.zarr")
    folder = path / "data/names"
    folder.mkdir()
    entry = {
        "zarr_format": 2,
        "shape": [9],
        "chunks": [9],
        "dtype": "|O",
        "fill_value": None,
        "order": "C",
        "compressor": None,
        "filters": filters,
    }
    (folder / ".zarray").write_text(json.dumps(entry))
    (folder / "0").write_bytes(pickle.dumps(np.array([Attack()] * 9, object)))
    with pytest.raises(DemoError):
        diffusion_zarr.read(path, Options(hz=10))
    assert not hasattr(foreign_sets, "HACKED")


def test_damage_is_told(tmp_path):
    path, _ = pusht(tmp_path / "pusht.zarr", reward=np.zeros(8, np.float32))
    with pytest.raises(DemoError, match="data/reward has 8 steps, meta/episode_ends ends at 9"):
        diffusion_zarr.read(path, Options(hz=10))
    path, _ = pusht(tmp_path / "chunk.zarr")
    (path / "data/action/0.0").write_bytes(b"nonsense")
    with pytest.raises(DemoError, match=r"chunk.zarr: data/action/0.0 is damaged"):
        list(diffusion_zarr.read(path, Options(hz=10)).episodes())
    (path / "meta/episode_ends/0").write_bytes(np.array([5, 3], "<i8").tobytes())
    with pytest.raises(DemoError, match="expected meta/episode_ends to grow|episode_ends/0 is damaged"):
        diffusion_zarr.read(path, Options(hz=10))
    (path / "data/action/.zarray").write_text("{")
    with pytest.raises(DemoError, match="chunk.zarr"):
        diffusion_zarr.read(path, Options(hz=10))
    with pytest.raises(DemoError, match="is not a replay buffer"):
        (tmp_path / "x.zarr.zip").write_bytes(b"PK no")
        diffusion_zarr.read(tmp_path / "x.zarr.zip", Options(hz=10))


def test_an_export_that_was_changed_is_told(tmp_path):
    path, rng = tmp_path / "set.zarr", np.random.default_rng(0)
    diffusion_zarr.write(make([episode(rng, n) for n in (4, 6)], episode_tasks=["pick", "stack"]), path, Options())
    side = zarr.open_group(path, mode="a", zarr_format=2)
    side.attrs["toto_robot"] = side.attrs["toto_robot"] | {"episode_tasks": ["pick"]}
    with pytest.raises(DemoError, match="lists 2 episodes, the attribute toto_robot the tasks of 1"):
        diffusion_zarr.read(path, Options())


def test_a_codec_that_is_missing_is_named(tmp_path):
    path, _ = pusht(tmp_path / "pusht.zarr")
    entry = json.loads((path / "data/img/.zarray").read_text())
    (path / "data/img/.zarray").write_text(json.dumps(entry | {"compressor": {"id": "imagecodecs_jpeg2k"}}))
    with pytest.raises(DemoError, match="imagecodecs"):
        diffusion_zarr.read(path, Options(hz=10))
    assert "imagecodecs_jpeg2k" not in numcodecs.registry.codec_registry

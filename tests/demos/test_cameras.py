"""Cameras of foreign sets: channels first, depth, no decoder, a choice; and columns of one number."""

import json

import numpy as np
import pytest
import zarr
from foreign_sets import episode, make

from demos.errors import DemoError
from demos.formats import diffusion_zarr, lerobot_v3, native, robomimic_hdf5
from demos.formats.source import Options, channels_last, picture_shape

h5py = pytest.importorskip("h5py")
TWO = {"wrist": (16, 18), "front": (12, 16)}
FRONT = "observation.images.front"


def lerobot(path, images="png", lengths=(4, 3), **changes):
    """A LeRobot set of two cameras like anybody's: without our own attributes. `changes` are features."""
    pytest.importorskip("pyarrow")
    made = make([episode(np.random.default_rng(i), n, ("proprio",), TWO, smooth=True) for i, n in enumerate(lengths)])
    lerobot_v3.write(made, path, Options(images=images))
    (path / "meta/toto_robot.json").unlink()
    info = json.loads((path / "meta/info.json").read_text())
    for name, change in changes.items():
        info["features"][name.replace("__", ".")] |= change
    (path / "meta/info.json").write_text(json.dumps(info))
    return made


def foreign_hdf5(path, pictures, **datasets):
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        demo = data.create_group("demo_0")
        demo["obs/front_image"], demo.attrs["num_samples"] = pictures, len(pictures)
        demo["actions"], demo["obs/robot0_joint_pos"] = rng.normal(size=(6, 7)), rng.normal(size=(6, 7))
        for name, values in datasets.items():
            if name in demo:
                del demo[name]
            demo[name] = values
        data.attrs["env_args"] = json.dumps({"env_kwargs": {"control_freq": 20}})
    return path


def foreign_zarr(path, pictures, **arrays):
    root, rng = zarr.create_group(path, zarr_format=2), np.random.default_rng(0)
    data, meta = root.create_group("data"), root.create_group("meta")
    arrays = {"action": rng.normal(size=(6, 2)), "agent_pos": rng.normal(size=(6, 2)), "img": pictures} | arrays
    for name, values in arrays.items():
        data.create_array(name, data=values)
    meta.create_array("episode_ends", data=np.array([6]))
    return path


@pytest.mark.parametrize("images", ["png", "h264"])
def test_a_lerobot_shape_may_have_its_channels_first(tmp_path, images):
    made = lerobot(tmp_path, images, observation__images__front={"shape": [3, 12, 16]})
    source = lerobot_v3.read(tmp_path, Options())
    assert source.attrs["cameras"]["front"] | {"width": 16, "height": 12} == source.attrs["cameras"]["front"]
    for (got, _), (want, _) in zip(source.episodes(), made.episodes(), strict=True):
        assert got["rgb_front"].shape == want["rgb_front"].shape


@pytest.mark.parametrize("change", [{"shape": [12, 16, 1]}, {"info": {"video.is_depth_map": True}}, {"shape": [16]}])
def test_a_lerobot_camera_that_is_no_colour_picture_is_dropped_and_named(tmp_path, change):
    lerobot(tmp_path, "h264", observation__images__front=change)
    source = lerobot_v3.read(tmp_path, Options())
    assert [d["what"] for d in source.dropped if "images" in d["what"]] == [FRONT]
    assert all("rgb_front" not in got and "rgb_wrist" in got for got, _ in source.episodes())


def test_a_camera_without_a_decoder_is_dropped_and_named(tmp_path):
    lerobot(tmp_path, "h264")
    film = next(tmp_path.glob(f"videos/{FRONT}/*/*.mp4"))
    film.write_bytes(film.read_bytes().replace(b"avc1", b"zzzz"))
    source = lerobot_v3.read(tmp_path, Options())
    assert {d["what"]: d["why"] for d in source.dropped}[FRONT].startswith("this build of PyAV has no decoder")
    assert set(source.attrs["cameras"]) == {"wrist"} and len(list(source.episodes())) == 2


def test_a_damaged_camera_is_an_error_that_says_how_to_leave_it_out(tmp_path):
    lerobot(tmp_path, "h264")
    film = next(tmp_path.glob(f"videos/{FRONT}/*/*.mp4"))
    film.write_bytes(film.read_bytes()[:300])
    with pytest.raises(DemoError, match=r"file-000.mp4.*leave this camera out: cameras=\[wrist\]"):
        list(lerobot_v3.read(tmp_path, Options()).episodes())
    assert len(list(lerobot_v3.read(tmp_path, Options(cameras=("wrist",))).episodes())) == 2


def test_a_part_of_a_version_3_set_is_read_and_what_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("demos.formats.lerobot_export.VIDEO_MB", 0)  # more than one video file
    made = lerobot(tmp_path, "h264", lengths=(4, 3, 5))
    next(tmp_path.glob(f"videos/{FRONT}/*/file-000.mp4")).unlink()
    source = lerobot_v3.read(tmp_path, Options())
    assert source.facts["missing"] == f"episode 0 has no videos/{FRONT}/chunk-000/file-000.mp4"
    found = list(source.episodes())
    assert [meta["source_episode"] for _, meta in found] == [1, 2]
    np.testing.assert_array_equal(found[1][0]["action"], list(made.episodes())[2][0]["action"])


def test_cameras_are_chosen_by_name_in_every_format(tmp_path):
    made = make([episode(np.random.default_rng(0), 4, ("proprio",), TWO)])
    pytest.importorskip("pyarrow")
    for module, name in ((lerobot_v3, "l"), (robomimic_hdf5, "r.hdf5"), (diffusion_zarr, "d"), (native, "n")):
        module.write(made, tmp_path / name, Options())
        source = module.read(tmp_path / name, Options(cameras=("front",)))
        ((got, _),) = source.episodes()
        assert [key for key in got if key.startswith("rgb_")] == ["rgb_front"], name
        assert set(source.attrs["cameras"]) == {"front"} and any("wrist" in d["what"] for d in source.dropped)
        with pytest.raises(DemoError, match="Unknown camera of .*: 'top'.*front, wrist"):
            module.read(tmp_path / name, Options(cameras=("top",)))


@pytest.mark.parametrize("first", [False, True])
def test_hdf5_and_zarr_pictures_may_have_their_channels_first(tmp_path, first):
    want = np.random.default_rng(1).integers(0, 256, (6, 12, 16, 3), dtype=np.uint8)
    stored = np.moveaxis(want, 3, 1) if first else want
    file = robomimic_hdf5.read(foreign_hdf5(tmp_path / "a.hdf5", stored), Options())
    group = diffusion_zarr.read(foreign_zarr(tmp_path / "a.zarr", stored.astype(np.float32)), Options(hz=10))
    for source, key in ((file, "front"), (group, "img")):
        ((got, _),) = source.episodes()
        np.testing.assert_array_equal(got[f"rgb_{key}"], want)
        assert (source.attrs["cameras"][key]["height"], source.attrs["cameras"][key]["width"]) == (12, 16)


def test_one_number_a_step_is_a_vector_of_one(tmp_path):
    pictures, scalar = np.zeros((6, 8, 8, 3), np.uint8), np.arange(6.0)
    file = foreign_hdf5(tmp_path / "a.hdf5", pictures, **{"actions": scalar, "obs/robot0_gripper_qpos": scalar + 1})
    group = foreign_zarr(tmp_path / "a.zarr", pictures, action=scalar, gripper_qpos=scalar)
    for source, width in ((robomimic_hdf5.read(file, Options()), 8), (diffusion_zarr.read(group, Options(hz=9)), 3)):
        ((got, _),) = source.episodes()
        assert got["action"].shape == (6, 1) and got["proprio"].shape == (6, width)
        assert source.attrs["action"]["names"] == ["action"] and len(source.attrs["proprio_names"]) == width


def test_the_shape_of_pictures_is_found_with_channels_last_first():
    assert picture_shape((480, 640, 3)) == picture_shape((3, 480, 640)) == (480, 640, 3)
    assert picture_shape((3, 5, 3)) == (3, 5, 3) and picture_shape((7, 8, 9)) is None and picture_shape((7,)) is None
    assert channels_last(np.zeros((2, 3, 5, 7))).shape == (2, 5, 7, 3)

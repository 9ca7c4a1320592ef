import json

import numpy as np
import pytest
from foreign_sets import assert_same, episode, make, sets
from hypothesis import HealthCheck, given, settings

from demos.errors import DemoError
from demos.formats import robomimic_hdf5
from demos.formats.source import Options

h5py = pytest.importorskip("h5py", reason="h5py is an extra: pip install h5py")


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(sets())
def test_a_round_trip_loses_nothing(tmp_path_factory, made):
    path = tmp_path_factory.mktemp("set") / "set.hdf5"
    report = robomimic_hdf5.write(made, path, Options())
    assert not report.dropped and set(report.kept) == set(next(made.episodes())[0])
    assert_same(robomimic_hdf5.read(path, Options()), made)


def test_the_layout_is_robomimics(tmp_path):
    rng = np.random.default_rng(0)
    names = ["joint_pos.0", "joint_pos.1", "joint_vel.0", "joint_vel.1", "gripper"]
    made = make([episode(rng, n) for n in (4, 6)], names)
    robomimic_hdf5.write(made, tmp_path / "set.hdf5", Options())
    with h5py.File(tmp_path / "set.hdf5") as file:
        assert file["data"].attrs["total"] == 10 and file["data"].attrs["total"].dtype.kind == "i"
        env = json.loads(file["data"].attrs["env_args"])
        assert (env["env_name"], env["type"], env["env_kwargs"]["control_freq"]) == ("franka_pick", 2, 20.0)
        demo = file["data/demo_1"]
        assert demo.attrs["num_samples"] == 6 and demo["dones"][:].tolist() == [0] * 5 + [1]
        assert demo["obs/joint_pos"].shape == (6, 2) and demo["obs/gripper"].shape == (6, 1)
        assert demo["obs/wrist_image"].shape == (6, 16, 18, 3) and demo["states"].shape == (6, 7)


def test_joints_without_numbers_go_together_by_how_their_names_begin(tmp_path):
    rng = np.random.default_rng(0)
    names = ["q_joint1", "q_joint2", "dq_joint1", "dq_joint2", "gripper"]
    made = make([episode(rng, 4)], names)
    robomimic_hdf5.write(made, tmp_path / "set.hdf5", Options())
    with h5py.File(tmp_path / "set.hdf5") as file:
        shapes = {name: file["data/demo_0/obs"][name].shape[1:] for name in ("q", "dq", "gripper")}
    assert shapes == {"q": (2,), "dq": (2,), "gripper": (1,)}
    assert_same(robomimic_hdf5.read(tmp_path / "set.hdf5", Options()), made)


def foreign(path, demos=2, rate=20, **more):
    """A set as robosuite's collectors write it."""
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        kwargs = {"control_freq": rate, "robots": ["Panda"]}
        data.attrs["env_args"] = json.dumps({"env_name": "Lift", "type": 1, "env_kwargs": kwargs})
        for i in range(demos):
            rng, demo = np.random.default_rng(i), data.create_group(f"demo_{i}")
            demo.attrs["num_samples"] = 5
            columns = {
                "actions": (7,),
                "rewards": (),
                "states": (9,),
                "obs/robot0_eef_pos": (3,),
                "obs/robot0_joint_pos": (7,),
                "obs/object": (10,),
                "obs/robot0_joint_pos_cos": (7,),
                "next_obs/robot0_eef_pos": (3,),
            }
            for name, shape in columns.items():
                demo[name] = rng.normal(size=(5, *shape))
            demo["dones"] = np.zeros(5)
            demo["obs/robot0_gripper_pos"] = demo["obs/robot0_joint_pos"][:]
            demo["obs/agentview_image"] = rng.integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
            demo["obs/agentview_depth"] = np.zeros((5, 8, 8, 1))
            for name, value in more.items():
                demo[name] = value
    return path


def test_a_foreign_set_gives_the_robots_state_and_says_what_it_drops(tmp_path):
    source = robomimic_hdf5.read(foreign(tmp_path / "low.hdf5"), Options())
    (first, meta), _ = source.episodes()
    assert {k: (v.shape, v.dtype.name) for k, v in first.items()} == {
        "action": ((5, 7), "float32"),
        "proprio": ((5, 10), "float32"),
        "reward": ((5,), "float32"),
        "sim_state": ((5, 9), "float64"),
        "task_state": ((5, 10), "float64"),
        "rgb_agentview": ((5, 8, 8, 3), "uint8"),
    }
    assert source.attrs["proprio_names"][:4] == [*(f"robot0_eef_pos.{i}" for i in range(3)), "robot0_joint_pos.0"]
    assert (source.attrs["env"], source.attrs["robot"], source.attrs["control_hz"]) == ("Lift", "Panda", 20)
    why = {entry["what"]: entry["why"] for entry in source.dropped}
    assert set(why) == {
        "next_obs",
        "dones",
        "obs/robot0_gripper_pos",
        "obs/robot0_joint_pos_cos",
        "obs/agentview_depth",
    }
    assert "the same as robot0_joint_pos" in why["obs/robot0_gripper_pos"]


def test_proprio_can_be_chosen(tmp_path):
    path = foreign(tmp_path / "low.hdf5")
    source = robomimic_hdf5.read(path, Options(proprio=("object", "robot0_eef_pos")))
    assert next(source.episodes())[0]["proprio"].shape == (5, 13)
    with pytest.raises(DemoError, match="proprio=cube: .* has .*robot0_eef_pos"):
        robomimic_hdf5.read(path, Options(proprio=("cube",)))


def test_mistakes_and_damage_are_told(tmp_path):
    with pytest.raises(DemoError, match="does not say its control rate.*hz=RATE"):
        robomimic_hdf5.read(foreign(tmp_path / "a.hdf5", rate=None), Options())
    (tmp_path / "cut.hdf5").write_bytes((tmp_path / "a.hdf5").read_bytes()[:3000])
    with pytest.raises(DemoError, match="not an HDF5 file, or a damaged one"):
        robomimic_hdf5.read(tmp_path / "cut.hdf5", Options(hz=20))
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file["x"] = 1
    with pytest.raises(DemoError, match="expected data/demo_0"):
        robomimic_hdf5.read(tmp_path / "other.hdf5", Options(hz=20))
    with h5py.File(tmp_path / "a.hdf5", "a") as file:
        del file["data/demo_1/actions"]
        file["data/demo_1/actions"] = np.zeros((4, 7))
    with pytest.raises(DemoError, match="demo_1: expected one length above 0"):
        list(robomimic_hdf5.read(tmp_path / "a.hdf5", Options(hz=20)).episodes())


def test_fewer_steps_than_promised_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    robomimic_hdf5.write(make([episode(rng, n) for n in (4, 6)]), tmp_path / "set.hdf5", Options())
    with h5py.File(tmp_path / "set.hdf5", "a") as file:
        file["data/demo_1"].attrs["num_samples"], file["data"].attrs["total"] = 7, 11
    with pytest.raises(DemoError, match="demo_1: expected 7 steps .* got 6"):
        list(robomimic_hdf5.read(tmp_path / "set.hdf5", Options()).episodes())
    with h5py.File(tmp_path / "set.hdf5", "a") as file:
        del file["data/demo_1"]
    with pytest.raises(DemoError, match="promises 11 steps .* its 1 demos have 4"):
        robomimic_hdf5.read(tmp_path / "set.hdf5", Options())


def test_without_h5py_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(DemoError, match="pip install h5py"):
        robomimic_hdf5.read(tmp_path / "set.hdf5", Options())

import numpy as np
import pytest
from toy_demos import ToyDemos

from policies.cloning.episodes import DataConfig, bounds, moving, read_episodes, scaled
from toto_robot.ground.errors import UserError


def read(demos, **config):
    return read_episodes(demos, DataConfig(**config), "rgb", "toy")


def test_every_number_is_read_once_and_no_frame():
    demos = ToyDemos(4)
    recorded = read(demos)
    assert [r.index for r in recorded] == [0, 1, 2, 3] and len(demos.read) == len(set(demos.read))
    assert not any(key == "rgb_wrist" for _, key in demos.read)
    assert all(r.action.dtype == np.float32 and np.abs(r.action).max() <= 1 for r in recorded)


def test_the_static_filter_keeps_steps_that_move_or_close_the_gripper():
    joints = np.array([[0.0], [0.003], [0.005], [0.006], [0.006], [0.02]])
    gripper = np.array([[1.0], [1.0], [1.0], [1.0], [-1.0], [-0.5]])
    assert moving(joints, gripper, 0.004).tolist() == [0, 2, 4, 5]
    assert moving(joints, gripper[:, :0], 0.004).tolist() == [0, 2, 5]


def test_actions_are_scaled_by_the_bounds_of_the_set():
    attrs = {"action": {"low": [0.0, -2.0], "high": [1.0, 2.0]}}
    assert scaled(attrs, np.array([[0.5, 2.0]]), "set").tolist() == [[0.0, 1.0]]
    with pytest.raises(UserError, match="low <= high"):
        scaled({"action": {"low": [0.0], "high": [float("inf")]}}, np.zeros((1, 1)), "set")


def test_an_action_that_never_changes_is_in_the_middle_and_stays_what_it_was():
    attrs = {"action": {"low": [-1.0, -2.0], "high": [-1.0, 2.0]}}
    assert scaled(attrs, np.array([[-1.0, 2.0]]), "set").tolist() == [[0.0, 1.0]]
    low, high = bounds(attrs, "set")
    assert low[0] == pytest.approx(-1.001, abs=1e-4) and high[0] == pytest.approx(-0.999, abs=1e-4)
    noise = {"action": {"low": 1.0, "high": 1.0000001}}
    assert np.abs(scaled(noise, np.array([[1.0], [1.0000001]]), "set")).max() < 1e-3


def test_a_number_that_is_not_finite_is_named_with_a_way_round_it():
    demos = ToyDemos(5, attrs={"proprio_names": ["x", "y", "vx", "vy", "lean"]})
    demos.data[1]["proprio"][3, 4] = np.nan
    demos.data[4]["action"][2, 0] = np.inf
    with pytest.raises(UserError, match=r"episode 1, step 3: proprio lean is nan; .*data.skip=\[1,4\]"):
        read(demos)
    with pytest.raises(UserError, match=r"episode 4, step 2: action x is inf; .*data.skip=\[1,4\]"):
        read(demos, skip=[1])
    assert len(read(demos, skip=[1, 4])) == len(read(demos, use=1)) + 2
    with pytest.raises(UserError, match=r"data.skip=\[5\]: toy has 5 episodes, 0 to 4"):
        read(demos, skip=[5])


def test_the_only_camera_needs_no_name_and_several_need_one():
    assert len(read(_renamed("front"))) == len(read(_renamed("front"), camera="front")) > 0
    with pytest.raises(
        UserError, match="no camera named wrist. Its cameras: front, side. Choose one by data.camera=NAME"
    ):
        read(_renamed("front", "side"))


def _renamed(*cameras):
    demos = ToyDemos(2)
    demos.keys = tuple(k for k in demos.keys if k != "rgb_wrist") + tuple(f"rgb_{camera}" for camera in cameras)
    for data in demos.data:
        frames = data.pop("rgb_wrist")
        data |= {f"rgb_{camera}": frames for camera in cameras}
    return demos


@pytest.mark.parametrize("bad", [{"held_out": 1.0}, {"held_out": -0.1}, {"skip": [-1]}, {"use": -1}])
def test_impossible_settings_are_a_users_error(bad):
    with pytest.raises(UserError, match="data"):
        DataConfig(**bad)


def test_a_camera_that_is_not_there_lists_those_that_are():
    with pytest.raises(UserError, match="Its cameras: wrist"):
        read(ToyDemos(2), camera="side")

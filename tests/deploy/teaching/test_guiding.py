"""Hand guiding: the motion is recorded, actions lead from each state to the next, and the keys work as documented."""

import itertools
from importlib.util import find_spec

import numpy as np
import pytest

import envs
from demos import DemoSet
from demos.record import RecordConfig
from demos.recording.teleop import DISCARD, DONE, QUIT, Command
from demos.store import verify
from deploy.cameras.base import Frame
from deploy.processes.policy import Scale
from deploy.robots.base import GripperState, RobotState
from deploy.teaching import guided_recording
from deploy.teaching.guiding import Guide
from deploy.teaching.on_arm import ArmKeys
from envs.robots import FRANKA
from toto_robot.ground.errors import UserError

HOME = np.array(FRANKA.q_home_rad)
SCALE = Scale(FRANKA.scale_low, FRANKA.scale_high, 2)


class Arm:
    """An arm that is pushed along joint 1 by `step_rad` between readings, and its hand."""

    def __init__(self, step_rad=0.02):
        self.step_rad, self.reads, self.orders, self.width_m = step_rad, 0, [], 0.08

    def observe(self):
        self.reads += 1
        return RobotState(
            self.reads / 10, HOME + self.step_rad * (self.reads - 1) * np.eye(7)[0], np.zeros(7), "guiding"
        )


class Hand:
    def __init__(self):
        self.orders = []

    def command(self, close):
        self.orders.append(close)

    def observe(self):
        return GripperState(0.045 if self.orders and self.orders[-1] else 0.08, False)

    def serve(self):
        pass


class Film:
    def __init__(self):
        self.count = itertools.count()

    def read(self, timeout_s):
        n = next(self.count)
        return Frame(np.full((32, 32, 3), n % 256, np.uint8), 100 + 0.1 * n, n)


class Keys:
    """Says one command after the other, then quits."""

    def __init__(self, *commands):
        self.commands = iter(commands)

    def read(self):
        return next(self.commands, Command(event=QUIT))

    def close(self):
        pass


def guide(*commands, arm=None, episodes=5):
    kept, said, hand = [], [], Hand()
    now = itertools.count()
    tried = Guide(
        arm or Arm(),
        hand,
        Film(),
        Keys(*commands),
        SCALE,
        0.06,
        0.1,
        kept.append,
        said.append,
        clock=lambda: next(now) / 1000,
        sleep=lambda s: None,
    ).run(episodes)
    return kept, said, hand, tried


STILL, SHUT = Command(), Command(open_gripper=False)
START = KEEP = Command(event=DONE)


def test_each_action_leads_from_its_state_to_the_next_and_the_last_one_stands_still():
    kept, _, hand, tried = guide(START, *[STILL] * 4, *[SHUT] * 3, KEEP)
    (data,) = kept
    assert tried == 1 and len(data["action"]) == 7
    np.testing.assert_allclose(data["q_rad"][:-1] + 0.06 * data["action"][:-1, :7], data["q_rad"][1:], atol=1e-6)
    assert not data["action"][-1, :7].any()
    assert data["action"][:, 7].tolist() == [1] * 4 + [-1] * 3 and hand.orders == [False, True]
    assert data["success"].tolist() == [False] * 6 + [True]
    assert data["frame"].tolist() == list(range(7)) and data["timestamp_s"][-1] == pytest.approx(0.6)


def test_discarded_attempts_leave_nothing_and_quitting_keeps_what_was_kept():
    kept, said, _, tried = guide(
        START, STILL, STILL, Command(event=DISCARD), START, *[STILL] * 3, KEEP, START, STILL, STILL
    )
    assert len(kept) == 1 and len(kept[0]["action"]) == 3 and tried == 3 and "discarded" in said


def test_it_ends_when_there_are_enough():
    kept, *_ = guide(*[START, STILL, STILL, KEEP] * 4, episodes=2)
    assert len(kept) == 2


def test_guiding_faster_than_a_policy_can_go_is_clipped_and_told():
    kept, said, *_ = guide(START, *[STILL] * 6, KEEP, arm=Arm(step_rad=0.1))
    assert np.abs(kept[0]["action"]).max() == 1 and "83 % of it is faster" in said[-2]


def test_an_emulated_arm_that_is_pulled_is_recorded_through_the_real_client(tmp_path):
    if not find_spec("franky"):  # importing it would keep the other client out of this process
        pytest.skip("franky-control is not installed")
    from deploy.emulator.console import Console
    from deploy.processes.lockstep import started

    with started("fr3", "realtime") as (ip, console), Console(*console) as person:

        class Pulls(Keys):
            """A person who starts, pulls the arm by 0.1 rad, and keeps."""

            def read(self):
                command = super().read()
                if command is SHUT:
                    person.ask("guide", q_rad=(start + 0.1 * np.eye(7)[0]).tolist())
                return command

        start = np.array(person.ask("physics")["qpos"][:7])
        told = guided_recording.record(
            ArmKeys(robot_ip=ip), "franka_cube", str(tmp_path / "set"), 1, False, Pulls(START, STILL, *[SHUT] * 8, KEEP)
        )
        moved = np.array(person.ask("physics")["qpos"][:7]) - start
        assert person.ask("counters")["moves"] == 0, "nothing here commands the arm"
    assert (told["episodes"], told["steps"], told["emulated"]) == (1, 9, True)
    assert verify(tmp_path / "set") == []
    demos = DemoSet(tmp_path / "set")
    data = demos.episode(0)
    assert demos.attrs["env"] == "franka_cube" and demos.attrs["notes"]["source"] == "guide"
    assert data["rgb_wrist"].shape == (9, 128, 128, 3) and data["action"].shape == (9, 8)
    assert data["q_rad"][-1, 0] > data["q_rad"][0, 0] and moved[0] > 0


def test_what_can_not_be_guided_is_said():
    with pytest.raises(UserError, match="leave out backend=sim"):
        guided_recording.record(ArmKeys(backend="sim"), "franka_cube", "x", 1, False)
    with pytest.raises(UserError, match="Give env=franka_cube"):
        guided_recording.record(ArmKeys(), "franka_pick", "x", 1, False)
    with pytest.raises(UserError, match="On an arm give source=guide, keyboard"):
        RecordConfig(out="x", robot="fr3")
    assert "franka_cube" in envs.names()

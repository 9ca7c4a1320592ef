"""A person on the keys drives the arm through the whole stack: kept episodes are recorded, discarded ones are not."""

import os

import numpy as np
import pytest

from demos import DemoSet
from demos.recording.teleop import DISCARD, DONE, QUIT, Command
from demos.store import verify
from deploy.endings import Ending
from deploy.teaching import teleop_session
from deploy.teaching.on_arm import ArmKeys
from deploy.teaching.teleop_session import Driven, TeleopSession
from envs.robots import FRANKA

LOW, SPAN = FRANKA.scale_low, FRANKA.scale_high - FRANKA.scale_low


class Memory:
    def __init__(self, values):
        self.values = np.array(values, float)

    def read(self):
        return self.values


def proprio(q_arm):
    q = np.append(q_arm, [0.04, 0.04])
    return np.concatenate([2 * (q - LOW) / SPAN - 1, np.zeros(9)]).astype(np.float32)


@pytest.mark.parametrize("axis, sign", [(0, 1), (1, -1), (2, 1)])
def test_the_hand_goes_where_it_is_asked_in_the_robots_base_frame(axis, sign):
    asked = np.zeros(7)
    asked[axis], asked[6] = sign, 1
    driven = Driven("franka_cube", Memory(asked), 0.1)
    home = np.array(FRANKA.q_home_rad)
    action = driven.act({"proprio": proprio(home)}, 0, 0)
    from deploy.control.kinematics import Kinematics

    kinematics = Kinematics(FRANKA)
    there, here = (kinematics.tcp_m(kinematics.frames(q))[0] for q in (home + 0.06 * action[:7], home))
    moved = there - here
    assert np.argmax(np.abs(moved)) == axis and np.sign(moved[axis]) == sign and action[7] == 1
    still = Driven("franka_cube", Memory([0] * 6 + [-1]), 0.1).act({"proprio": proprio(home)}, 0, 0)
    assert not np.abs(still[:7]).max() > 1e-6


class Person:
    """Drives up for 12 periods of each episode, then says the next of `verdicts`; quits when there are none left."""

    help = "keys"

    def __init__(self, *verdicts):
        self.verdicts, self.session = list(verdicts), None

    def read(self):
        session = self.session
        if session.open_episode and session.state == "run" and session.steps >= 12:
            return Command(event=self.verdicts.pop(0) if self.verdicts else QUIT)
        return Command(velocity=np.array([0, 0, 0.5]))

    def close(self):
        pass


@pytest.fixture
def person(monkeypatch):
    """(verdicts) to a Person that sees the session it drives."""
    run = TeleopSession.run

    def watched(session):
        session.source.session = session
        return run(session)

    monkeypatch.setattr(TeleopSession, "run", watched)
    return Person


@pytest.mark.parametrize("backend", ["sim", "franky"])
def test_kept_episodes_are_recorded_and_discarded_ones_are_not(backend, person, tmp_path):
    if backend == "franky" and "TOTO_ROBOT_CLIENTS" not in os.environ:
        pytest.skip("minutes on the emulated arm: make clients")
    out = str(tmp_path / "set")
    told, ending, _ = teleop_session.record(
        ArmKeys(backend=backend, clock="lockstep", yes=True),
        person(DISCARD, DONE, DONE),
        "franka_cube",
        out,
        2,
        False,
        0,
        0.1,
    )
    assert ending is Ending.DONE and (told["episodes"], told["attempts"]) == (2, 3)
    assert verify(out) == []
    data = DemoSet(out).episode(0)
    assert data["action"].shape[1] == 8 and len(data["action"]) > 3
    assert np.abs(data["q_rad"][-1] - data["q_rad"][0]).max() > 0.02, "the arm moved"

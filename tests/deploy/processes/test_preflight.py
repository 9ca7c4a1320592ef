import re
from dataclasses import replace

import numpy as np
import pytest

import envs
from deploy.control import safety
from deploy.control.plan import Plan
from deploy.processes import preflight
from deploy.processes.policy import LookAnswer
from deploy.processes.preflight import checks, way_home
from deploy.robots.base import RobotState
from deploy.robots.sim_robot import SimRobot
from envs.robots.franka import ARM_LIMITS
from policies import look

ENV = envs.make("franka_cube", render=False)
HOME = np.array(ENV.robot.q_home_rad)
ENVELOPE = safety.Envelope.of(ENV.robot)
PLAN = Plan([0], 10, 0.1, HOME, ARM_LIMITS["fr3"])


def found(q_rad=HOME, mode="idle", errors=(), age_s=0.05, answer_s=0.02):
    state = RobotState(0.0, np.array(q_rad), np.zeros(7), mode, errors)
    return {
        name: ok
        for name, ok, _ in checks(SimRobot("franka_cube").features, state, PLAN, ENVELOPE, age_s, 0.08, answer_s)
    }


def test_an_arm_at_home_with_a_fresh_frame_passes_everything():
    assert all(found().values()) and found(answer_s=None)["policy"]


@pytest.mark.parametrize(
    "rate_hz, words", [(29.5, "29.5 frames a second"), (14.9, "14.9 frames a second of 30 asked for: .*fourcc: MJPG")]
)
def test_the_cameras_rate_is_compared_with_the_one_asked_for(rate_hz, words):
    state, plan = RobotState(0.0, HOME, np.zeros(7), "idle", ()), replace(PLAN, camera_hz=30.0)
    rows = checks(SimRobot("franka_cube").features, state, plan, ENVELOPE, 0.05, 0.08, 0.02, None, rate_hz)
    ((ok, said),) = [row[1:] for row in rows if row[0] == "camera"]
    assert ok and re.search(words + "$" if rate_hz > 27 else words, said)


@pytest.mark.parametrize(
    "changed, failing",
    [
        ({"mode": "reflex"}, "robot"),
        ({"mode": "user_stopped"}, "robot"),
        ({"errors": ("joint_reflex",)}, "robot"),
        ({"answer_s": 0.56}, "policy"),
        ({"age_s": None}, "camera"),
        ({"age_s": 0.5}, "camera"),
        ({"q_rad": np.append(ARM_LIMITS["fr3"].q_max_rad[0] + 0.01, HOME[1:])}, "joints"),
    ],
)
def test_each_thing_that_is_wrong_fails_its_own_line(changed, failing):
    assert not found(**changed)[failing]


@pytest.mark.parametrize(
    "q_rad, why",
    [
        ([0.72, -0.78, -2.57, -2.9, 1.7, 4.09, 0.62], "comes within"),  # folded onto itself
        ([0.41, -1.03, 0.15, -1.53, -2.23, 4.35, 0.42], "leaves the workspace box further"),
    ],
)
def test_a_way_home_past_the_arm_itself_or_further_out_of_the_box_is_refused(q_rad, why):
    passed, said = way_home(np.array(q_rad), PLAN, ENVELOPE)
    assert not passed and said.startswith(why) and "by hand" in said


@pytest.mark.parametrize(
    "verdict, yes_look, passes",
    [
        ("in", False, True),
        ("doubtful", False, True),
        ("unknown", False, True),
        ("out", False, False),
        ("out", True, True),
    ],
)
def test_only_pictures_that_are_out_need_the_operators_word(verdict, yes_look, passes):
    plan = replace(PLAN, yes_look=yes_look)
    state = RobotState(0.0, HOME, np.zeros(7), "idle")
    rows = checks(SimRobot("franka_cube").features, state, plan, ENVELOPE, 0.05, 0.08, 0.02, LookAnswer(verdict, "why"))
    name, ok, said = rows[-1]
    assert (
        (name, ok) == ("look", passes)
        and said.startswith(f"{verdict}: why")
        and ("--yes-look" in said) == (verdict == "out")
    )


def test_the_word_for_out_is_the_policies_own():
    assert preflight.OUT == look.OUT


def test_an_arm_outside_the_box_may_come_back_in():
    below = HOME + [0, 0.6, 0, 0, 0, 0, 0]
    assert ENVELOPE.outside_m(below[None])[0] > 0.1 and way_home(below, PLAN, ENVELOPE)[0]

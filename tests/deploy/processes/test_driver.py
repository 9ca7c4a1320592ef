"""The loop that owns the arm, with a simulated arm: how it handles actions, frames, faults and orders."""

import numpy as np
import pytest
from stage import GONE, Spy, Stage

from deploy.control import safety
from deploy.control.machine import Event, Rules
from deploy.endings import Ending
from deploy.processes.policy import LookAnswer
from deploy.robots.base import RobotFault
from envs.robots.franka import ARM_LIMITS

FAST = Rules(camera_stop_s=1.0)


def of(messages, kind):
    return [rest for name, *rest in messages if name == kind]


def periods(messages):
    return [p for (p,) in of(messages, "period")]


def test_an_episode_asks_once_a_period_and_applies_each_answer_in_its_own():
    asked = []
    stage = Stage(policy=lambda i: asked.append(i) or np.append(np.full(7, 0.2), 1.0), periods=5)
    now, messages = stage.run()
    assert now.ending is Ending.DONE
    assert asked == [0, 1, 2, 3, 4]
    assert [(p.index, p.asked, p.latency_s) for p in periods(messages)] == [(i, i, 0.0) for i in range(5)]
    assert of(messages, "episode") == [[0, 5, False]]
    np.testing.assert_allclose(periods(messages)[2].applied, np.append(np.full(7, 0.2), 1.0), atol=1e-9)


def test_what_is_sent_to_a_simulated_arm_gives_the_bits_of_the_environment():
    import envs

    rng = np.random.default_rng(0)
    actions = rng.uniform(-0.5, 0.5, (8, 8))
    stage = Stage(policy=lambda i: actions[i], periods=8)
    stage.run()
    env = envs.make("franka_cube", render=False)
    env.reset(seed=7)
    env.protocol.controller.limiter.__init__(
        safety.share_of(safety.tighter(env.robot.limits, ARM_LIMITS["fr3"]), 1.0, 0.05), 0.1
    )
    env.protocol.controller.reset(env.data.qpos[:7])
    for action in actions:
        env.step(action)
    np.testing.assert_array_equal(stage.robot.env.data.qpos[:9], env.data.qpos[:9])


BAD = [np.full(8, np.nan), np.append(np.zeros(7), np.inf), np.zeros(3), "left", np.full(8, 3.0), None]


@pytest.mark.parametrize("bad", BAD, ids=lambda b: str(b)[:12])
def test_an_action_that_cant_be_sent_is_told_and_never_sent_and_the_arm_holds_and_stops(bad):
    stage = Stage(policy=lambda i: np.append(np.full(7, 0.1), 1.0) if i < 2 else bad, periods=30)
    now, messages = stage.run()
    assert now.ending is Ending.POLICY
    assert all(np.isfinite(q).all() for q in stage.robot.sent)
    assert len(of(messages, "refused")) >= 5
    assert [s for s, *_ in of(messages, "state")][-2:] == ["hold", "stop"]
    sent = np.array(stage.robot.sent)
    assert np.abs(np.diff(sent[-300:], axis=0)).max() < 1e-12  # it has come to rest, and then stopped


def test_a_camera_that_stands_still_holds_the_arm_and_then_stops_it():
    stage = Stage(
        camera=lambda reads: min(reads, 4), policy=lambda i: np.append(np.full(7, 0.1), 1.0), periods=40, rules=FAST
    )
    now, messages = stage.run()
    assert now.ending is Ending.CAMERA
    held = [p for p in periods(messages) if p.state == "hold"]
    assert held and all(p.asked < 0 for p in held)


def test_a_camera_that_comes_back_ends_the_hold():
    stage = Stage(camera=lambda reads: 4 if 4 <= reads < 9 else reads, periods=15, rules=FAST)
    now, messages = stage.run()
    assert now.ending is Ending.DONE
    states = [p.state for p in periods(messages)]
    assert "hold" in states and states[-1] == "run"


def test_a_reflex_is_recovered_once_and_the_operator_confirms_again():
    robot = Spy()
    robot.faults = {3000: RobotFault(Event.REFLEX, "reflex")}
    now, messages = Stage(robot=robot, seeds=(1, 2), periods=30).run()
    assert now.ending is Ending.DONE and robot.recoveries == 1
    assert of(messages, "episode")[0][2] is False  # the episode that it broke
    assert len(of(messages, "armed")) == 2 and len(of(messages, "checks")) == 2


class Stumbles(Spy):
    """Comes to rest in a reflex after its first episode; an arm in reflex takes no motion."""

    stops, stopping, reflex = 0, False, False

    def stop(self):
        self.stops += 1
        self.stopping = self.moving = self.stops == 2

    def serve(self):
        super().serve()
        if self.stopping:
            self.stopping = self.moving = False
            self.reflex = True
            raise RobotFault(Event.REFLEX, "reflex")

    def start(self):
        assert not self.reflex, "a motion was begun in reflex"
        super().start()

    def recover(self):
        super().recover()
        self.reflex = False


def test_a_reflex_between_two_motions_is_recovered_before_the_second_begins():
    now, messages = Stage(robot=Stumbles(), seeds=(1, 2), periods=3).run()
    assert now.ending is Ending.DONE and now.recoveries == 1, now
    assert len(of(messages, "episode")) == 2


@pytest.mark.parametrize(
    "event, ending",
    [(Event.USER_STOP, Ending.USER_STOP), (Event.NETWORK, Ending.NETWORK), (Event.LIMITS, Ending.LIMITS)],
)
def test_other_faults_end_the_run_without_a_recovery(event, ending):
    robot = Spy()
    robot.faults = {2500: RobotFault(event, "gone")}
    now, messages = Stage(robot=robot, periods=30).run()
    assert now.ending is ending and robot.recoveries == 0 and not robot.moving


def test_an_arm_that_is_outside_its_limits_is_let_go_and_not_recovered():
    class Wild(Spy):
        def observe(self):
            state = super().observe()
            state.dq_rad_s[2] = 9.0 if self.time_ms == 2500 else state.dq_rad_s[2]
            return state

    now, _ = Stage(robot=Wild(), periods=30).run()
    assert now.ending is Ending.LIMITS and "joint 3" in now.why


@pytest.mark.parametrize(
    "when, ending", [("checks", Ending.DECLINED), ("armed", Ending.DECLINED), ("period", Ending.INTERRUPTED)]
)
def test_the_operator_can_end_it_in_every_state(when, ending):
    word = "interrupted" if ending is Ending.INTERRUPTED else "declined"
    stage = Stage(operator=lambda m: (word,) if m[0] == when else None, periods=20)
    now, messages = stage.run()
    assert now.ending is ending and not stage.robot.moving
    assert stage.robot.starts == {"checks": 0, "armed": 1, "period": 2}[when]


def test_a_policy_that_is_killed_ends_the_run_and_the_arm_is_let_go():
    stage = Stage(policy=lambda i: GONE if i == 4 else np.append(np.full(7, 0.2), 1.0), periods=20)
    now, messages = stage.run()
    assert now.ending is Ending.POLICY and not stage.robot.moving
    assert len(periods(messages)) == 4 and [success for *_, success in of(messages, "episode")] == [False]


def test_a_main_process_that_is_killed_has_the_arm_brought_to_rest():
    stage = Stage(
        operator=lambda m: GONE if m[0] == "period" else None,
        policy=lambda i: np.append(np.full(7, 0.2), 1.0),
        periods=20,
    )
    now, _ = stage.run()
    assert now.ending is Ending.INTERRUPTED and not stage.robot.moving


def test_a_dry_run_sends_nothing_at_all():
    stage = Stage(dry=True, policy=lambda i: np.append(np.full(7, 0.5), -1.0), periods=6)
    now, messages = stage.run()
    assert now.ending is Ending.DONE and len(periods(messages)) == 6
    assert stage.robot.starts == 0 and not stage.robot.sent
    assert stage.robot.env.protocol.gripper.opening


def test_a_lower_speed_keeps_a_lower_speed_limit():
    stage = Stage(speed=0.2, policy=lambda i: np.append(np.full(7, 1.0), 1.0), periods=10)
    stage.run()
    speed = np.abs(np.diff(np.array(stage.robot.sent)[-1000:], axis=0)).max() / 1e-3
    assert 0.09 < speed < 0.121  # 0.2 x 0.6 rad/s


@pytest.mark.parametrize(
    "verdict, yes_look, ending",
    [("in", False, Ending.DONE), ("out", False, Ending.PREFLIGHT), ("out", True, Ending.DONE)],
)
def test_the_policy_is_asked_once_whether_it_knows_what_the_camera_sees_before_anything_moves(
    verdict, yes_look, ending
):
    asked = []
    stage = Stage(
        look=lambda frames: asked.append((frames.shape, len(stage.robot.sent))) or LookAnswer(verdict, "why"),
        yes_look=yes_look,
        periods=2,
    )
    now, messages = stage.run()
    assert asked == [((30, 8, 8, 3), 0)] and now.ending is ending
    assert [row[0] for row in of(messages, "checks")[0][0]][-1] == "look"
    assert (stage.robot.starts == 0) == (ending is Ending.PREFLIGHT)


def test_a_policy_that_dies_over_the_frames_moves_nothing():
    stage = Stage(look=lambda frames: GONE)
    now, _ = stage.run()
    assert now.ending is Ending.POLICY and stage.robot.starts == 0

"""Replays a recorded episode on an arm. Its actions pass the same gate as a policy's, so the arm stays inside the
limits."""

import functools
from dataclasses import dataclass, replace

import numpy as np

from demos import DemoSet
from demos.errors import DemoError
from deploy.endings import Ending
from deploy.processes.policy import Answer, Blind
from deploy.session import parts
from deploy.session.panel import Panel
from deploy.session.session import Session
from deploy.session.settings import Resolved
from deploy.teaching import on_arm
from deploy.teaching.on_arm import ArmKeys

AFTER_S = 1.0
"""The arm stands still for this long after the last action, so an episode that ended just at its success succeeds
again."""


class RecordedActions(Blind):
    """Takes a policy's place and gives the recorded actions.

    At a share s of the speed, period k gets the increments of the recorded periods in [k s, (k + 1) s), divided by s,
    so the arm goes the same way.
    """

    def __init__(self, path: str, episode: int, speed: float):
        data = DemoSet(path).episode(episode)
        self.actions = np.asarray(data.get("action_applied", data["action"]), np.float64)
        self.speed, self.way = speed, np.vstack([np.zeros(self.actions.shape[1]), np.cumsum(self.actions, 0)])

    def act(self, obs: dict, episode: int, index: int) -> np.ndarray:
        """float64 (A,). After the last action the arm stands still."""
        ends = np.clip(self.speed * np.array([index, index + 1]), 0, len(self.actions))
        at = np.stack([np.interp(ends, np.arange(len(self.way)), column) for column in self.way.T], 1)
        action = (at[1] - at[0]) / self.speed
        action[-1] = self.actions[min(int(ends[0] + 1e-9), len(self.actions) - 1), -1]
        return np.clip(action, -1, 1)


@dataclass
class Drift:
    """Takes a recorder's place and measures how far the joints are from the recorded ones."""

    q_rad: np.ndarray
    """(N, J) the recorded joints."""
    low: np.ndarray
    """(J,) lower ends of the range to which proprioception is scaled."""
    span: np.ndarray
    """(J,) the size of that range."""
    speed: float
    greatest_rad: float = 0.0

    def step(self, answer: Answer, rgb: np.ndarray, proprio: np.ndarray) -> None:
        joints = self.q_rad.shape[1]
        q = self.low + (proprio[:joints] + 1) / 2 * self.span
        then = [np.interp(answer.index * self.speed, np.arange(len(self.q_rad)), column) for column in self.q_rad.T]
        self.greatest_rad = max(self.greatest_rad, float(np.abs(q - then).max()))

    def period(self, period) -> None:
        pass

    def episode(self, episode: int, seed: int, success: bool) -> None:
        pass

    def close(self) -> None:
        pass


def replay(path: str, episodes, keys: ArmKeys) -> tuple[list[dict], Ending, str]:
    """Replays each episode: the arm goes to the first recorded joints, then through the actions.

    Returns {episode, steps, drift_rad, success, was} for each episode, and how and why the last one ended. After an
    ending other than DONE no further episode starts.
    """
    demos = DemoSet(path)
    missing = [key for key in ("proprio", "action") if key not in demos.keys]
    if missing or not demos.attrs.get("env"):
        raise DemoError(
            f"{path} can't be replayed on an arm: it needs proprio, action and the attribute env, and has "
            f"{', '.join(demos.keys)}"
        )
    env = on_arm.scene_of(demos.attrs["env"])
    if demos.attrs["control_hz"] != env.control_hz:
        raise DemoError(
            f"{path} was recorded at {demos.attrs['control_hz']} Hz, and {env.name} runs at {env.control_hz:g}"
        )
    rows, ending, why = [], Ending.DONE, ""
    with on_arm.emulated(keys.settings(f"replay of {path}")) as s, Panel() as panel:
        panel.say(
            "The robot is EMULATED." if s.emulated else f"REAL ROBOT at {s.robot_ip}. Keep the user stop in your hand."
        )
        for i in episodes:
            row, ending, why = _one(demos, int(i), env, s, panel)
            rows.append(row)
            if ending is not Ending.DONE:
                break
    return rows, ending, why


def _one(demos: DemoSet, i: int, env, s: Resolved, panel: Panel) -> tuple[dict, Ending, str]:
    arms = len(env.robot.arm_joints)
    low, span = env.robot.scale_low[:arms], (env.robot.scale_high - env.robot.scale_low)[:arms]
    q_rad = low + (demos.episode(i)["proprio"][:, :arms] + 1) / 2 * span
    drift = Drift(q_rad, low, span, s.speed_scale)
    seed = int(demos.meta("seed")[i]) if "seed" in demos.meta_names else 0
    again = functools.partial(RecordedActions, str(demos.path), i, s.speed_scale)
    periods = len(q_rad) + round(AFTER_S * env.control_hz * s.speed_scale)
    there = replace(env.robot, q_home_rad=tuple(q_rad[0]))  # the arm goes to the first recorded joints
    made = replace(parts.make(s, env), make_policy=again, horizon=periods, robot=there)
    session = Session(s, made, [seed], panel, drift)
    ending = session.run()
    success = any(success for _, _, success in session.outcomes)
    was = bool(demos.meta("success")[i]) if "success" in demos.meta_names else None
    row = dict(episode=i, steps=session.counts.periods, drift_rad=drift.greatest_rad, success=success, was=was)
    return row, ending, session.why

"""A recorded episode once more on an arm: its actions pass the same gate as a policy's, so it stays inside the limits."""

import functools
from dataclasses import dataclass

import numpy as np

from demos import DemoSet
from demos.errors import DemoError
from deploy.endings import Ending
from deploy.processes.policy import Answer, Blind
from deploy.session.panel import Panel
from deploy.teaching import on_arm
from deploy.teaching.on_arm import ArmKeys

AFTER_S = 1.0
"""Standing still after the last action, so that a success that was just reached is reached again."""


class RecordedActions(Blind):
    """In a policy's place. At a share of the speed, each period gets its share of the recorded increments, so that the way
    stays the same: the increments that fall into [k s, (k + 1) s) recorded periods, divided by s."""

    def __init__(self, path: str, episode: int, speed: float):
        data = DemoSet(path).episode(episode)
        self.actions = np.asarray(data.get("action_applied", data["action"]), np.float64)
        self.speed, self.way = speed, np.vstack([np.zeros(self.actions.shape[1]), np.cumsum(self.actions, 0)])

    def act(self, obs: dict, episode: int, index: int) -> np.ndarray:
        """float64 (A,); after the last action the arm stands still."""
        ends = np.clip(self.speed * np.array([index, index + 1]), 0, len(self.actions))
        at = np.stack([np.interp(ends, np.arange(len(self.way)), column) for column in self.way.T], 1)
        action = (at[1] - at[0]) / self.speed
        action[-1] = self.actions[min(int(ends[0] + 1e-9), len(self.actions) - 1), -1]
        return np.clip(action, -1, 1)


@dataclass
class Drift:
    """In a recorder's place: how far the joints are from where they were recorded."""

    q_rad: np.ndarray
    """(N, J) recorded."""
    low: np.ndarray
    span: np.ndarray
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
    """Each episode: the arm goes to where it began, then through its actions. {episode, steps, drift_rad, success, was},
    and how the last one ended; what follows an ending other than DONE is not begun."""
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


def _one(demos: DemoSet, i: int, env, s, panel: Panel) -> tuple[dict, Ending, str]:
    arms = len(env.robot.arm_joints)
    low, span = env.robot.scale_low[:arms], (env.robot.scale_high - env.robot.scale_low)[:arms]
    q_rad = low + (demos.episode(i)["proprio"][:, :arms] + 1) / 2 * span
    drift = Drift(q_rad, low, span, s.speed_scale)
    seed = int(demos.meta("seed")[i]) if "seed" in demos.meta_names else 0
    again = functools.partial(RecordedActions, str(demos.path), i, s.speed_scale)
    periods = len(q_rad) + round(AFTER_S * env.control_hz * s.speed_scale)
    session = on_arm.session(s, env, again, [seed], panel, periods=periods, home_rad=q_rad[0], recorder=drift)
    ending = session.run()
    success = any(success for _, _, success in session.outcomes)
    was = bool(demos.meta("success")[i]) if "success" in demos.meta_names else None
    row = dict(episode=i, steps=session.counts.periods, drift_rad=drift.greatest_rad, success=success, was=was)
    return row, ending, session.why

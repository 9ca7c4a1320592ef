"""Demonstrations by hand guiding: a person moves the arm, whose own controller carries its weight, and uses a few keys.

Nothing here commands the arm. Ten times a second the joints, the gripper and a frame are read. The action is the one
with which a policy would go the same way: the increment from one reading to the next, and the gripper's command.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from demos.recording.teleop import DISCARD, DONE, QUIT, Source
from deploy.cameras import Camera
from deploy.processes.policy import Scale
from deploy.robots.base import Gripper, RobotState

READ_S = 1.0
"""The longest time to wait for a frame."""
HELP = (
    "Enter: start, and at the end keep   Backspace: discard   space: close and open the hand   Esc: quit\n"
    "A foot switch that types one of these keys will do."
)


class Watched(Protocol):
    """An arm that is only read."""

    def observe(self) -> RobotState: ...


@dataclass
class Tape:
    """One episode: for each key a list with one value for each period."""

    rows: dict[str, list] = field(default_factory=dict)

    def add(self, **values) -> None:
        for key, value in values.items():
            self.rows.setdefault(key, []).append(np.array(value))

    def __len__(self) -> int:
        return len(self.rows.get("q_rad", []))

    def episode(self, max_step_rad: float) -> tuple[dict[str, np.ndarray], float]:
        """The episode with the schema's keys, and the share of its periods in which the person moved the arm faster
        than an action can. Those actions are clipped."""
        data = {key: np.stack(values) for key, values in self.rows.items()}
        steps = np.diff(data["q_rad"], axis=0, append=data["q_rad"][-1:]) / max_step_rad
        data["action"] = np.concatenate([np.clip(steps, -1, 1), data.pop("open")[:, None]], 1).astype(np.float32)
        data["action_applied"] = data["action"]
        data["timestamp_s"] = data["captured_s"] - data["captured_s"][0]
        data["success"] = np.zeros(len(steps), bool)
        data["success"][-1] = True  # a person kept the episode
        data["reward"] = data["success"].astype(np.float32)
        return data, float((np.abs(steps) > 1).any(1).mean())


@dataclass
class Guide:
    """Everything around the person. `keep(data)` takes a finished episode."""

    robot: Watched
    hand: Gripper
    camera: Camera
    keys: Source
    scale: Scale
    max_step_rad: float
    period_s: float
    keep: Callable[[dict], object]
    say: Callable[[str], object]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def run(self, episodes: int) -> int:
        """Runs until `episodes` are kept or the person quits. Returns the number of attempts.

        CameraLost and RobotFault end it. The episodes that were kept stay.
        """
        self.say(HELP)
        kept = tried = 0
        while kept < episodes:
            self.say(f"{kept} of {episodes} kept. Put the object in place, guide the hand to its start, press Enter.")
            if self._wait() == QUIT:
                break
            tape, event = self._episode()
            tried += 1
            if event == QUIT:
                break
            if event == DISCARD or len(tape) < 2:
                self.say("discarded")
                continue
            data, fast = tape.episode(self.max_step_rad)
            self.keep(data)
            kept += 1
            slower = (
                f"; {100 * fast:.0f} % of it is faster than a policy can go: guide more slowly" if fast > 0.05 else ""
            )
            self.say(f"kept: {len(tape)} steps{slower}")
        return tried

    def _wait(self) -> str:
        while (event := self.keys.read().event) not in (DONE, QUIT):
            self.hand.serve()
            self.sleep(0.02)
        return event

    def _episode(self) -> tuple[Tape, str]:
        tape, opened, due = Tape(), True, self.clock()
        self.hand.command(False)
        before = None
        while True:
            # What the person types: the end of the episode, or the gripper.
            command = self.keys.read()
            if command.event:
                return tape, command.event
            if command.open_gripper != opened:
                opened = command.open_gripper
                self.hand.command(not opened)
            self.hand.serve()
            # One reading of camera, arm and gripper.
            frame, state, width_m = self.camera.read(READ_S), self.robot.observe(), self.hand.observe().width_m
            rate = 0.0 if before is None else (width_m - before) / self.period_s
            before = width_m
            tape.add(
                q_rad=state.q_rad,
                width_m=np.float64(width_m),
                open=np.float64(1 if opened else -1),
                rgb_wrist=frame.rgb,
                captured_s=np.float64(frame.captured_s),
                frame=np.int64(frame.sequence),
                proprio=self.scale.proprio(state.q_rad, state.dq_rad_s, width_m, rate),
            )
            due = max(due + self.period_s, self.clock() - self.period_s)  # a late period is not made up for
            self.sleep(max(0.0, due - self.clock()))

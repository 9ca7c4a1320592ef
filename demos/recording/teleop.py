"""A person drives the hand in real time: commands become episodes. keyboard.py and spacemouse.py give the commands."""

import io
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from demos.recording.recorder import STATE, Plan, pack
from demos.store.demo_set import DemoWriter
from demos.store.disk import write_file

DONE, DISCARD, QUIT, TAKE = "done", "discard", "quit", "take"


@dataclass
class Command:
    """What the person wants now."""

    velocity: np.ndarray = field(default_factory=lambda: np.zeros(3))
    """Of the hand, in the robot's base frame (forward, left, up), each -1 to 1 of the top speed."""
    spin: np.ndarray = field(default_factory=lambda: np.zeros(3))
    """Rotation about the same axes, each -1 to 1 of the top turning rate."""
    open_gripper: bool = True
    event: str | None = None
    """done: end the episode and keep it by the usual rule. discard: start it again. quit: end the recording. take: take
    the arm from a policy, or give it back."""


class Source(Protocol):
    """A device that gives commands. `close` releases it."""

    help: str

    def read(self) -> Command: ...
    def close(self) -> None: ...


class LiveView:
    """Shows the newest frame: as a PNG that is replaced about ten times a second, and in a window on a display."""

    def __init__(self, path: str | Path | None, window: bool, every_s: float = 0.1):
        self.path, self.every_s, self._last_s = path and Path(path), every_s, -1e9
        self._image = self._window() if window and os.environ.get("DISPLAY") else None

    @staticmethod
    def _window():
        from matplotlib import pyplot as plt

        plt.ion()
        figure, axes = plt.subplots(num="toto_robot")
        axes.axis("off")
        return axes.imshow(np.zeros((8, 16, 3), np.uint8))

    def show(self, frame: np.ndarray) -> None:
        """`frame` uint8 (H, W, 3); most calls do nothing."""
        now = time.monotonic()
        if now - self._last_s < self.every_s:
            return
        self._last_s = now
        if self.path:
            buffer = io.BytesIO()
            Image.fromarray(frame).save(buffer, "PNG", compress_level=1)
            write_file(self.path, buffer.getvalue())
        if self._image is not None:
            self._image.set_data(frame)
            self._image.set_extent((0, frame.shape[1], frame.shape[0], 0))
            self._image.figure.canvas.flush_events()


def teleoperate(
    env,
    source: Source,
    drive: Callable,
    writer: DemoWriter,
    plan: Plan,
    *,
    seed_of: Callable[[int], int],
    first: int = 0,
    views: tuple[str, ...] = (),
    view: LiveView | None = None,
    speed_m_s: float = 0.25,
    turn_rad_s: float = 1.0,
    say: Callable[[str], object] = lambda text: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Record until `plan` has enough, or the person quits; the number of attempts.

    `drive(env, velocity_m_s, spin_rad_s, open_gripper)` gives the action, its twist in the world frame. Each step takes
    one control period of real time; `timestamp_s` is read from `clock`, so a step that came late shows. Attempts count
    from `first`, each with the seed `seed_of(attempt)`.
    """
    index = first
    while plan.kept < plan.episodes:
        plan.running = 1
        obs, _ = env.reset(seed=seed_of(index))
        look_seed = int(env.snapshot()["look_seed"])
        base = env.data.body("base").xmat.reshape(3, 3).copy()
        tape: dict[str, list] = {}
        times: list[float] = []
        start, due = clock(), clock()
        say(f"attempt {index} (kept {plan.kept} of {plan.episodes})")
        while True:
            command = source.read()
            if command.event == QUIT:
                return index - first
            if command.event == DISCARD:
                break
            if command.event == DONE and times:
                break
            action = drive(
                env, base @ command.velocity * speed_m_s, base @ command.spin * turn_rad_s, command.open_gripper
            )
            snapshot = env.snapshot()
            times.append(clock() - start)
            row = {"rgb_wrist": obs["rgb"], "proprio": obs["proprio"], "action": action, "action_applied": action}
            row |= {key: snapshot[key] for key in STATE} | {
                f"rgb_{v}": env.view(v, *obs["rgb"].shape[1::-1]) for v in views
            }
            obs, reward, terminated, truncated, info = env.step(action)
            for key, value in (row | {"reward": np.float32(reward), "success": np.bool_(info["success"])}).items():
                tape.setdefault(key, []).append(np.array(value))
            if view is not None:
                view.show(beside(env))
            if terminated or truncated:
                break
            due = max(due + 1 / env.control_hz, clock() - 1 / env.control_hz)  # never hurry to catch up
            sleep(max(0.0, due - clock()))
        if command.event == DISCARD:
            say("discarded; the same attempt again")
            continue
        success = bool(tape["success"][-1])
        if plan.end(success):
            writer.append(
                pack(tape, env.control_hz, times), {"seed": seed_of(index), "index": index, "look_seed": look_seed}
            )
            say(f"kept: {'success' if success else 'no success'}, {len(times)} steps")
        else:
            say(f"not a success after {len(times)} steps: not kept (keep=all keeps it)")
        index += 1
    return index - first


def beside(env) -> np.ndarray:
    """uint8 (256, 512, 3): `env` from the side, and what its wrist camera sees."""
    return np.concatenate([env.view("side", 256, 256), env.view("wrist", 256, 256)], 1)

"""Records every episode of a deployment in a demonstration set: the policy's observations and actions, what was
applied, and when."""

import subprocess
from pathlib import Path

import numpy as np

from demos import DemoWriter
from demos.recording.recorder import numbers_of
from demos.store import schema
from deploy.control.machine import State
from deploy.control.plan import Period
from deploy.processes.policy import Answer
from envs.interface import Interface

STATES = [state.value for state in State]
EXTRA = """Beside the schema's keys: captured_s, asked_s, applied_s and inference_s (seconds on the run's clock, the
last a duration), q_rad and q_command_rad (measured joints and the last command when the period began),
width_m, frame (the camera's number) and state (an index into notes.states). A period without an action
has no row; meta/missed counts them."""


class Recorder:
    """Pairs the policy's steps with the periods that applied them, and appends an episode when it ends."""

    def __init__(self, path: str | Path, attributes: dict):
        self.writer = DemoWriter(path, attributes, resume=True)
        self.steps: dict[tuple[int, int], tuple[Answer, np.ndarray, np.ndarray]] = {}
        self.periods: list[Period] = []

    def step(self, answer: Answer, rgb: np.ndarray, proprio: np.ndarray) -> None:
        self.steps[answer.episode, answer.index] = answer, rgb, proprio

    def period(self, period: Period) -> None:
        self.periods.append(period)

    def episode(self, episode: int, seed: int, success: bool) -> None:
        """Appends the episode to the set, unless no action was applied."""
        mine = [p for p in self.periods if p.episode == episode]
        rows = [(p, *self.steps[episode, p.asked]) for p in mine if (episode, p.asked) in self.steps]
        self.periods, self.steps = [], {}
        if not rows:
            return
        columns = [self._row(*row) for row in rows]
        data = {key: np.stack([row[key] for row in columns]) for key in columns[0]}
        data["timestamp_s"] = data["captured_s"] - data["captured_s"][0]
        data["success"][-1] = data["reward"][-1] = success  # a person's verdict is not in the rows
        self.writer.append(
            data,
            {
                "seed": seed,
                "success": success,
                "index": self.writer.episodes,
                "missed": sum(p.asked < 0 for p in mine),
                "late": sum(p.late for p in mine),
            },
        )

    @staticmethod
    def _row(p: Period, answer: Answer, rgb: np.ndarray, proprio: np.ndarray) -> dict:
        return {
            "action": np.asarray(answer.action, np.float32),
            "action_applied": p.applied.astype(np.float32),
            "proprio": proprio,
            "rgb_wrist": rgb,
            "success": np.bool_(p.success),
            "reward": np.float32(p.success),
            "captured_s": np.float64(answer.captured_s),
            "asked_s": np.float64(answer.asked_s),
            "applied_s": np.float64(p.start_s),
            "inference_s": np.float64(answer.inference_s),
            "q_rad": p.q_rad,
            "q_command_rad": p.q_d_rad,
            "width_m": np.float64(p.width_m),
            "frame": np.int64(answer.sequence),
            "state": np.int64(STATES.index(p.state)),
        }

    def close(self) -> None:
        self.writer.close()


def attributes(env, camera: dict, notes: dict, interface: Interface | None = None) -> dict:
    """The attributes of a set that is recorded on a robot in the task of `env`.

    `camera` is the intrinsics of its camera, empty if they are unknown. `interface` is what its numbers mean, by
    default those of `env`.
    """
    return schema.attributes(
        env=env.name,
        **numbers_of(env),
        cameras={"wrist": camera},
        interface=schema.plain(interface or env.interface),
        notes={**notes, "states": STATES, "keys": " ".join(EXTRA.split())},
    )


def revision() -> str:
    """The running git commit, with a + if files differ from it. "unknown" outside a checkout."""

    def ask(*words: str) -> str:
        return subprocess.run(["git", *words], capture_output=True, text=True, cwd=Path(__file__).parent).stdout.strip()

    commit = ask("rev-parse", "HEAD")
    return commit + "+" * bool(ask("status", "--porcelain", "-uno")) if commit else "unknown"

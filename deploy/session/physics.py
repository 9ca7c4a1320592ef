"""The true state of a simulated scene, for a camera that draws it and for an expert that sees it."""

from dataclasses import dataclass

import mujoco
import numpy as np

from deploy.control.shared import Block


@dataclass
class SharedPhysics:
    """What `--backend sim` writes: time, the seed of the last reset, qpos and qvel."""

    block: Block
    lockstep: bool

    def into(self, env) -> float:
        """Brings `env` (a RobotEnv of the same scene) to the state of now; its time in seconds of the run's clock."""
        values = self.block.read()
        nq = env.model.nq
        return _set(env, values[0], values[2 : 2 + nq], values[2 + nq :])

    def seed(self) -> int:
        """Of the last reset."""
        return int(self.block.read()[1])


@dataclass
class ConsolePhysics:
    """What the emulator's console tells."""

    ip: str
    port: int
    lockstep: bool

    def into(self, env) -> float:
        from deploy.emulator.console import Console

        if not hasattr(self, "_console"):
            self._console = Console(self.ip, self.port)
        said = self._console.ask("physics")
        return _set(env, said["time_ms"] / 1000, said["qpos"], said["qvel"])


def _set(env, time_s: float, qpos, qvel) -> float:
    env.data.qpos[:], env.data.qvel[:] = np.asarray(qpos), np.asarray(qvel)
    mujoco.mj_forward(env.model, env.data)
    return float(time_s)

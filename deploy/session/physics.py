"""The true state of a simulated scene, for the camera that draws it and for the scripted expert."""

from dataclasses import dataclass, field

import mujoco
import numpy as np

from deploy.control.shared import Block
from deploy.emulator.console import Console


@dataclass
class SharedPhysics:
    """The state that `--backend sim` writes: time, the seed of the last reset, qpos and qvel."""

    block: Block
    lockstep: bool

    def into(self, env) -> float:
        """Sets `env` (a RobotEnv of the same scene) to the present state. Returns its time on the run's clock,
        seconds."""
        values = self.block.read()
        nq = env.model.nq
        return _set(env, values[0], values[2 : 2 + nq], values[2 + nq :])

    def seed(self) -> int:
        """The seed of the last reset."""
        return int(self.block.read()[1])


@dataclass
class ConsolePhysics:
    """The state that the emulator's console reports. The process that asks first opens the connection."""

    ip: str
    port: int
    lockstep: bool
    _console: Console | None = field(default=None, init=False, repr=False)

    def into(self, env) -> float:
        """As `SharedPhysics.into`."""
        if self._console is None:
            self._console = Console(self.ip, self.port)
        said = self._console.ask("physics")
        return _set(env, said["time_ms"] / 1000, said["qpos"], said["qvel"])


def _set(env, time_s: float, qpos, qvel) -> float:
    env.data.qpos[:], env.data.qvel[:] = np.asarray(qpos), np.asarray(qvel)
    mujoco.mj_forward(env.model, env.data)
    return float(time_s)

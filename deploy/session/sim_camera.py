"""The camera of `--backend sim`. It draws the scene that the robot's process steps, exactly as the environment does."""

import time
from typing import Any

import envs
from deploy.cameras.base import BaseCamera, CameraConfig, CameraLost, Frame
from deploy.session.physics import SharedPhysics


class SimCamera(BaseCamera):
    """`physics` gives the state. In lockstep a frame's time is on the run's clock. Otherwise it is wall time, and
    frames come at `config.fps`."""

    physical = False

    def __init__(self, config: CameraConfig, env_name: str, physics: SharedPhysics, shift: str | None = None):
        """`shift`: the scene's look (envs.appearance.SHIFTS), a new one at each reset. None for the look of
        training."""
        super().__init__(config)
        self.env_name, self.physics, self.shift, self._due_s = env_name, physics, shift, 0.0
        self._env: Any = None
        self._dressed: int | None = None
        """The seed whose look the scene has."""
        self._reads = 0

    def open(self) -> None:
        self._env = envs.make(self.env_name, image_size=self.config.size, shift=self.shift)
        self._dressed, self._reads = None, 0

    def read(self, timeout_s: float) -> Frame:
        if not self.physics.lockstep:
            wait_s = self._due_s - time.monotonic()
            if wait_s > timeout_s:
                time.sleep(timeout_s)
                raise self.error(f"no new frame within {timeout_s:g} s", CameraLost)
            time.sleep(max(0.0, wait_s))
            self._due_s = max(self._due_s + 1 / self.config.fps, time.monotonic())
        now_s = time.monotonic()
        if (seed := self.physics.seed()) != self._dressed:
            self._env.reset(seed=seed)
            self._dressed = seed
        time_s = self.physics.into(self._env)
        rgb = self._env.sensed(self._env.view(self.config.name, self.config.size, self.config.size), self._reads)
        self._reads += 1
        return Frame(rgb, time_s if self.physics.lockstep else now_s, round(1000 * time_s))

    def close(self) -> None:
        self._env = None

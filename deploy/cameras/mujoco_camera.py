"""The camera of a simulated scene: of an emulated robot, or of an environment. Its pictures are the environment's."""

import time
from typing import Any

import mujoco

import envs
from deploy.cameras.base import BaseCamera, CameraLost, Frame
from deploy.cameras.intrinsics import Intrinsics
from deploy.emulator.console import CONSOLE_PORT, Console, ConsoleError


class MujocoCamera(BaseCamera):
    """Draws the scene's camera `config.name`: the state that the emulator's console at `config.device` reports, or the
    state of `env`, a `RobotEnv` that something else steps.

    A frame's number is its millisecond of simulated time, so it stands still when the simulation does. The time is the
    wall's, or the robot's if the emulator runs in lockstep.
    """

    physical = False

    def __init__(self, config, env=None):
        super().__init__(config)
        self._env: Any = env
        self._console: Console | None = None
        self._lockstep, self._reads, self._due_s = False, 0, 0.0
        self._dressed: int | None = None
        """The seed whose look the scene has."""

    def open(self) -> None:
        self._due_s = time.monotonic()
        if self._env is None:
            self._connect()
        self.intrinsics = Intrinsics.of_fovy(float(self._env.model.camera(self.config.name).fovy[0]), self.config.size)

    def _connect(self) -> None:
        ip, _, port = self.config.device.partition(":")
        try:
            self._console = Console(ip or "127.0.0.1", int(port or CONSOLE_PORT))
            info = self._console.ask("info")
        except ConsoleError as error:
            raise self.error(f"{error}; a camera on a real arm is realsense or opencv") from error
        scene = info["pixels_env"]
        self._env = envs.make(scene["name"], **{**scene["options"], "image_size": self.config.size})
        self._lockstep = info["clock"] == "lockstep"
        self._fetch(self._console)

    def read(self, timeout_s: float) -> Frame:
        if not self._lockstep:  # in lockstep a frame is due when it is ordered
            wait_s = self._due_s - time.monotonic()
            if wait_s > timeout_s:
                time.sleep(timeout_s)
                raise self.error(
                    f"no new frame within {timeout_s:g} s: it gives {self.config.fps:g} a second", CameraLost
                )
            time.sleep(max(0.0, wait_s))
        captured_s = time.monotonic()
        self._due_s = max(self._due_s + 1 / self.config.fps, captured_s)
        time_ms = round(1000 * self._env.data.time) if self._console is None else self._fetch(self._console)
        rgb = self._env.view(self.config.name, self.config.size, self.config.size)
        if self._console is not None:  # an environment that something else steps counts its own frames
            rgb = self._env.sensed(rgb, self._reads)
        self._reads += 1
        return Frame(rgb, time_ms / 1000 if self._lockstep else captured_s, time_ms)

    def _fetch(self, console: Console) -> int:
        """Sets the scene to the emulator's state, with the look of its last reset. Returns its time in milliseconds."""
        try:
            physics = console.ask("physics")
        except ConsoleError as error:
            raise self.error(str(error), CameraLost) from error
        if physics["seed"] != self._dressed:
            self._env.reset(seed=physics["seed"])
            self._dressed = physics["seed"]
        data = self._env.data
        data.qpos[:], data.qvel[:] = physics["qpos"], physics["qvel"]
        mujoco.mj_forward(self._env.model, data)
        return physics["time_ms"]

    def close(self) -> None:
        if self._console is not None:
            self._console.close()
            self._console = self._env = None

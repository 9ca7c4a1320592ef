"""The camera of a simulated scene, drawn exactly as the environment draws it: from an emulated robot, or from an env."""

import time

import mujoco

import envs
from deploy.cameras.base import BaseCamera, CameraLost, Frame
from deploy.cameras.intrinsics import Intrinsics
from deploy.emulator.console import CONSOLE_PORT, Console, ConsoleError


class MujocoCamera(BaseCamera):
    """Draws the scene's camera `config.name`, of what the emulator's console at `config.device` reports, or of `env` (a
    `RobotEnv` that something else steps). A frame's number is its millisecond of simulated time, so it stands still when
    the simulation does. Time is the wall's, or with the console's lockstep clock the robot's.
    """

    physical = False

    def __init__(self, config, env=None):
        super().__init__(config)
        self._env, self._console, self._lockstep = env, None, False
        self._dressed, self._reads = None, 0

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
        self._fetch()

    def read(self, timeout_s: float) -> Frame:
        if not self._lockstep:  # in lockstep whoever grants the time says when a frame is due
            wait_s = self._due_s - time.monotonic()
            if wait_s > timeout_s:
                time.sleep(timeout_s)
                raise self.error(
                    f"no new frame within {timeout_s:g} s: it gives {self.config.fps:g} a second", CameraLost
                )
            time.sleep(max(0.0, wait_s))
        captured_s = time.monotonic()
        self._due_s = max(self._due_s + 1 / self.config.fps, captured_s)
        time_ms = round(1000 * self._env.data.time) if self._console is None else self._fetch()
        rgb = self._env.view(self.config.name, self.config.size, self.config.size)
        if self._console is not None:  # an env that something else steps counts its own frames
            rgb = self._env.sensed(rgb, self._reads)
        self._reads += 1
        return Frame(rgb, time_ms / 1000 if self._lockstep else captured_s, time_ms)

    def _fetch(self) -> int:
        """The emulator's state into the scene, in the look of its last reset; its time in milliseconds."""
        try:
            physics = self._console.ask("physics")
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

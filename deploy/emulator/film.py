"""A video of the emulated scene. Its own thread draws it, so the millisecond loop does not wait for pictures."""

import os
import queue
import threading
from fractions import Fraction
from pathlib import Path

import mujoco
import numpy as np

import envs
from demos.formats.video import VideoWriter
from deploy.emulator.plant import SCENES
from toto_robot.ground.errors import UserError, expected

FPS, SIDE_PX = 25, 256


class Film:
    """Writes `path`, an MP4 of the view from the side at 25 frames a second of the robot's time, until `close`.

    Raises UserError if there can't be such a file: at once for its folder, in `close` for a disk that is full.
    """

    def __init__(self, emulator, path: str):
        self._path = Path(path)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--film {path}: its folder can't be made ({error.strerror}).") from error
        if not os.access(self._path.parent, os.W_OK):
            raise expected("--film", "a file in a folder that can be written", path)
        self._error: OSError | None = None
        self._poses: queue.SimpleQueue[tuple[int, np.ndarray] | None] = queue.SimpleQueue()
        self._scene, self._shift = emulator.scene, emulator.shift
        self._thread = threading.Thread(target=self._draw, name="film", daemon=True)
        self._thread.start()
        emulator.observers.append(self._watch)

    def close(self) -> None:
        """Draws the remaining frames and finishes the file."""
        self._poses.put(None)
        self._thread.join()
        if self._error is not None:
            raise UserError(f"--film {self._path} was not written: {self._error.strerror}.") from self._error

    def _watch(self, emulator) -> None:
        if emulator.time_ms % (1000 // FPS) == 0 and self._error is None:
            self._poses.put((emulator.plant.seed, emulator.plant.data.qpos.copy()))

    def _draw(self) -> None:
        try:
            self._film()
        except OSError as error:
            self._error = error

    def _film(self) -> None:
        env, dressed = envs.make(SCENES[self._scene], shift=self._shift), None
        partial = self._path.with_name(f".{self._path.name}")
        video = VideoWriter(partial, SIDE_PX, SIDE_PX, Fraction(FPS), "h264", None)
        while (pose := self._poses.get()) is not None:
            seed, qpos = pose
            if seed != dressed:
                env.reset(seed=seed)
                dressed = seed
            env.data.qpos[:] = qpos
            mujoco.mj_forward(env.model, env.data)
            video.write(env.view("side", SIDE_PX, SIDE_PX)[None])
        if video.count:  # without a frame there is no file
            video.close()
            partial.rename(self._path)

"""A video of the emulated scene. Its own thread draws it, so the millisecond loop does not wait for pictures."""

import queue
import threading
from fractions import Fraction
from pathlib import Path

import mujoco
import numpy as np

import envs
from demos.formats.video import VideoWriter
from deploy.emulator.plant import SCENES

FPS, SIDE_PX = 25, 256


class Film:
    """Writes `path`, an MP4 of the view from the side at 25 frames a second of the robot's time, until `close`."""

    def __init__(self, emulator, path: str):
        self._path = Path(path)
        self._poses: queue.SimpleQueue[tuple[int, np.ndarray] | None] = queue.SimpleQueue()
        self._scene, self._shift = emulator.scene, emulator.shift
        self._thread = threading.Thread(target=self._draw, name="film", daemon=True)
        self._thread.start()
        emulator.observers.append(self._watch)

    def close(self) -> None:
        """Draws the remaining frames and finishes the file."""
        self._poses.put(None)
        self._thread.join()

    def _watch(self, emulator) -> None:
        if emulator.time_ms % (1000 // FPS) == 0:
            self._poses.put((emulator.plant.seed, emulator.plant.data.qpos.copy()))

    def _draw(self) -> None:
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

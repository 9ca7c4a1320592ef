"""MuJoCo's viewer on the emulated scene."""

import mujoco
import mujoco.viewer

PERIOD_MS = 33


class Viewer:
    """Shows a copy of the scene, so the mouse can't push anything. MuJoCo's error is raised if no window opens."""

    def __init__(self, emulator):
        self._model, self._data = emulator.plant.model, mujoco.MjData(emulator.plant.model)
        self._window = mujoco.viewer.launch_passive(self._model, self._data)
        emulator.observers.append(self._watch)

    def close(self) -> None:
        self._window.close()

    def _watch(self, emulator) -> None:
        if emulator.time_ms % PERIOD_MS == 0 and self._window.is_running():
            with self._window.lock():
                self._data.qpos[:] = emulator.plant.data.qpos
                mujoco.mj_forward(self._model, self._data)
            self._window.sync()

"""Many environments at once: spawned workers, shared memory, no autoreset."""

import contextlib
import sys
import types
from collections.abc import Callable, Iterable
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np

from envs.backends.single import make
from envs.errors import EnvError
from toto_robot.ground import workers
from toto_robot.ground.errors import UserError
from toto_robot.ground.workers import Worker

Layout = dict[str, tuple[tuple[int, ...], np.dtype]]
"""Shape and dtype of each array in the shared memory."""
ACTED = ("reward", "terminated", "truncated", "success", "steps")
"""What a step gives in addition to the observation."""


@contextlib.contextmanager
def _without_program(needed: type):
    """Keeps a spawned process from importing the program that spawns it, unless the program itself defines `needed`.

    Otherwise each worker imports the program, and with it torch, which costs 3 s and 250 MB and is not needed.
    """
    program = sys.modules["__main__"]
    if needed.__module__ != "__main__":
        sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program


class VectorEnv:
    """`num_envs` environments over `workers` processes. A worker steps its slots one after another.

    Slots are independent and nothing is reset automatically. A caller that scores a fixed list of seeds resets a slot
    when its episode is over, and leaves finished slots alone through `active`. `labeller.label(env)` runs in the worker
    on every visited state and becomes `obs["expert"]` (N, A). With `snapshots`, observations also hold `sim_state`,
    `protocol_state`, `task_state` and `look_seed` of their state (see `RobotEnv.snapshot`). Each camera in `views` adds
    `rgb_<camera>`. Results do not depend on `workers`. With `workers=0` the environments stay in this process, for a
    labeller that needs the terminal.
    """

    def __init__(
        self,
        name: str,
        num_envs: int,
        *,
        workers: int = 2,
        privileged: bool = False,
        render: bool = True,
        labeller=None,
        shift: str | None = None,
        appearance="nominal",
        image_size: int = 128,
        snapshots: bool = False,
        views: tuple[str, ...] = (),
        also: tuple[str, ...] = (),
        also_steady: bool = False,
        backend: str = "mujoco",
    ):
        """`also` and `also_steady`: see `RobotEnv`; obs["rgb_also"] is (N, K, S, S, 3). `backend`: mujoco or robosuite,
        the simulators with single environments; `envs.make_vec` has all."""
        if num_envs < 1 or workers < 0:
            raise EnvError(f"num_envs must be at least 1 and workers at least 0, got {num_envs} and {workers}")
        options: dict[str, Any] = dict(
            privileged=privileged,
            render=render,
            shift=shift,
            appearance=appearance,
            image_size=image_size,
            backend=backend,
            **({"also": tuple(also), "also_steady": also_steady} if also else {}),
        )
        # One environment in this process tells the sizes; it draws nothing.
        probe = make(name, **{**options, "render": False})
        self.name, self.num_envs, self.shift, self.labeller = name, num_envs, shift, labeller
        self.action_dim = probe.action_space.shape[0]
        self.proprio_dim = probe.observation_space["proprio"].shape[0]
        self.privileged_dim = probe.observation_space["privileged"].shape[0] if privileged else 0
        self.control_hz, self.horizon, self.interface = probe.control_hz, probe.horizon, probe.interface
        picture: tuple[tuple[int, ...], type] = ((image_size, image_size, 3), np.uint8)
        shapes: dict[str, tuple[tuple[int, ...], Any]] = {
            "rgb": picture,
            "proprio": ((self.proprio_dim,), np.float32),
            "reward": ((), np.float64),
            "terminated": ((), np.bool_),
            "truncated": ((), np.bool_),
            "success": ((), np.bool_),
            "steps": ((), np.int64),
        }
        if also:
            shapes["rgb_also"] = ((len(also), image_size, image_size, 3), np.uint8)
        if privileged:
            shapes["privileged"] = ((self.privileged_dim,), np.float32)
        if labeller is not None:
            shapes["expert"] = ((self.action_dim,), np.float32)
        shapes |= {f"rgb_{camera}": picture for camera in views}
        if snapshots:
            probe.reset(seed=0)
            shapes |= {key: (value.shape, value.dtype) for key, value in _state(probe).items()}
        layout: Layout = {k: ((num_envs, *shape), np.dtype(dtype)) for k, (shape, dtype) in shapes.items()}
        self._observed = [k for k in shapes if k not in ACTED]
        size = sum(int(np.prod(shape)) * dtype.itemsize + 64 for shape, dtype in layout.values())
        self._memory: SharedMemory | None = SharedMemory(create=True, size=size)
        self._arrays = _views(self._memory.buf, layout)
        built_from = (name, options, labeller, snapshots, views)
        self._local = None if workers else _Slots(self._arrays, range(num_envs), *built_from)
        self._workers: list[tuple[Worker, np.ndarray]] = []
        for slots in np.array_split(np.arange(num_envs), min(workers, num_envs)) if workers else ():
            with _without_program(type(labeller)):
                worker = Worker(
                    "an environment worker", _RemoteSlots, self._memory.name, layout, slots.tolist(), *built_from
                )
            self._workers.append((worker, slots))
        self._gather(worker for worker, _ in self._workers)

    def reset(self, seeds, indices=None) -> dict[str, np.ndarray]:
        """Starts new episodes in `indices` (all by default), one seed each. Returns every slot's observation."""
        indices = np.arange(self.num_envs) if indices is None else np.asarray(indices, int)
        if len(seeds) != len(indices):
            raise EnvError(f"reset takes one seed for each of the {len(indices)} slots, got {len(seeds)}")
        seed_of = dict(zip(indices.tolist(), (int(s) for s in seeds)))
        self._ask("reset", lambda slots: {i: seed_of[i] for i in slots if i in seed_of})
        return self._observe()

    def step(self, actions, active=None):
        """(obs, reward, terminated, truncated, info) after one step of each active slot; actions (N, A)."""
        actions = np.asarray(actions, np.float32)
        if actions.shape != (self.num_envs, self.action_dim):
            raise EnvError(f"step takes actions {(self.num_envs, self.action_dim)}, got {actions.shape}")
        active = np.ones(self.num_envs, bool) if active is None else np.asarray(active, bool)
        self._arrays["reward"][:] = 0.0
        self._ask("step", lambda slots: {i: actions[i] for i in slots if active[i]})
        copy = {k: self._arrays[k].copy() for k in ACTED}
        info = {"success": copy.pop("success"), "steps": copy.pop("steps")}
        return self._observe(), copy["reward"], copy["terminated"], copy["truncated"], info

    def get_state(self) -> list[bytes]:
        """One opaque state for each slot; see `RobotEnv.get_state`."""
        merged: dict[int, bytes] = {}
        for part in self._ask("get_state", lambda slots: slots):
            merged.update(part)
        return [merged[i] for i in range(self.num_envs)]

    def set_state(self, states: list[bytes]) -> dict[str, np.ndarray]:
        """Restores `get_state` of a VectorEnv of the same environment; returns the observations."""
        if len(states) != self.num_envs:
            raise EnvError(f"set_state takes {self.num_envs} states, got {len(states)}")
        self._ask("set_state", lambda slots: {i: states[i] for i in slots})
        return self._observe()

    def render(self, index: int, camera: str = "side", width: int = 256, height: int = 256) -> np.ndarray:
        """uint8 (height, width, 3) of one slot."""
        return self._ask_one("render", index, camera, width, height)

    def call(self, index: int, path: str):
        """The value at dotted `path` in slot `index`'s environment, e.g. "data.time" (for tests and tools)."""
        return self._ask_one("read", index, path)

    def close(self) -> None:
        """Ends the workers and frees the memory; safe to call twice."""
        workers.close([worker for worker, _ in self._workers])
        self._workers, self._local = [], None
        if self._memory is not None:
            self._arrays = {}
            self._memory.close()
            self._memory.unlink()
            self._memory = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        if getattr(self, "_memory", None) is not None:
            self.close()

    def _observe(self) -> dict[str, np.ndarray]:
        return {k: self._arrays[k].copy() for k in self._observed}

    def _ask_one(self, method: str, index: int, *args) -> Any:
        """The answer of the worker that has slot `index`."""
        if self._local is not None:
            return getattr(self._local, method)(index, *args)
        worker = next(worker for worker, slots in self._workers if index in slots)
        worker.call(method, index, *args)
        return worker.result()

    def _ask(self, method: str, argument_for: Callable[[list[int]], Any]) -> list:
        """The answers of all workers. `argument_for(slots)` gives the argument of a worker with these slots."""
        if self._local is not None:
            return [getattr(self._local, method)(argument_for(list(range(self.num_envs))))]
        for worker, slots in self._workers:
            worker.call(method, argument_for(slots.tolist()))
        return self._gather(worker for worker, _ in self._workers)

    @staticmethod
    def _gather(asked: Iterable[Worker]) -> list:
        """All answers. An error is raised only after every worker has answered, so no answer is left in a pipe."""
        answers: list = []
        errors: list[Exception] = []
        for worker in asked:
            try:
                answers.append(worker.result())
            except (UserError, RuntimeError) as error:
                errors.append(error)
        if errors:
            raise errors[0]
        return answers


def _views(buffer, layout: Layout) -> dict[str, np.ndarray]:
    """The arrays of `layout` in `buffer`, each at a multiple of 64 bytes."""
    views, offset = {}, 0
    for key, (shape, dtype) in layout.items():
        views[key] = np.ndarray(shape, dtype, buffer, offset)
        offset += -(-int(np.prod(shape)) * dtype.itemsize // 64) * 64
    return views


def _state(env) -> dict[str, np.ndarray]:
    """The part of `env.snapshot()` that an observer can't count."""
    return {key: value for key, value in env.snapshot().items() if key not in ("steps", "success")}


class _Slots:
    """The environments of one worker and the commands that they carry out. Observations go into `arrays`."""

    def __init__(self, arrays, slots, name, options, labeller, snapshots, views):
        self.arrays, self.labeller, self.snapshots, self.views = arrays, labeller, snapshots, views
        self.envs = {i: make(name, **options) for i in slots}

    def put(self, i, obs):
        for key, value in obs.items():
            self.arrays[key][i] = value
        if self.labeller is not None:
            self.arrays["expert"][i] = self.labeller.label(self.envs[i])
        for camera in self.views:
            self.arrays[f"rgb_{camera}"][i] = self.envs[i].view(camera, *obs["rgb"].shape[1::-1])
        for key, value in _state(self.envs[i]).items() if self.snapshots else ():
            self.arrays[key][i] = value

    def reset(self, jobs):
        for i, seed in jobs.items():
            self.put(i, self.envs[i].reset(seed=seed)[0])
            for key in ACTED:
                self.arrays[key][i] = 0

    def step(self, jobs):
        for i, action in jobs.items():
            obs, reward, terminated, truncated, info = self.envs[i].step(action)
            self.put(i, obs)
            for key, value in zip(ACTED, (reward, terminated, truncated, info["success"], info["steps"])):
                self.arrays[key][i] = value

    def get_state(self, indices):
        return {i: self.envs[i].get_state() for i in indices}

    def set_state(self, states):
        for i, state in states.items():
            self.put(i, self.envs[i].set_state(state))

    def render(self, index, camera, width, height):
        return self.envs[index].view(camera, width, height)

    def read(self, index, path):
        value = self.envs[index]
        for part in path.split("."):
            value = getattr(value, part)
        return value


class _RemoteSlots(_Slots):
    """`_Slots` in a worker process, whose arrays are in shared memory."""

    def __init__(self, memory_name: str, layout: Layout, *built_from):
        self._memory = SharedMemory(memory_name)
        super().__init__(_views(self._memory.buf, layout), *built_from)

    def close(self) -> None:
        self.arrays.clear()
        self._memory.close()

"""Many environments at once: spawned workers, shared memory, no autoreset."""

import contextlib
import multiprocessing as mp
import sys
import traceback
import types
from multiprocessing.shared_memory import SharedMemory

import numpy as np

from envs.errors import EnvError


@contextlib.contextmanager
def _without_program(needed: type):
    """A spawned process imports the program that spawned it once more, and with it torch: 3 s and 250 MB for each worker,
    which needs nothing of it, unless the program itself defines what it is given."""
    program = sys.modules["__main__"]
    if needed.__module__ != "__main__":
        sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program


class VectorEnv:
    """`num_envs` environments over `workers` processes; the slots of a worker are stepped in turn.

    Slots are independent and nothing resets itself: a caller that scores a fixed list of seeds resets a slot when it
    is done with it, and leaves finished slots alone through `active`. `labeller.label(env)`, called in the worker on
    every visited state, becomes `obs["expert"]` (N, A). With `snapshots`, observations hold `sim_state`,
    `protocol_state`, `task_state` and `look_seed` of the state that they show (see `RobotEnv.snapshot`); each camera in
    `views` adds `rgb_<camera>`.
    Results do not depend on `workers`.
    """

    def __init__(self, name: str, num_envs: int, *, workers: int = 2, privileged: bool = False, render: bool = True,
                 labeller=None, shift: str | None = None, appearance="nominal", image_size: int = 128,
                 snapshots: bool = False, views: tuple[str, ...] = (), backend: str = "mujoco"):
        """`backend`: a simulator with single environments, mujoco or robosuite; `envs.make_vec` has all."""
        from envs.registry import make

        if num_envs < 1 or workers < 1:
            raise EnvError(f"num_envs and workers must be at least 1, got {num_envs} and {workers}")
        options = dict(privileged=privileged, render=render, shift=shift, appearance=appearance, image_size=image_size,
                       backend=backend)
        probe = make(name, **{**options, "render": False})
        self.name, self.num_envs, self.shift = name, num_envs, shift
        self.action_dim = probe.action_space.shape[0]
        self.proprio_dim = probe.observation_space["proprio"].shape[0]
        self.privileged_dim = probe.observation_space["privileged"].shape[0] if privileged else 0
        self.control_hz, self.horizon = probe.control_hz, probe.horizon
        shapes = {"rgb": ((image_size, image_size, 3), np.uint8), "proprio": ((self.proprio_dim,), np.float32),
                  "reward": ((), np.float64), "terminated": ((), np.bool_), "truncated": ((), np.bool_),
                  "success": ((), np.bool_), "steps": ((), np.int64)}
        if privileged:
            shapes["privileged"] = ((self.privileged_dim,), np.float32)
        if labeller is not None:
            shapes["expert"] = ((self.action_dim,), np.float32)
        shapes |= {f"rgb_{camera}": ((image_size, image_size, 3), np.uint8) for camera in views}
        if snapshots:
            probe.reset(seed=0)
            shapes |= {key: (value.shape, value.dtype) for key, value in _state(probe).items()}
        self._layout = {k: ((num_envs, *shape), np.dtype(dtype)) for k, (shape, dtype) in shapes.items()}
        acted = ("reward", "terminated", "truncated", "success", "steps")
        self._observed = [k for k in shapes if k not in acted]
        size = sum(int(np.prod(shape)) * dtype.itemsize + 64 for shape, dtype in self._layout.values())
        self._memory = SharedMemory(create=True, size=size)
        self._arrays = _views(self._memory.buf, self._layout)
        context = mp.get_context("spawn")  # forking after GL or torch threads have started can hang
        self._workers = []
        for slots in np.array_split(np.arange(num_envs), min(workers, num_envs)):
            here, there = context.Pipe()
            process = context.Process(target=_work, daemon=True, args=(
                there, self._memory.name, self._layout, slots.tolist(), name, options, labeller, snapshots, views))
            with _without_program(type(labeller)):
                process.start()
            there.close()
            self._workers.append((process, here, slots))
        self._gather(self._workers)

    def reset(self, seeds, indices=None) -> dict[str, np.ndarray]:
        """Starts new episodes in `indices` (all by default), one seed each; returns every slot's observation."""
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
        copy = {k: self._arrays[k].copy() for k in ("reward", "terminated", "truncated", "success", "steps")}
        info = {"success": copy.pop("success"), "steps": copy.pop("steps")}
        return self._observe(), copy["reward"], copy["terminated"], copy["truncated"], info

    def get_state(self) -> list[bytes]:
        """One opaque state a slot; see `RobotEnv.get_state`."""
        merged = {}
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
        worker = next(w for w in self._workers if index in w[2])
        worker[1].send(("render", (index, camera, width, height)))
        return self._gather([worker])[0]

    def call(self, index: int, path: str):
        """The value at dotted `path` in slot `index`'s environment, e.g. "data.time" (for tests and tools)."""
        worker = next(w for w in self._workers if index in w[2])
        worker[1].send(("read", (index, path)))
        return self._gather([worker])[0]

    def close(self) -> None:
        """Ends the workers and frees the memory; safe to call twice."""
        for process, pipe, _ in self._workers:
            try:
                pipe.send(("close", None))
            except (BrokenPipeError, OSError):
                pass
        for process, pipe, _ in self._workers:
            process.join(timeout=5)
            if process.is_alive():
                process.kill()
            pipe.close()
        self._workers = []
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

    def _observe(self):
        return {k: self._arrays[k].copy() for k in self._observed}

    def _ask(self, command, argument_for):
        for _, pipe, slots in self._workers:
            pipe.send((command, argument_for(slots.tolist())))
        return self._gather(self._workers)

    def _gather(self, workers):
        answers = []
        for process, pipe, _ in workers:
            try:
                kind, value = pipe.recv()
            except (EOFError, ConnectionResetError) as error:
                raise RuntimeError(f"an environment worker died (exit code {process.exitcode})") from error
            answers.append((kind, value))
        for kind, value in answers:
            if kind == "user error":
                raise EnvError(value)
            if kind == "bug":
                raise RuntimeError(f"an environment worker failed:\n{value}")
        return [value for _, value in answers]


def _views(buffer, layout) -> dict[str, np.ndarray]:
    views, offset = {}, 0
    for key, (shape, dtype) in layout.items():
        views[key] = np.ndarray(shape, dtype, buffer, offset)
        offset += -(-int(np.prod(shape)) * dtype.itemsize // 64) * 64
    return views


def _state(env) -> dict[str, np.ndarray]:
    """The part of `env.snapshot()` that an observer can't count for himself."""
    return {key: value for key, value in env.snapshot().items() if key not in ("steps", "success")}


def _work(pipe, memory_name, layout, slots, name, options, labeller, snapshots, views):
    """A worker: builds its environments, then answers commands until it is told to close or its parent is gone."""
    import signal

    from envs.registry import make

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    memory = SharedMemory(memory_name)
    arrays = _views(memory.buf, layout)

    def put(i, obs):
        for key, value in obs.items():
            arrays[key][i] = value
        if labeller is not None:
            arrays["expert"][i] = labeller.label(envs[i])
        for camera in views:
            arrays[f"rgb_{camera}"][i] = envs[i].view(camera, *obs["rgb"].shape[1::-1])
        for key, value in _state(envs[i]).items() if snapshots else ():
            arrays[key][i] = value

    def reset(jobs):
        for i, seed in jobs.items():
            put(i, envs[i].reset(seed=seed)[0])
            for key in ("reward", "terminated", "truncated", "success", "steps"):
                arrays[key][i] = 0

    def step(jobs):
        for i, action in jobs.items():
            obs, reward, terminated, truncated, info = envs[i].step(action)
            put(i, obs)
            arrays["reward"][i], arrays["terminated"][i], arrays["truncated"][i] = reward, terminated, truncated
            arrays["success"][i], arrays["steps"][i] = info["success"], info["steps"]

    def read(job):
        value = envs[job[0]]
        for part in job[1].split("."):
            value = getattr(value, part)
        return value

    commands = {
        "reset": reset, "step": step, "read": read,
        "get_state": lambda indices: {i: envs[i].get_state() for i in indices},
        "set_state": lambda states: [put(i, envs[i].set_state(s)) for i, s in states.items()] and None,
        "render": lambda job: envs[job[0]].view(*job[1:]),
    }
    try:
        envs = {i: make(name, **options) for i in slots}
        pipe.send(("ok", None))
        while True:
            command, argument = pipe.recv()
            if command == "close":
                break
            pipe.send(("ok", commands[command](argument)))
    except EOFError:
        pass  # the parent is gone
    except EnvError as error:
        pipe.send(("user error", str(error)))
    except Exception:
        pipe.send(("bug", traceback.format_exc()))
    finally:
        arrays.clear()
        memory.close()

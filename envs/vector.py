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


ACTED = ("reward", "terminated", "truncated", "success", "steps")
"""What a step gives beside the observation."""


class VectorEnv:
    """`num_envs` environments over `workers` processes; the slots of a worker are stepped in turn.

    Slots are independent and nothing resets itself: a caller that scores a fixed list of seeds resets a slot when it
    is done with it, and leaves finished slots alone through `active`. `labeller.label(env)`, called in the worker on
    every visited state, becomes `obs["expert"]` (N, A). With `snapshots`, observations hold `sim_state`,
    `protocol_state`, `task_state` and `look_seed` of the state that they show (see `RobotEnv.snapshot`); each camera in
    `views` adds `rgb_<camera>`.
    Results do not depend on `workers`; with 0 of them the environments stay in this process, for a labeller that needs
    its terminal.
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
        backend: str = "mujoco",
    ):
        """`also`: see `RobotEnv`; obs["rgb_also"] is (N, K, S, S, 3). `backend`: a simulator with single environments, mujoco or robosuite; `envs.make_vec` has all."""
        from envs.registry import make

        if num_envs < 1 or workers < 0:
            raise EnvError(f"num_envs must be at least 1 and workers at least 0, got {num_envs} and {workers}")
        options = dict(
            privileged=privileged,
            render=render,
            shift=shift,
            appearance=appearance,
            image_size=image_size,
            backend=backend,
            **({"also": tuple(also)} if also else {}),
        )
        probe = make(name, **{**options, "render": False})
        self.name, self.num_envs, self.shift, self.labeller = name, num_envs, shift, labeller
        self.action_dim = probe.action_space.shape[0]
        self.proprio_dim = probe.observation_space["proprio"].shape[0]
        self.privileged_dim = probe.observation_space["privileged"].shape[0] if privileged else 0
        self.control_hz, self.horizon, self.interface = probe.control_hz, probe.horizon, probe.interface
        shapes = {
            "rgb": ((image_size, image_size, 3), np.uint8),
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
        shapes |= {f"rgb_{camera}": ((image_size, image_size, 3), np.uint8) for camera in views}
        if snapshots:
            probe.reset(seed=0)
            shapes |= {key: (value.shape, value.dtype) for key, value in _state(probe).items()}
        self._layout = {k: ((num_envs, *shape), np.dtype(dtype)) for k, (shape, dtype) in shapes.items()}
        self._observed = [k for k in shapes if k not in ACTED]
        size = sum(int(np.prod(shape)) * dtype.itemsize + 64 for shape, dtype in self._layout.values())
        self._memory = SharedMemory(create=True, size=size)
        self._arrays = _views(self._memory.buf, self._layout)
        built_from = (name, options, labeller, snapshots, views)
        self._local = None if workers else _Slots(self._arrays, range(num_envs), *built_from)
        context = mp.get_context("spawn")  # forking after GL or torch threads have started can hang
        self._workers = []
        for slots in np.array_split(np.arange(num_envs), min(workers, num_envs)) if workers else ():
            here, there = context.Pipe()
            process = context.Process(
                target=_work, daemon=True, args=(there, self._memory.name, self._layout, slots.tolist(), *built_from)
            )
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
        return self._ask_one("render", (index, camera, width, height))

    def call(self, index: int, path: str):
        """The value at dotted `path` in slot `index`'s environment, e.g. "data.time" (for tests and tools)."""
        return self._ask_one("read", (index, path))

    def close(self) -> None:
        """Ends the workers and frees the memory; safe to call twice."""
        for _, pipe, _ in self._workers:
            with contextlib.suppress(BrokenPipeError, OSError):
                pipe.send(("close", None))
        for process, pipe, _ in self._workers:
            process.join(timeout=5)
            if process.is_alive():
                process.kill()
            pipe.close()
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

    def _observe(self):
        return {k: self._arrays[k].copy() for k in self._observed}

    def _ask_one(self, command, job):
        """The answer of the worker that has slot `job[0]`."""
        if self._local is not None:
            return getattr(self._local, command)(job)
        worker = next(w for w in self._workers if job[0] in w[2])
        worker[1].send((command, job))
        return self._gather([worker])[0]

    def _ask(self, command, argument_for):
        if self._local is not None:
            return [getattr(self._local, command)(argument_for(list(range(self.num_envs))))]
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


class _Slots:
    """The environments of one worker, and what they are asked to do; what they see goes to shared `arrays`."""

    def __init__(self, arrays, slots, name, options, labeller, snapshots, views):
        from envs.registry import make

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

    def render(self, job):
        return self.envs[job[0]].view(*job[1:])

    def read(self, job):
        value = self.envs[job[0]]
        for part in job[1].split("."):
            value = getattr(value, part)
        return value


def _work(pipe, memory_name, layout, slots, *built_from):
    """A worker: builds its environments, then answers commands until it is told to close or its parent is gone."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    memory = SharedMemory(memory_name)
    arrays = _views(memory.buf, layout)
    try:
        mine = _Slots(arrays, slots, *built_from)
        pipe.send(("ok", None))
        while True:
            command, argument = pipe.recv()
            if command == "close":
                break
            pipe.send(("ok", getattr(mine, command)(argument)))
    except (EOFError, ConnectionResetError):
        pass  # the parent is gone
    except EnvError as error:
        pipe.send(("user error", str(error)))
    except Exception:
        pipe.send(("bug", traceback.format_exc()))
    finally:
        arrays.clear()
        memory.close()

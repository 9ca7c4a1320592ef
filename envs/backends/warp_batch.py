"""backend=mujoco_warp: the same MJCF, stepped by MuJoCo Warp for all slots at once, on a GPU where there is one."""

import sys

import numpy as np

from envs.backends.single import make
from envs.errors import EnvError

CONTACTS = 64
"""The largest number of contacts in a slot. A full drawer with a hand in it has about half as many."""
UPLOADED = ("qpos", "qvel", "ctrl", "mocap_pos", "mocap_quat", "qacc_warmstart")
DOWNLOADED = ("qpos", "qvel", "qfrc_bias", "qfrc_gravcomp")


def _warp():
    """(warp, mujoco_warp), without their messages on stdout."""
    try:
        import warp

        if hasattr(warp, "LOG_WARNING"):
            warp.config.log_level = warp.LOG_WARNING
        else:
            warp.config.quiet = True
        import mujoco_warp
    except ImportError as error:
        raise EnvError(
            f"backend=mujoco_warp needs MuJoCo Warp ({error}): pip install -e '.[mujoco_warp]', or pip install "
            "mujoco-warp==3.9.0.1 warp-lang==1.14.0 (the versions that belong to mujoco 3.9)"
        ) from error
    return warp, mujoco_warp


class WarpVectorEnv:
    """`num_envs` environments with the contract of `envs.VectorEnv`, whose physics runs in one batch in MuJoCo Warp.

    Each slot is a `RobotEnv` in this process that holds the slot's state and does everything but the physics: resets,
    protocol, reward, success, looks, drawing, labels and snapshots are the same code. A control step uploads the
    states, steps the batch from set-point to set-point, and downloads them. `mj_forward` then brings bodies and
    contacts up to date for the rules. The physics is in float32 and its contact solver differs in the last digits, so
    trajectories agree with backend=mujoco up to rounding until the first contact. Slots are independent, and inactive
    ones stand still.
    """

    def __init__(
        self,
        name: str,
        num_envs: int,
        *,
        workers: int = 1,
        privileged: bool = False,
        render: bool = True,
        labeller=None,
        shift: str | None = None,
        appearance="nominal",
        image_size: int = 128,
        snapshots: bool = False,
        views: tuple[str, ...] = (),
        device: str | None = None,
    ):
        """`device`: one of warp's, as "cuda:0"; None for the first GPU, or the CPU where there is no GPU. `workers` is
        accepted and not used."""
        if num_envs < 1:
            raise EnvError(f"num_envs must be at least 1, got {num_envs}")
        self._wp, self._mjw = _warp()
        if device is None:
            device = "cuda:0" if self._wp.is_cuda_available() else "cpu"
        if device == "cpu":
            print(
                "mujoco_warp: there is no CUDA device, so the batch runs on warp's CPU device, which is slower than "
                "backend=mujoco; compiling its kernels takes minutes the first time.",
                file=sys.stderr,
            )
        self.envs = [
            make(name, privileged=privileged, render=render, shift=shift, appearance=appearance, image_size=image_size)
            for _ in range(num_envs)
        ]
        one = self.envs[0]
        self.name, self.num_envs, self.shift, self.device, self.labeller = name, num_envs, shift, device, labeller
        self.action_dim, self.proprio_dim = one.action_space.shape[0], one.observation_space["proprio"].shape[0]
        self.privileged_dim = one.observation_space["privileged"].shape[0] if privileged else 0
        self.control_hz, self.horizon, self.interface = one.control_hz, one.horizon, one.interface
        self._snapshots, self._views, self._image_size = snapshots, views, image_size
        with self._wp.ScopedDevice(device):
            self._model = self._mjw.put_model(one.model)
            rows = 4 * CONTACTS + 2 * one.model.nv + 8 * one.model.neq
            self._data = self._mjw.put_data(one.model, one.data, nworld=num_envs, nconmax=CONTACTS, njmax=rows)
        self._seen: list[dict] = [{} for _ in range(num_envs)]
        self._acted = {
            "reward": np.zeros(num_envs),
            "terminated": np.zeros(num_envs, bool),
            "truncated": np.zeros(num_envs, bool),
            "success": np.zeros(num_envs, bool),
            "steps": np.zeros(num_envs, np.int64),
        }
        self.reset(range(num_envs))

    def reset(self, seeds, indices=None) -> dict[str, np.ndarray]:
        """Starts new episodes in `indices` (all by default), one seed each. Returns every slot's observation."""
        indices = np.arange(self.num_envs) if indices is None else np.asarray(indices, int)
        if len(seeds) != len(indices):
            raise EnvError(f"reset takes one seed for each of the {len(indices)} slots, got {len(seeds)}")
        for seed, i in zip(seeds, indices):
            self._see(i, self.envs[i].reset(seed=int(seed))[0])
            for array in self._acted.values():
                array[i] = 0
        return self._observe()

    def step(self, actions, active=None):
        """(obs, reward, terminated, truncated, info) after one step of each active slot; actions (N, A)."""
        actions = np.asarray(actions, np.float32)
        if actions.shape != (self.num_envs, self.action_dim):
            raise EnvError(f"step takes actions {(self.num_envs, self.action_dim)}, got {actions.shape}")
        moving = range(self.num_envs) if active is None else np.flatnonzero(active).tolist()
        checked = {i: self.envs[i].checked(actions[i]) for i in moving}
        self._advance(checked)
        self._acted["reward"][:] = 0.0
        for i, action in checked.items():
            obs, reward, terminated, truncated, info = self.envs[i].finish(action)
            self._see(i, obs)
            for key, value in dict(info, reward=reward, terminated=terminated, truncated=truncated).items():
                self._acted[key][i] = value
        told = {key: array.copy() for key, array in self._acted.items()}
        info = {"success": told.pop("success"), "steps": told.pop("steps")}
        return self._observe(), told["reward"], told["terminated"], told["truncated"], info

    def _advance(self, actions: dict) -> None:
        """One control period of the slots in `actions`. The states of the others stay in their `RobotEnv`s."""
        with self._wp.ScopedDevice(self.device):
            # All slots go up, also the inactive ones: the batch has one step for all.
            for key in UPLOADED:
                self._upload(key)
            # Every slot has the same protocol, so the generators yield the same numbers of physics steps.
            periods = [self.envs[i].protocol.drive(a, self.envs[i].data) for i, a in actions.items()]
            for counts in zip(*periods, strict=True):
                # `drive` has written the next set-points into `ctrl`.
                self._upload("ctrl")
                for _ in range(counts[0]):
                    self._mjw.step(self._model, self._data)
                # The protocols read positions and speeds; only active slots take them.
                for key in DOWNLOADED:
                    values = getattr(self._data, key).numpy()
                    for i in actions:
                        getattr(self.envs[i].data, key)[:] = values[i]
                for i in actions:  # the batch has one clock, each slot has its own
                    self.envs[i].data.time += counts[0] * self.envs[i].model.opt.timestep
            most, rows = int(self._data.nacon.numpy()[0]), int(self._data.nefc.numpy().max())
        if most > self._data.naconmax or rows > self._data.njmax:
            raise RuntimeError(
                f"{self.name}: {most} contacts and {rows} constraint rows are more than the {self._data.naconmax} "
                f"(all slots) and {self._data.njmax} (one slot) for which mujoco_warp has memory"
            )

    def _upload(self, key: str) -> None:
        values = np.stack([getattr(env.data, key) for env in self.envs]).astype(np.float32)
        getattr(self._data, key).assign(values)

    def _see(self, i: int, obs: dict) -> None:
        """Keeps the observation of slot i with its label, views and snapshot where they are wanted."""
        env = self.envs[i]
        if self.labeller is not None:
            obs["expert"] = np.asarray(self.labeller.label(env), np.float32)
        for camera in self._views:
            obs[f"rgb_{camera}"] = env.view(camera, self._image_size, self._image_size)
        if self._snapshots:
            obs |= {key: value for key, value in env.snapshot().items() if key not in ("steps", "success")}
        self._seen[i] = obs

    def _observe(self) -> dict[str, np.ndarray]:
        return {key: np.stack([obs[key] for obs in self._seen]) for key in self._seen[0]}

    def get_state(self) -> list[bytes]:
        """One opaque state for each slot; see `RobotEnv.get_state`."""
        return [env.get_state() for env in self.envs]

    def set_state(self, states: list[bytes]) -> dict[str, np.ndarray]:
        """Restores `get_state` of this class or of a VectorEnv of the same environment; returns the observations."""
        if len(states) != self.num_envs:
            raise EnvError(f"set_state takes {self.num_envs} states, got {len(states)}")
        for i, state in enumerate(states):
            self._see(i, self.envs[i].set_state(state))
        return self._observe()

    def render(self, index: int, camera: str = "side", width: int = 256, height: int = 256) -> np.ndarray:
        """uint8 (height, width, 3) of one slot."""
        return self.envs[index].view(camera, width, height)

    def call(self, index: int, path: str):
        """The value at dotted `path` in slot `index`'s environment, e.g. "data.time" (for tests and tools)."""
        value = self.envs[index]
        for part in path.split("."):
            value = getattr(value, part)
        return value

    def close(self) -> None:
        """Frees the batch; safe to call twice."""
        self._data = self._model = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

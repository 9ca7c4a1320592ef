"""Demonstrations of the toy world, with the reading side of `demos.store.demo_set.DemoSet`, and runs on them that take
a second."""

import numpy as np
from toy_world import ToyEnv, ToyVec

from demos.store import schema
from policies.seeds import training_seed


class MemorySet:
    """The reading side of `demos.store.demo_set.DemoSet` over `data`, a list of episodes, and `_meta`."""

    keys: tuple[str, ...]
    data: list[dict]

    @property
    def episodes(self):
        return len(self.data)

    @property
    def lengths(self):
        return np.array([len(e["action"]) for e in self.data])

    def episode(self, i, keys=None):
        keys = self.keys if keys is None else keys
        self.read += [(i, key) for key in keys]
        return {key: self.data[i][key].copy() for key in keys}

    def meta(self, name):
        return np.array(self._meta[name])


class ToyDemos(MemorySet):
    """Episodes of the toy's expert with some noise on what is executed (labels are clean)."""

    keys = ("rgb_wrist", "proprio", "action", "action_applied", "success")
    meta_names = ("success", "index", "seed")

    def __init__(self, episodes=12, noise=0.05, fail=(), attrs=None):
        self.attrs = {
            "env": "toy",
            "control_hz": 20.0,
            "cameras": {"wrist": {}},
            "interface": schema.plain(ToyVec.interface),
            "action": {"names": ["x", "y", "pull", "switch"], "low": -1.0, "high": 1.0},
        } | (attrs or {})
        self.read = []
        """(episode, key) of every reading."""
        self.data, self._meta = [], {name: [] for name in self.meta_names}
        for i in range(episodes):
            self.data.append(_episode(training_seed(5, i), noise))
            for name, value in (("success", i not in fail), ("index", i), ("seed", training_seed(5, i))):
                self._meta[name].append(value)


def _episode(seed, noise):
    vec, rng = ToyVec(1), np.random.default_rng(seed)
    obs, rows = vec.reset([seed]), []
    while True:
        label = obs["expert"][0]
        applied = np.clip(label + noise * rng.standard_normal(4) * (1, 1, 1, 0), -1, 1).astype(np.float32)
        seen = {"rgb_wrist": obs["rgb"][0], "proprio": obs["proprio"][0], "action": label, "action_applied": applied}
        obs, _, done, late, info = vec.step(applied[None])
        rows.append(seen | {"success": info["success"][0]})
        if done[0] or late[0]:
            return {key: np.stack([row[key] for row in rows]) for key in rows[0]}


def small_bc(**changes):
    """A run that takes about a second on one core."""
    from policies.cloning.cloner import OptimConfig
    from policies.cloning.train import TrainBcConfig
    from policies.features.features import EncoderConfig
    from policies.network.heads import HeadConfig
    from policies.network.transformer import TransformerConfig

    transformer = changes.pop("transformer", None)
    transformer = TransformerConfig(16, 1, 2, context=4, chunk=3, **transformer) if transformer is not None else None
    optim = {"epochs": 4, "batch_size": 32, "lr": 3e-3, "warmup_epochs": 1} | changes.pop("optim", {})
    encoder = changes.pop("encoder", EncoderConfig("toy"))
    return TrainBcConfig(
        demos="toy",
        env=changes.pop("env", ToyEnv(binary_actions=[-1])),
        encoder=encoder,
        policy=HeadConfig(32, 16, [32], "gelu", True, transformer=transformer),
        optim=OptimConfig(**optim),
        **{"episodes": 0, "threads": 1, "num_envs": 8} | changes,
    )


def toy_vec(cfg):
    return ToyVec(cfg.num_envs, labelled=False)

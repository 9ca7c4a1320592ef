"""A small vector environment for tests: a point mass that carries a pole must reach a dot and hold a switch there.

It keeps the contract of `envs.VectorEnv` (no autoreset, `active`, exact `get_state`). The dot is seen only in the
image, so a policy needs features. The pole falls over by itself; the expert keeps it upright exactly, so its own
rollouts never show how to catch it, while a student's small errors grow (covariate shift).
"""

import hashlib
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from envs.interface import ActionSpec, CameraSpec, Interface, ProprioSpec
from policies.scoring.rollout import EnvConfig
from toto_robot.features.contract import FrozenEncoder

SIZE = 32
HORIZON = 40


def weights_hash(run_folder):
    """Of the weights, and of the description, which has the digest of the look of the training pictures."""
    policy = Path(run_folder) / "policy"
    assert (policy / "look.safetensors").exists()
    return hashlib.sha256(
        (policy / "policy.safetensors").read_bytes() + (policy / "policy.yaml").read_bytes()
    ).hexdigest()


class ToyVec:
    """Actions: acceleration (2), pull on the pole, switch. Proprioception: position (2), velocity (2), lean."""

    name, action_dim, proprio_dim, control_hz, horizon = "toy", 4, 5, 20.0, HORIZON
    interface = Interface(
        robot="point",
        control_hz=20.0,
        state_of="toy",
        action=ActionSpec(
            names=("x", "y", "pull", "switch"),
            units=("m",) * 3 + ("1",),
            low=(-1.0,) * 4,
            high=(1.0,) * 4,
            meanings=("cartesian_increment",) * 3 + ("gripper_open",),
        ),
        proprio=ProprioSpec(
            names=("x", "y", "vx", "vy", "lean"), units=("m",) * 5, offset=(0.0,) * 5, scale=(1.0,) * 5
        ),
        cameras=(CameraSpec(name="wrist", width=SIZE, height=SIZE, crop="centre"),),
    )

    def __init__(self, num_envs, labelled=True):
        self.num_envs, self.labelled, self.privileged_dim = num_envs, labelled, 2
        self.slots = [_fresh(0) for _ in range(num_envs)]
        self.log = []  # (slot, seed) of every reset
        self.closed = False

    def reset(self, seeds, indices=None):
        indices = list(range(self.num_envs)) if indices is None else list(indices)
        assert len(seeds) == len(indices)
        for slot, seed in zip(indices, seeds):
            self.slots[slot] = _fresh(int(seed))
            self.log.append((slot, int(seed)))
        return self._obs()

    def step(self, actions, active=None):
        assert actions.shape == (self.num_envs, self.action_dim) and np.isfinite(actions).all()
        active = np.ones(self.num_envs, bool) if active is None else active
        reward, done, late = np.zeros(self.num_envs), np.zeros(self.num_envs, bool), np.zeros(self.num_envs, bool)
        for i in np.flatnonzero(active):
            s = self.slots[i]
            assert not s["over"], "a finished episode must not be stepped"
            a = np.clip(actions[i].astype(np.float64), -1, 1)
            s["v"] = 0.8 * s["v"] + 0.08 * a[:2]
            s["x"] = np.clip(s["x"] + s["v"], -3, 3)
            s["lean"] = 1.6 * s["lean"] + 0.1 * a[2] + 0.05 * a[0]
            s["t"] += 1
            near = np.linalg.norm(s["x"] - s["dot"]) < 0.12
            s["held"] = s["held"] + 1 if near and a[3] > 0 else 0
            s["success"] = s["success"] or s["held"] >= 5
            reward[i] = -np.linalg.norm(s["x"] - s["dot"])
            done[i] = s["success"]
            late[i] = s["t"] >= HORIZON and not s["success"]
            done[i] |= abs(s["lean"]) > 0.4  # it has fallen
            s["over"] = done[i] or late[i]
        info = {
            "success": np.array([s["success"] for s in self.slots]),
            "steps": np.array([s["t"] for s in self.slots]),
        }
        return self._obs(), reward, done, late, info

    def get_state(self):
        return [pickle.dumps(s) for s in self.slots]

    def set_state(self, states):
        self.slots = [pickle.loads(s) for s in states]
        return self._obs()

    def render(self, i, camera="side", width=SIZE, height=SIZE):
        return np.full((height, width, 3), 60, np.uint8)

    def close(self):
        self.closed = True

    def _obs(self):
        obs = {
            "rgb": np.stack([_picture(s["dot"]) for s in self.slots]),
            "proprio": np.stack([np.concatenate([s["x"], s["v"], [s["lean"]]]) for s in self.slots]).astype(np.float32),
            "privileged": np.stack([s["dot"] for s in self.slots]).astype(np.float32),
        }
        if self.labelled:
            obs["expert"] = np.stack([expert(s) for s in self.slots]).astype(np.float32)
        return obs


@dataclass
class ToyEnv(EnvConfig):
    """The toy in a config; it has a description like an environment of ours."""

    name: str = "toy"

    def interface(self, image_size=SIZE):
        return ToyVec.interface


def expert(s):
    """A damped pull to the dot, the pole caught in one step where that can be, the switch on near the dot."""
    offset = s["dot"] - s["x"]
    pull = np.clip((0.25 * offset - 0.75 * s["v"]) / 0.08, -1, 1)
    return np.clip([*pull, -16 * s["lean"] - 0.5 * pull[0], 100 * (0.12 - np.linalg.norm(offset))], -1, 1)


def _fresh(seed):
    rng = np.random.default_rng(seed)
    return {
        "x": rng.uniform(-0.3, 0.3, 2),
        "v": np.zeros(2),
        "lean": 0.0,
        "dot": rng.uniform(-0.8, 0.8, 2),
        "t": 0,
        "held": 0,
        "success": False,
        "over": False,
    }


def _picture(dot):
    grid = (np.arange(SIZE) + 0.5) / SIZE * 2.4 - 1.2
    blob = np.exp(-((grid[None, :] - dot[0]) ** 2 + (grid[:, None] - dot[1]) ** 2) / (2 * 0.35**2))
    return np.repeat((255 * blob).astype(np.uint8)[..., None], 3, 2)


class ToyEncoder(FrozenEncoder):
    """Means of the 4×4 grid: features (B, 16, 3)."""

    feature_shape, fingerprint = (16, 3), "toy-encoder-1"

    def __init__(self):
        self.frames = 0

    def __call__(self, frames):
        self.frames += len(frames)
        b = len(frames)
        cell = SIZE // 4
        return frames.float().div(255).view(b, 4, cell, 4, cell, 3).mean((2, 4)).reshape(b, 16, 3)


def small_config(**changes):
    """A run that takes about a second on one core."""
    from policies.dagger.collector import DaggerConfig
    from policies.dagger.gates import GateConfig
    from policies.dagger.learner import LearnerConfig
    from policies.dagger.train import TrainConfig
    from policies.network.heads import HeadConfig

    dagger = {"rounds": 4, "steps_per_round": 64, "first_round_steps": 128, "num_envs": 8}
    learner = {"updates_per_round": 20, "batch_size": 32, "warmup_updates": 5}
    return TrainConfig(
        env=ToyEnv(binary_actions=[-1]),
        policy=HeadConfig(32, 16, [32], "gelu", True),
        dagger=DaggerConfig(**dagger | changes.pop("dagger", {})),
        gate=GateConfig(**{"rounds": 2, "updates": 10} | changes.pop("gate", {})),
        learner=LearnerConfig(**learner | changes.pop("learner", {})),
        **{"episodes": 0, "threads": 1} | changes,
    )


def toy_vec(cfg):
    return ToyVec(cfg.dagger.num_envs)


if __name__ == "__main__":  # the kill test runs this file as a process: RUN_NAME resume|start SECONDS_PER_STEP
    import sys
    import time

    from policies.dagger.train import train

    class SlowVec(ToyVec):
        def step(self, actions, active=None):
            time.sleep(float(sys.argv[3]))
            return super().step(actions, active)

    torch.set_num_threads(1)
    config = small_config(run=sys.argv[1], resume=sys.argv[2] == "resume", dagger={"rounds": 6})
    train(config, lambda cfg: SlowVec(cfg.dagger.num_envs), ToyEncoder())

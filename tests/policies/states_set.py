"""A set with the simulator's states, in memory: short episodes of franka_reach in which the arm moves at random."""

import numpy as np
from toy_demos import MemorySet

import envs
from demos.recording.recorder import STATE, attributes_of
from policies.seeds import training_seed

SIZE = 32


class StatesSet(MemorySet):
    keys = ("rgb_wrist", "proprio", "action", "success", *STATE)
    meta_names = ("success", "index", "look_seed")

    def __init__(self, episodes=4, steps=6, **changes):
        options = {"appearance": "nominal", "image_size": SIZE}
        self.attrs = attributes_of("franka_reach", options, ("wrist",), {}) | changes
        self.read = []
        """(episode, key) of every reading."""
        env, self.data, seeds = envs.make("franka_reach", **options), [], []
        for i in range(episodes):
            obs, rng, rows = env.reset(seed=training_seed(7, i))[0], np.random.default_rng(i), []
            for _ in range(steps):
                action = rng.uniform(-1, 1, env.action_space.shape).astype(np.float32)
                state = {key: value for key, value in env.snapshot().items() if key in STATE}
                row = {"rgb_wrist": obs["rgb"], "proprio": obs["proprio"], "action": action, "success": False} | state
                rows.append(row)
                obs = env.step(action)[0]
            seeds.append(int(env.snapshot()["look_seed"]))
            self.data.append({key: np.stack([row[key] for row in rows]) for key in rows[0]})
        self._meta = {"success": [True] * episodes, "index": list(range(episodes)), "look_seed": seeds}

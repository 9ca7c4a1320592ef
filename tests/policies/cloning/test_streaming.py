"""A set that does not fit in memory is read from the disk, and gives the same policy."""

import subprocess
import sys
from dataclasses import replace

import pytest
from toy_demos import ToyDemos, small_bc, toy_vec
from toy_world import ToyEncoder, weights_hash

from policies.cloning.augment import AugmentConfig
from policies.cloning.train import train

PROGRAM = """
import resource, sys
import numpy as np, torch
from policies.cloning.augment import AugmentConfig
from policies.cloning.cloner import Cloner, OptimConfig
from policies.cloning.demonstrations import load_demonstrations
from policies.cloning.episodes import DataConfig, read_episodes
from policies.features.features import EncoderConfig, EncoderFeatures
from policies.network.heads import HeadConfig
from policies.policy import Policy
from toto_robot.features.contract import FrozenEncoder

torch.set_num_threads(1)
EPISODES, STEPS, LIMIT_MB = 1250, 100, 24

class Set:
    attrs, keys, meta_names, episodes = {"action": {}}, ("rgb_wrist", "proprio", "action"), (), EPISODES
    def episode(self, i, keys):
        rng = np.random.default_rng(i)
        data = {key: rng.uniform(-1, 1, (STEPS, 2)).astype(np.float32) for key in ("proprio", "action")}
        return {key: data[key] if key in data else np.full((STEPS, 2, 2, 3), i % 256, np.uint8) for key in keys}

class Wide(FrozenEncoder):
    feature_shape, fingerprint = (16, 64), "wide"
    def __call__(self, frames):
        return frames.float().mean((1, 2, 3))[:, None, None].repeat(1, 16, 64)

def learn(episodes, memory_gb):
    config = DataConfig(memory_gb=memory_gb, use=episodes)
    features = EncoderFeatures(EncoderConfig("wide", pooling="attention"), Wide())
    data = load_demonstrations(Set(), read_episodes(Set(), config, "rgb", "set"), config, features, None)
    torch.manual_seed(0)
    policy = Policy.create(features, None, 2, 2, HeadConfig(16, 8, [16]))
    cloner = Cloner(policy, OptimConfig(1, 512), data, AugmentConfig(shift_px=0), 0)
    cloner.train(0)
    return data.features.count * data.features.row_bytes / 1e6

learn(20, 1.0)  # everything is loaded
held = int(next(line for line in open("/proc/self/status") if line.startswith("VmData")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (held + LIMIT_MB * 1000 * 1000,) * 2)
print(learn(EPISODES, 0.001) / LIMIT_MB)
try:
    learn(EPISODES, 4.0)
    sys.exit("the limit is not real: everything fits in memory")
except MemoryError:
    pass
"""


@pytest.mark.slow
def test_a_set_ten_times_larger_than_memory_is_learned_from(tmp_path):
    env = {"PYTHONPATH": ":".join(p for p in sys.path if p), "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout) > 10


@pytest.mark.parametrize("transformer", [None, {}], ids=["mlp", "transformer"])
def test_a_streamed_set_gives_the_policy_of_a_set_in_memory_bit_for_bit(transformer):
    hashes = set()
    for name, memory_gb in (("memory", 4.0), ("disk", 0.0)):
        config = small_bc(run=name, transformer=transformer)
        data = replace(config.data, memory_gb=memory_gb, augment=AugmentConfig(jitter=1.0, copies=2))
        hashes.add(weights_hash(train(replace(config, data=data), toy_vec, ToyEncoder(), demos=ToyDemos(3)).folder))
    assert len(hashes) == 1

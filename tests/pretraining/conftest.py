import numpy as np
import pytest
import torch

from toto_robot.pretraining.config import PretrainConfig
from toto_robot.tokens.dvae import DVAE, DVAEConfig
from toto_robot.tokens.store.token_store import write_index, write_shard

torch.set_num_threads(1)
CODES = 12


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    """A tiny dVAE on disk."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("tokenizer")
    DVAE(DVAEConfig(vocab_size=CODES, n_hid=4, decoder_hid=4, n_init=8, n_blk_per_group=1)).save(folder)
    return folder


@pytest.fixture(scope="session")
def make_store(tmp_path_factory, tokenizer):
    """Make a store of rows whose codes count upwards (so there is something to learn)."""

    def make(rows=10, frames=16, tokens=16, kind="video", seed=0, tokenizer_fingerprint=None):
        path = tmp_path_factory.mktemp("store")
        first = np.random.default_rng(seed).integers(0, CODES, (rows, 1))
        codes = ((first + np.arange(frames * tokens)) % CODES).astype(np.uint16).reshape(rows, frames, tokens)
        codes[:, -1, -1] = seed % CODES  # stores of other seeds share no row
        described = {
            "frames": frames,
            "tokens_per_frame": tokens,
            "vocab_size": CODES,
            "tokenizer": tokenizer_fingerprint or DVAE.load(tokenizer).fingerprint(),
        }
        meta = [{"source": f"{seed}.mp4", "kind": kind, "first_s": 0.0, "last_s": 2.0} for _ in range(rows)]
        write_shard(path, "0", codes, meta, [])
        write_index(path, described, ["0"])
        return path

    return make


@pytest.fixture
def settings(make_store, tokenizer):
    """Keyword arguments of a PretrainConfig that runs in a second."""
    return {
        "stores": [str(make_store()), str(make_store(4, kind="image", seed=1))],
        "validation": [str(make_store(3, seed=2))],
        "tokenizer": str(tokenizer),
        "width": 16,
        "heads": 2,
        "layers": 2,
        "intermediate": 24,
        "steps": 8,
        "short_steps": 3,
        "short_batch": 4,
        "batch_rows": 2,
        "warmup_steps": 2,
        "micro_tokens": 300,
        "checkpoint_every": 2,
        "log_every": 1,
        "validate_every": 4,
        "validation_rows": 2,
        "threads": 1,
        "lr": 1e-2,
    }


@pytest.fixture
def config(settings):
    """Make that PretrainConfig, with changes."""
    return lambda **changes: PretrainConfig(**{**settings, **changes})

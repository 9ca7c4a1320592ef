import numpy as np
import pytest
import torch

from toto_robot.features.folder import save_model
from toto_robot.models.toto import Toto, TotoConfig
from toto_robot.tokens.dvae import DVAE, DVAEConfig

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A model folder: 3 layers of width 24, 40 codes, frames of 128 px."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("encoder") / "model"
    dvae = DVAE(DVAEConfig(vocab_size=40, n_hid=4, decoder_hid=4, n_init=8, n_blk_per_group=1))
    toto = Toto(TotoConfig(vocab_size=44, width=24, layers=3, heads=2, intermediate=32, init_std=0.2))
    save_model(path, toto, dvae, layer=2, pooling="mean", notes={"steps": 0})
    return path


@pytest.fixture(scope="session")
def frames():
    """uint8 (6, 128, 128, 3), smooth enough to give different codes."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)

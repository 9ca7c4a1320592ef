import pytest
import torch

from toto_robot.models.gpt2 import GPT2Config
from toto_robot.models.mamba import MambaConfig
from toto_robot.models.presets import build
from toto_robot.models.toto import TotoConfig

torch.set_num_threads(1)
SMALL = {
    "toto": TotoConfig(vocab_size=61, width=32, layers=3, heads=2, intermediate=48),
    "gpt2": GPT2Config(vocab_size=61, width=32, layers=3, heads=2, intermediate=128, context=260),
    "gpt2_sincos": GPT2Config(61, width=32, layers=3, heads=2, intermediate=128, positions="sincos", tied=True),
    "mamba": MambaConfig(vocab_size=61, width=32, layers=3, state=4),
}


def make_ids(*shape, seed=0, vocab=61):
    return torch.randint(0, vocab, shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="session")
def ids():
    """Random ids of a shape: ids(B, T, seed=0, vocab=61)."""
    return make_ids


@pytest.fixture(params=SMALL)
def model(request):
    """A small model of each architecture."""
    torch.manual_seed(0)
    return build(SMALL[request.param]).eval()


@pytest.fixture
def loud():
    """Move every weight of a model, so that each part of it matters: loud(model, by=0.05)."""

    def move(model, by=0.05):
        generator = torch.Generator().manual_seed(7)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator) * by)
        return model

    return move

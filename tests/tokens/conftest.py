import sys
from collections import OrderedDict
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from toto_robot.tokens import dvae as ours

sys.path.insert(0, str(Path(__file__).parent))  # square_frames
torch.set_num_threads(1)
OFFICIAL = {"encoder": ("Encoder", "EncoderBlock"), "decoder": ("Decoder", "DecoderBlock"), "utils": ("Conv2d",)}


@pytest.fixture(scope="session")
def small_dvae():
    """A dVAE of 8 codes whose weights are all different."""
    torch.manual_seed(0)
    return ours.DVAE(ours.DVAEConfig(vocab_size=8, n_hid=4, decoder_hid=4, n_init=8, n_blk_per_group=2)).eval()


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    """Folder of a dVAE of 32 codes."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("dvae")
    ours.DVAE(ours.DVAEConfig(vocab_size=32, n_hid=4, decoder_hid=4, n_init=8, n_blk_per_group=1)).save(folder)
    return str(folder)


@pytest.fixture(scope="session")
def noise():
    """uint8 (3, 32, 32, 3)."""
    return np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def openai_module(monkeypatch):
    """Make the module that OpenAI's package would have pickled for one half of a DVAE: its classes, names and layout.

    The classes exist under `dall_e.*` while the test runs, because a pickle refers to them by name.
    """
    classes = {}
    for part, names in OFFICIAL.items():
        module = ModuleType(f"dall_e.{part}")
        for name in names:
            classes[name] = type(name, (nn.Module,), {"__module__": module.__name__})
            setattr(module, name, classes[name])
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(sys.modules, "dall_e", ModuleType("dall_e"))

    def twin(module, half):
        if isinstance(module, nn.Conv2d):
            made = classes["Conv2d"]()
            made.w, made.b = (nn.Parameter(p.detach().clone().contiguous()) for p in (module.weight, module.bias))
            made.device, made.use_float16 = torch.device("cpu"), True
        elif isinstance(module, (ours.Encoder, ours.Decoder, ours.Block)):
            made = classes[half.capitalize() + ("Block" if isinstance(module, ours.Block) else "")]()
            for name, child in module.named_children():
                setattr(made, name, twin(child, half))
        elif isinstance(module, nn.Sequential):
            made = nn.Sequential(OrderedDict((name, twin(child, half)) for name, child in module.named_children()))
        else:
            made = module
        return made

    return lambda dvae, half: twin(getattr(dvae, half), half)

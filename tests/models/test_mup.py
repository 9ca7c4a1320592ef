import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from toto_robot.models.gpt2 import GPT2Config
from toto_robot.models.mamba import MambaConfig
from toto_robot.models.mup import attention_scale, init_scale, parameter_groups
from toto_robot.models.presets import build
from toto_robot.models.toto import TotoConfig

BASE = {
    "toto": TotoConfig(vocab_size=61, width=16, layers=2, heads=2, intermediate=32),
    "gpt2": GPT2Config(vocab_size=61, width=16, layers=2, heads=2, intermediate=64, context=40),
}


def wider(config, times, **changes):
    return replace(config, width=config.width * times, intermediate=config.intermediate * times, **changes)


def groups_by_name(model, **settings) -> dict[str, dict]:
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {names[p]: group for group in parameter_groups(model, **settings) for p in group["params"]}


@pytest.mark.parametrize("architecture", BASE)
def test_rates_decays_and_initial_weights_follow_the_table(architecture):
    model = build(wider(BASE[architecture], 4, mup_base_width=16))
    groups = groups_by_name(model, lr=0.1, weight_decay=0.2)
    assert groups.keys() == dict(model.named_parameters()).keys()
    for name, parameter in model.named_parameters():
        group = groups[name]
        matrix = name.startswith("blocks.") and parameter.ndim == 2
        assert group["lr"] == 0.1 * group["lr_scale"] and group["lr_scale"] == (1 / 4 if matrix else 1)
        assert group["weight_decay"] == (0.8 if matrix else 0.2 if parameter.ndim == 2 else 0)
        assert init_scale(model.config, name, parameter) == (0.5 if matrix else 1)
    assert abs(model.blocks[0].attention.qkv.weight.std().item() - 0.01) < 5e-4
    assert abs(model.head.weight.std().item() - 0.02) < 1e-3


def test_at_the_base_width_and_without_muP_nothing_changes(ids):
    x = ids(2, 20)
    for config in BASE.values():
        torch.manual_seed(0)
        off = build(config)
        torch.manual_seed(0)
        on = build(replace(config, mup_base_width=config.width))
        assert torch.equal(off(x), on(x)) and attention_scale(on.config) is None
        assert {group["lr_scale"] for group in parameter_groups(on, 0.1, 0.2)} == {1.0}


def test_attention_scores_are_divided_by_the_head_width_and_the_heads_input_by_the_ratio(ids):
    torch.manual_seed(0)
    config = wider(BASE["toto"], 4, mup_base_width=16)  # heads of 8 at the base width, of 32 here
    assert attention_scale(config) == pytest.approx(8**0.5 / 32)
    model, plain = build(config), build(replace(config, mup_base_width=None))
    plain.load_state_dict(model.state_dict())
    with torch.no_grad():
        for block in plain.blocks:
            block.attention.qkv.weight[:64] *= 0.5  # q·k / √32 · √8 / √32
        plain.head.weight /= 4
    torch.testing.assert_close(model(ids(2, 20)), plain(ids(2, 20)))


def test_mambas_decays_are_not_decayed_and_it_has_no_muP():
    groups = groups_by_name(build(MambaConfig(vocab_size=9, width=16, layers=1)), lr=0.1, weight_decay=0.2)
    assert {name for name, group in groups.items() if not group["weight_decay"]} == {
        "norm.weight",
        "blocks.0.norm.weight",
        "blocks.0.mixer.A_log",
        "blocks.0.mixer.D",
        "blocks.0.mixer.conv1d.bias",
        "blocks.0.mixer.dt_proj.bias",
    }
    assert {group["lr_scale"] for group in groups.values()} == {1.0}


@pytest.mark.parametrize("architecture", BASE)
def test_training_equals_the_mup_packages_step_by_step(architecture, ids):
    """The package's own base shapes, readout and MuAdamW on a model without our muP, from the same weights."""
    mup = pytest.importorskip("mup")
    base = BASE[architecture]
    ours = build(wider(base, 4, mup_base_width=16))

    def theirs(config) -> nn.Module:
        model = build(config)
        model.head = mup.MuReadout(config.width, config.vocab_size, bias=False)
        model.logits = lambda x: model.head(model.norm(x))
        return model

    twin = theirs(wider(base, 4))
    mup.set_base_shapes(twin, theirs(base), delta=theirs(wider(base, 2)), rescale_params=False)
    for (name, parameter), other in zip(ours.named_parameters(), twin.parameters()):
        if parameter.ndim == 2:
            torch.manual_seed(0)
            mup.init.normal_(other, std=0.1)
            torch.manual_seed(0)
            nn.init.normal_(parameter, std=0.1 * init_scale(ours.config, name, parameter))
            torch.testing.assert_close(parameter, other)
    for block in twin.blocks:
        block.attention.scale = 8**0.5 / 32  # the package leaves the attention to the model: q·k / head width

    matrices = [p for p in twin.parameters() if p.ndim == 2]
    vectors = [p for p in twin.parameters() if p.ndim < 2]
    decayed, not_decayed = {"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}
    optimizers = (
        torch.optim.AdamW(parameter_groups(ours, lr=1e-2, weight_decay=0.1)),
        mup.MuAdamW([decayed, not_decayed], lr=1e-2),
    )
    start = copy.deepcopy(ours.blocks[0].mlp.down.weight)
    for step in range(5):
        losses = []
        for model, optimizer in zip((ours, twin), optimizers):
            loss = model.loss(ids(4, 30, seed=step))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert not torch.allclose(start, ours.blocks[0].mlp.down.weight)
    for parameter, other in zip(ours.parameters(), twin.parameters()):
        torch.testing.assert_close(parameter, other, atol=1e-4, rtol=1e-3)

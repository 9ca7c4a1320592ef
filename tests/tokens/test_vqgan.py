"""The VQGAN equals the authors' formulae, counts and files."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from safetensors.torch import save_file

from toto_robot.ground.errors import UserError
from toto_robot.tokens import vqgan as vqgan_module
from toto_robot.tokens.foreign.taming import config_of_weights, config_of_yaml
from toto_robot.tokens.tokenizer import load_tokenizer
from toto_robot.tokens.vqgan import VQGAN, VQGANConfig

SMALL = VQGANConfig(vocab_size=24, embed_dim=6, z_channels=5, ch=32, ch_mult=(1, 2), num_res_blocks=1, attention=(1,))
GUMBEL = replace(SMALL, gumbel=True)
F16 = dict(
    double_z=False,
    z_channels=256,
    resolution=256,
    in_channels=3,
    out_ch=3,
    ch=128,
    ch_mult=[1, 1, 2, 2, 4],
    num_res_blocks=2,
    attn_resolutions=[16],
    dropout=0.0,
)
F8 = {**F16, "z_channels": 4, "ch_mult": [1, 2, 2, 4], "attn_resolutions": [32]}
PUBLISHED = {
    "f16-1024": ("taming.models.vqgan.VQModel", 1024, 256, F16),
    "f16-16384": ("taming.models.vqgan.VQModel", 16384, 256, F16),
    "gumbel-f8": ("taming.models.vqgan.GumbelVQ", 8192, 256, {**F8, "z_channels": 256, "ch_mult": [1, 1, 2, 4]}),
    "vq-f8": ("ldm.models.autoencoder.VQModel", 16384, 4, F8),
    "vq-f8-n256": ("ldm.models.autoencoder.VQModel", 256, 4, F8),
}


def described(target, n_embed, embed_dim, ddconfig, **more):
    """The authors' YAML of a model."""
    lossconfig = {"target": "no.such.module.LPIPS", "params": {"disc_start": 0}}
    return yaml.safe_dump(
        {
            "model": {
                "base_learning_rate": 4.5e-6,
                "target": target,
                "params": {
                    "embed_dim": embed_dim,
                    "n_embed": n_embed,
                    "ddconfig": ddconfig,
                    "lossconfig": lossconfig,
                    **more,
                },
            }
        }
    )


def network(config):
    """The `ddconfig` of one of ours at 32 px."""
    sizes = [32 // 2**level for level in config.attention]
    return {
        **F16,
        "resolution": 32,
        "z_channels": config.z_channels,
        "ch": config.ch,
        "ch_mult": list(config.ch_mult),
        "num_res_blocks": config.num_res_blocks,
        "attn_resolutions": sizes,
    }


@pytest.fixture(scope="module", params=[SMALL, GUMBEL], ids=["nearest", "gumbel"])
def model(request):
    torch.manual_seed(0)
    made = VQGAN(request.param).eval()
    with torch.no_grad():
        for _name, parameter in made.named_parameters():  # norms that do something, biases that are not 0
            parameter += 0.1 * torch.randn_like(parameter)
    return made


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


# ------------------------------------------------------------------------------------------ sizes


def made(name, tmp_path):
    target, n_embed, embed_dim, ddconfig = PUBLISHED[name]
    (tmp_path / "model.yaml").write_text(described(target, n_embed, embed_dim, ddconfig))
    with torch.device("meta"):
        return VQGAN(config_of_yaml(tmp_path / "model.yaml"))


def count(module):
    return sum(p.numel() for p in module.parameters()), len(module.state_dict())


@pytest.mark.parametrize("name, codebook", [("f16-1024", 262_144), ("f16-16384", 4_194_304)])
def test_f16_has_the_published_counts(tmp_path, name, codebook):
    model = made(name, tmp_path)
    assert count(model.encoder) == (29_298_176, 144) and count(model.decoder) == (42_449_795, 194)
    assert count(model.quant_conv) == count(model.post_quant_conv) == (65_792, 2)
    assert count(model.quantize) == (codebook, 1) and model.quantize.embedding.weight.shape[1] == 256
    assert model.patch == 16 and model.grid(256) == (16, 16) and model.grid(128) == (8, 8)


def test_f8_models_have_their_codes(tmp_path):
    shapes = {name: {k: tuple(v.shape) for k, v in made(name, tmp_path).state_dict().items()} for name in PUBLISHED}
    assert shapes["vq-f8"]["quantize.embedding.weight"] == (16384, 4)
    assert shapes["vq-f8-n256"]["quantize.embedding.weight"] == (256, 4)
    assert shapes["gumbel-f8"]["quantize.proj.weight"] == (8192, 256, 1, 1)
    assert shapes["gumbel-f8"]["quantize.embed.weight"] == (8192, 256)
    assert all(made(name, tmp_path).patch == 8 for name in ("vq-f8", "vq-f8-n256", "gumbel-f8"))
    assert shapes["vq-f8"]["encoder.down.3.attn.1.proj_out.weight"] == (512, 512, 1, 1)
    assert shapes["vq-f8"]["decoder.up.1.upsample.conv.weight"] == (256, 256, 3, 3)
    assert shapes["vq-f8"]["encoder.down.1.block.0.nin_shortcut.weight"] == (256, 128, 1, 1)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_sizes_can_be_read_from_the_weights_alone(tmp_path, name):
    model = made(name, tmp_path)
    assert config_of_weights(model.state_dict()) == model.config


@pytest.mark.parametrize(
    "wrong",
    [
        dict(ch=33),
        dict(vocab_size=70000),
        dict(embed_dim=0),
        dict(ch_mult=()),
        dict(ch_mult=(1, 0)),
        dict(attention=(9,)),
        dict(num_res_blocks=1.5),
    ],
)
def test_impossible_sizes_are_refused(wrong):
    with pytest.raises(UserError, match="vqgan.*expected"):
        VQGANConfig(**wrong)


# ---------------------------------------------------------------------------------- the authors' formulae, written out


class Reference:
    """The network from its state dict, with plain functions."""

    def __init__(self, model):
        self.p, self.config = model.state_dict(), model.config

    def conv(self, x, name, **settings):
        return F.conv2d(x, self.p[name + ".weight"], self.p[name + ".bias"], **settings)

    def norm(self, x, name):
        grouped = x.reshape(len(x), 32, -1)
        mean, variance = grouped.mean(2, keepdim=True), grouped.var(2, unbiased=False, keepdim=True)
        x = ((grouped - mean) / (variance + 1e-6).sqrt()).reshape(x.shape)
        return x * self.p[name + ".weight"][:, None, None] + self.p[name + ".bias"][:, None, None]

    def swish(self, x):
        return x * torch.sigmoid(x)

    def block(self, x, name):
        h = self.conv(self.swish(self.norm(x, name + ".norm1")), name + ".conv1", padding=1)
        h = self.conv(self.swish(self.norm(h, name + ".norm2")), name + ".conv2", padding=1)
        short = name + ".nin_shortcut"
        return h + (self.conv(x, short) if short + ".weight" in self.p else x)

    def attention(self, x, name):
        h = self.norm(x, name + ".norm")
        q, k, v = (self.conv(h, f"{name}.{part}") for part in "qkv")
        B, C, H, W = x.shape
        score = torch.einsum("bcij,bckl->bijkl", q, k).reshape(B, H * W, H * W) / math.sqrt(C)
        share = score.exp() / score.exp().sum(2, keepdim=True)
        h = torch.einsum("bqk,bck->bcq", share, v.reshape(B, C, H * W)).reshape(B, C, H, W)
        return x + self.conv(h, name + ".proj_out")

    def level(self, x, name, blocks, level):
        for j in range(blocks):
            x = self.block(x, f"{name}.{level}.block.{j}")
            if level in self.config.attention:
                x = self.attention(x, f"{name}.{level}.attn.{j}")
        return x

    def middle(self, x, half):
        return self.block(
            self.attention(self.block(x, half + ".mid.block_1"), half + ".mid.attn_1"), half + ".mid.block_2"
        )

    def encode(self, x):
        x, last = self.conv(x, "encoder.conv_in", padding=1), len(self.config.ch_mult) - 1
        for i in range(last + 1):
            x = self.level(x, "encoder.down", self.config.num_res_blocks, i)
            if i < last:
                x = self.conv(F.pad(x, (0, 1, 0, 1)), f"encoder.down.{i}.downsample.conv", stride=2)
        x = self.swish(self.norm(self.middle(x, "encoder"), "encoder.norm_out"))
        return self.conv(self.conv(x, "encoder.conv_out", padding=1), "quant_conv")

    def codes(self, z):
        if self.config.gumbel:
            return self.conv(z, "quantize.proj").argmax(1)
        distance = (z[:, None] - self.p["quantize.embedding.weight"][None, :, :, None, None]).square().sum(2)
        return distance.argmin(1)

    def decode(self, codes):
        table = self.p["quantize.embed.weight" if self.config.gumbel else "quantize.embedding.weight"]
        x = self.conv(self.conv(table[codes].permute(0, 3, 1, 2), "post_quant_conv"), "decoder.conv_in", padding=1)
        x = self.middle(x, "decoder")
        for i in reversed(range(len(self.config.ch_mult))):
            x = self.level(x, "decoder.up", self.config.num_res_blocks + 1, i)
            if i > 0:
                x = self.conv(
                    x.repeat_interleave(2, 2).repeat_interleave(2, 3), f"decoder.up.{i}.upsample.conv", padding=1
                )
        return self.conv(self.swish(self.norm(x, "decoder.norm_out")), "decoder.conv_out", padding=1)


@torch.no_grad()
def test_codes_and_pictures_follow_the_formulae(model, frames):
    reference = Reference(model)
    x = torch.from_numpy(frames).permute(0, 3, 1, 2) / 127.5 - 1
    z = reference.encode(x)
    assert torch.allclose(model.quant_conv(model.encoder(x)), z, atol=1e-4)
    codes = model.encode(frames)
    assert codes.shape == (3, 256) and codes.dtype == torch.int64 and len(codes.unique()) > 3
    assert torch.equal(codes, reference.codes(z).flatten(1))
    wanted = ((reference.decode(codes.view(3, 16, 16)).clamp(-1, 1) + 1) * 127.5).permute(0, 2, 3, 1)
    assert (model.decode(codes) - wanted).abs().max() <= 0.51
    assert torch.equal(model.codebook()[5], model.quantize.vectors()[5]) and model.codebook().shape == (24, 6)


def test_the_search_does_not_depend_on_its_chunks(model, frames, monkeypatch):
    codes = model.encode(frames)
    monkeypatch.setattr(vqgan_module, "SEARCH_CHUNK", 7)
    assert torch.equal(model.encode(frames), codes)
    assert torch.equal(model.encode(frames[1:2]), codes[1:2])


def test_frames_that_do_not_fit_are_refused(model, frames):
    with pytest.raises(UserError, match="multiples of 2"):
        model.encode(frames[:, :31])
    with pytest.raises(UserError, match="0..23"):
        model.decode(torch.full((1, 4), 24))
    assert model.decode(torch.zeros(1, 8, dtype=torch.int64), height=4).shape == (1, 4, 8, 3)


@torch.no_grad()
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_authors_code_has_the_same_tensors(tmp_path, name):
    theirs = pytest.importorskip("taming.modules.diffusionmodules.model")
    model, ddconfig = made(name, tmp_path), PUBLISHED[name][3]
    with torch.device("meta"):
        halves = {"encoder": theirs.Encoder(**ddconfig), "decoder": theirs.Decoder(**ddconfig)}
    for half, their in halves.items():
        ours = getattr(model, half).state_dict()
        assert {k: v.shape for k, v in their.state_dict().items()} == {k: v.shape for k, v in ours.items()}


@torch.no_grad()
def test_the_authors_code_gives_the_same_codes(model, frames):
    theirs = pytest.importorskip("taming.modules.diffusionmodules.model")
    quantize = pytest.importorskip("taming.modules.vqvae.quantize")
    ddconfig, config = network(model.config), model.config
    encoder, decoder = theirs.Encoder(**ddconfig).eval(), theirs.Decoder(**ddconfig).eval()
    encoder.load_state_dict(model.encoder.state_dict())
    decoder.load_state_dict(model.decoder.state_dict())
    z = model.quant_conv(encoder(torch.from_numpy(frames).permute(0, 3, 1, 2) / 127.5 - 1))
    codes = model.encode(frames)
    if config.gumbel:
        theirs = quantize.GumbelQuantize(config.embed_dim, config.embed_dim, config.vocab_size)
        theirs.load_state_dict(model.quantize.state_dict())
        assert torch.equal(theirs.proj(z).argmax(1).flatten(1), codes)
        vectors = theirs.get_codebook_entry(codes.flatten(), (3, 16, 16, config.embed_dim))
    else:
        theirs = quantize.VectorQuantizer2(config.vocab_size, config.embed_dim, beta=0.25)
        theirs.load_state_dict(model.quantize.state_dict())
        vectors, _, (_, _, found) = theirs(z)
        assert torch.equal(found.view(3, -1), codes)
    picture = decoder(model.post_quant_conv(vectors)).clamp(-1, 1).add(1).mul(127.5).permute(0, 2, 3, 1)
    assert (model.decode(codes) - picture).abs().max() <= 0.51


# ------------------------------------------------------------------------------------------ files


def checkpoint(model, path, **more):
    """What Lightning writes: the weights, LPIPS and discriminator beside them, and much that is not weights."""
    loss = {
        "loss.perceptual_loss.net.slice1.0.weight": torch.ones(4),
        "loss.discriminator.main.3.num_batches_tracked": torch.tensor(3),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(
        {
            "epoch": 7,
            "pytorch-lightning_version": "1.0.8",
            "callbacks": {pytest.UsageError: {"best": torch.tensor(1.0)}},
            "optimizer_states": [{"state": {0: {"step": 3}}}],
            "state_dict": {**model.state_dict(), **loss},
            **more,
        },
        path,
    )


def yaml_of(model, **more):
    config = model.config
    target = "taming.models.vqgan.GumbelVQ" if config.gumbel else "taming.models.vqgan.VQModel"
    return described(target, config.vocab_size, config.embed_dim, network(config), **more)


def test_a_lightning_folder_loads_with_its_yaml_or_without(model, frames, tmp_path):
    logs = tmp_path / "vqgan_logs"
    checkpoint(model, logs / "checkpoints/last.ckpt")
    for with_yaml in (False, True):
        if with_yaml:
            (logs / "configs").mkdir()
            (logs / "configs/model.yaml").write_text(yaml_of(model))
        loaded = load_tokenizer(logs)
        assert loaded.config == model.config and loaded.fingerprint() == model.fingerprint()
        assert torch.equal(loaded.encode(frames), model.encode(frames))
    assert loaded.source["file"] == "last.ckpt"
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, tmp_path / "plain.safetensors")
    assert load_tokenizer(tmp_path / "plain.safetensors").fingerprint() == model.fingerprint()


def test_what_is_saved_is_what_is_loaded(model, frames, tmp_path):
    model.save(tmp_path / "saved")
    loaded = load_tokenizer(tmp_path / "saved")
    assert isinstance(loaded, VQGAN) and loaded.config == model.config
    assert loaded.fingerprint() == model.fingerprint() and torch.equal(loaded.encode(frames), model.encode(frames))
    (tmp_path / "saved/vqgan.safetensors").write_bytes(b"x")
    with pytest.raises(UserError, match="vqgan.safetensors is damaged"):
        load_tokenizer(tmp_path / "saved")


def test_a_yaml_that_does_not_fit_or_is_not_known_is_refused(model, tmp_path):
    checkpoint(model, tmp_path / "m/last.ckpt")
    for text, says in [
        (yaml_of(model).replace("z_channels: 5", "z_channels: 7"), r"z_channels 7 \(the weights: 5\)"),
        (yaml_of(model, remap="used.npy"), "sets remap"),
        (yaml_of(model).replace("double_z: false", "double_z: true"), "sets double_z"),
        (yaml_of(model).replace("ch: 32", "ch: many"), "does not describe a VQGAN"),
        ("ddconfig", "does not describe a VQGAN"),
        ("ddconfig: !!python/object/apply:os.abort []", "does not describe"),
    ]:
        (tmp_path / "m/last.yaml").write_text(text)
        with pytest.raises(UserError, match=says) as caught:
            load_tokenizer(tmp_path / "m")
        assert "last.yaml" in str(caught.value) and "\n" not in str(caught.value)


def test_torn_weights_are_named(model, tmp_path):
    state = model.state_dict()
    del state["decoder.mid.attn_1.q.weight"]
    torch.save({"state_dict": state}, tmp_path / "torn.ckpt")
    with pytest.raises(UserError, match="torn.ckpt looks like a VQGAN but is not.*decoder.mid.attn_1.q.weight"):
        load_tokenizer(tmp_path / "torn.ckpt")


def test_the_fingerprint_is_of_a_config_that_survives_json(model):
    assert json.loads(json.dumps(model.described()))["vqgan"]["ch_mult"] == [1, 2]

"""The baseline encoders: MAE's layout, parity with timm where it is installed, and the encoder's contract."""

import argparse

import numpy as np
import pytest
import torch

from toto_robot import load_encoder
from toto_robot.features.vision import VisionEncoder
from toto_robot.features.vit import SIZES, ViT, ViTConfig, config_of_weights, read_vit, sine_cosine
from toto_robot.ground.errors import UserError
from toto_robot.video.frames import scaled_square

TINY = ViTConfig(width=64, depth=3, heads=1, patch=16, image_size=64, mlp_width=96)
FRAMES = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)


@pytest.fixture
def tiny():
    model = ViT(TINY)
    model.init_weights(torch.Generator().manual_seed(3))
    for p in model.parameters():
        p.data += 0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(4))
    return model


def mae_file(path, model, **more):
    """As MAE's and MVP's training writes it: other modules' weights, the optimizer and the arguments beside it."""
    state = (
        model.state_dict() | {"mask_token": torch.zeros(1, 1, 8), "decoder_blocks.0.norm1.weight": torch.ones(8)} | more
    )
    torch.save({"model": state, "optimizer": {"state": {}}, "epoch": 799, "args": argparse.Namespace(lr=1e-3)}, path)
    return path


def test_a_checkpoint_of_maes_layout_gives_its_sizes_and_its_weights(tmp_path, tiny):
    read = read_vit(mae_file(tmp_path / "mae.pth", tiny))
    assert read.config == TINY
    x = torch.randn(2, 3, 64, 64)
    for layer in (1, 3):
        assert torch.equal(read(x, layer), tiny(x, layer))


def test_every_pooling_keeps_the_encoders_contract(tmp_path, tiny):
    path = mae_file(tmp_path / "mae.pth", tiny)
    shapes = {"cls": (64,), "mean": (64,), "grid": (16, 64), "attention": (16, 64), "none": (16, 64)}
    prints = set()
    for pooling, shape in shapes.items():
        encoder = load_encoder(f"vit:{path}", pooling=pooling)
        features = encoder(FRAMES)
        assert encoder.feature_shape == shape == tuple(features.shape[1:]) and features.dtype == torch.float32
        assert torch.allclose(encoder(FRAMES[1:2]), features[1:2], atol=1e-5)
        prints.add(encoder.fingerprint)
    prints |= {load_encoder(f"vit:{path}", layer=2).fingerprint, load_encoder(f"vit:{path}:random").fingerprint}
    assert len(prints) == 7 and load_encoder(f"vit:{path}").fingerprint in prints  # cls is the default
    none = load_encoder(f"vit:{path}", pooling="none")(FRAMES)
    assert torch.allclose(none.mean(1), load_encoder(f"vit:{path}", pooling="mean")(FRAMES), atol=1e-5)


def test_frames_of_any_size_are_scaled_inside(tmp_path, tiny):
    encoder = load_encoder(f"vit:{mae_file(tmp_path / 'mae.pth', tiny)}")
    assert encoder.image_size == 64
    for shape in ((128, 128), (48, 96), (65, 64)):
        assert encoder(np.zeros((2, *shape, 3), np.uint8)).shape == (2, 64)
    x = torch.rand(1, 3, 64, 96)
    assert torch.equal(scaled_square(x, 64), x[..., 16:80])
    with pytest.raises(UserError, match="uint8"):
        encoder(np.zeros((2, 64, 64, 3), np.float32))


def test_random_weights_come_from_a_fixed_seed_and_change_nothing_else(tmp_path, tiny):
    path = mae_file(tmp_path / "mae.pth", tiny)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one, two = (load_encoder(f"vit:{path}:random")(FRAMES) for _ in range(2))
    assert torch.equal(one, two) and torch.equal(before, torch.get_rng_state())
    assert not torch.allclose(one, load_encoder(f"vit:{path}")(FRAMES))


def test_mvps_sizes_are_read_from_shapes_alone():
    for config in SIZES.values():
        with torch.device("meta"):
            state = ViT(config).state_dict()
        found = config_of_weights(state)
        assert found == ViTConfig(**{**config.to_dict(), "mlp_width": 4 * config.width})


def test_positions_are_maes_sine_and_cosine():
    table = sine_cosine(8, 3)
    assert table.shape == (9, 8)
    assert torch.allclose(table[5, 0], torch.tensor(2.0).sin()) and torch.allclose(table[5, 4], torch.tensor(1.0).sin())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("vit:nowhere.pth", "vit_small_random"),
        ("timm:vit_small_patch16_224.dino", "timm:MODEL:FILE"),
        ("timm:vit_small_patch16_224.dino:nowhere.pth", "no file"),
        ("vit_tiny_random", "vit_base_random, vit_large_random"),
    ],
)
def test_a_name_that_is_not_there_says_what_is(name, words):
    with pytest.raises(UserError, match=words):
        load_encoder(name)


def test_a_file_of_another_kind_is_a_users_error(tmp_path, tiny):
    torch.save({"layer.weight": torch.ones(2)}, tmp_path / "a.pth")
    with pytest.raises(UserError, match="no weights that are wanted"):
        read_vit(tmp_path / "a.pth")
    torch.save({"cls_token": torch.ones(1, 1, 4), "pos_embed": torch.ones(1, 6, 4)}, tmp_path / "b.pth")
    with pytest.raises(UserError, match="MAE's layout"):
        read_vit(tmp_path / "b.pth")
    (tmp_path / "c.pth").write_text("<html>404</html>")
    with pytest.raises(UserError, match="web page"):
        read_vit(tmp_path / "c.pth")


def test_layers_and_poolings_that_do_not_exist_are_listed(tmp_path, tiny):
    path = mae_file(tmp_path / "mae.pth", tiny)
    with pytest.raises(UserError, match="from 1 to 3"):
        load_encoder(f"vit:{path}", layer=4)
    with pytest.raises(UserError, match="attention, cls, grid, mean, none"):
        load_encoder(f"vit:{path}", pooling="max")
    with pytest.raises(UserError, match="attention, grid, mean, none"):
        load_encoder("toto_tiny", pooling="cls")


# ------------------------------------------------------------------------------------------ timm, where it is installed


def need_timm():
    return pytest.importorskip("timm", exc_type=Exception)


def test_our_vision_transformer_and_timms_give_the_same_tokens(tmp_path):
    timm = need_timm()
    theirs = timm.create_model(
        "vit_base_patch16_224", num_classes=0, depth=2, img_size=64
    ).eval()  # 12 heads, as ours of 768
    torch.save({"model": theirs.state_dict()}, tmp_path / "timm.pth")
    ours = read_vit(tmp_path / "timm.pth").eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(ours(x, 2), theirs.forward_features(x), atol=1e-5)


@pytest.mark.parametrize(
    "model", ["vit_tiny_patch16_224", "vit_small_patch14_dinov2", "vit_small_patch16_224.dino", "resnet18"]
)
def test_timms_models_load_from_a_local_file_behind_the_contract(tmp_path, model):
    timm = need_timm()
    size = {"img_size": 224} if "dinov2" in model else {}
    torch.save(timm.create_model(model, num_classes=0, **size).state_dict(), tmp_path / "w.pth")
    encoder = load_encoder(f"timm:{model}:{tmp_path / 'w.pth'}", pooling="mean" if model == "resnet18" else None)
    assert isinstance(encoder, VisionEncoder)
    features = encoder(FRAMES[:1])
    assert tuple(features.shape) == (1, *encoder.feature_shape) and features.isfinite().all()
    other = load_encoder(f"timm:{model}:random", pooling=encoder.pooling)
    assert other.fingerprint != encoder.fingerprint and not torch.allclose(other(FRAMES[:1]), features)


def test_timms_wrong_file_and_wrong_name_are_a_users_error(tmp_path):
    timm = need_timm()
    torch.save(timm.create_model("resnet18", num_classes=0).state_dict(), tmp_path / "w.pth")
    with pytest.raises(UserError, match="name the model that it belongs to"):
        load_encoder(f"timm:vit_tiny_patch16_224:{tmp_path / 'w.pth'}")
    with pytest.raises(UserError, match="vit_small_patch16_224"):
        load_encoder(f"timm:vit_smal_patch16_224:{tmp_path / 'w.pth'}")


def test_without_timm_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(UserError, match="pip install timm"):
        load_encoder("timm:vit_small_patch16_224.dino:random")

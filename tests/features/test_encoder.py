import subprocess
import sys

import numpy as np
import pytest
import torch

import toto_robot
from toto_robot.features import encoder as module
from toto_robot.features.encoder import load_encoder
from toto_robot.features.folder import load_toto, read_folder
from toto_robot.features.pooling import POOLINGS
from toto_robot.ground.errors import UserError


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("variant", ["", ":random", ":codes"])
def test_features_have_the_promised_shape_and_type(folder, frames, pooling, variant):
    encoder = load_encoder(f"{folder}{variant}", pooling=pooling)
    out = encoder(frames[:2])
    assert out.dtype == torch.float32 and tuple(out.shape) == (2, *encoder.feature_shape)
    assert encoder.dim == encoder.feature_shape[-1] == (8 if variant == ":codes" else 24)
    assert torch.isfinite(out).all() and not out.requires_grad


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_frames_feature_is_the_same_whatever_its_batch_neighbours(folder, frames, dtype):
    encoder = load_encoder(folder, dtype=dtype)
    together = encoder(frames)
    alone = torch.cat([encoder(frame[None]) for frame in frames])
    others = encoder(frames[::-1].copy()).flip(0)
    scale, tolerance = together.abs().max(), {"float32": 1e-5, "bfloat16": 2e-2}[dtype]
    assert (together - alone).abs().max() < tolerance * scale and (together - others).abs().max() < tolerance * scale
    assert torch.equal(encoder.codes(frames)[3], encoder.codes(frames[3:4])[0])


def test_a_frame_is_image_start_then_its_ids_and_the_start_is_dropped(folder, frames):
    encoder = load_encoder(folder, pooling="none", layer=2)
    codes = encoder.codes(frames[:1])
    ids = torch.cat((torch.tensor([[3]]), codes + 4), dim=1)
    expected = load_toto(read_folder(folder)).hidden_states(ids, 2)[:, 1:]
    torch.testing.assert_close(encoder(frames[:1]), expected, atol=1e-5, rtol=1e-5)


def test_a_clip_is_video_start_then_all_its_frames(folder, frames):
    encoder = load_encoder(folder, pooling="none", layer=3)
    clip = frames[:2][None]
    ids = torch.cat((torch.tensor([[1]]), encoder.codes(clip).flatten(1) + 4), dim=1)
    expected = load_toto(read_folder(folder)).hidden_states(ids, 3)[:, 1:]
    torch.testing.assert_close(encoder(clip), expected, atol=1e-5, rtol=1e-5)
    assert encoder(clip).shape == (1, 512, 24)
    assert load_encoder(folder, pooling="grid")(clip).shape == (1, 32, 24)
    assert load_encoder(folder)(clip).shape == (1, 24)


def test_the_newest_frame_of_a_clip_is_read_after_the_frames_before_it(folder, frames):
    encoder = load_encoder(folder, pooling="none", layer=3)
    tokens = encoder.tokens(frames)
    newest = encoder.newest(tokens[None, [2, 0, 1]])
    torch.testing.assert_close(newest, encoder(frames[[2, 0, 1]][None])[:, -256:], atol=1e-5, rtol=1e-5)
    assert encoder.reads_clips and tuple(newest.shape[1:]) == encoder.feature_shape
    for other in ([0, 2, 1], [3, 0, 1]):  # another order, and another first frame
        assert (encoder.newest(tokens[None, other]) - newest).abs().max() > 1e-3
    grid = load_encoder(folder, pooling="grid")
    assert tuple(grid.newest(tokens[None]).shape[1:]) == grid.feature_shape
    codes = load_encoder(f"{folder}:codes")
    assert not codes.reads_clips


def test_the_micro_batch_does_not_change_the_features(folder, frames, monkeypatch):
    encoder = load_encoder(folder)
    several = encoder(frames)
    monkeypatch.setitem(module.MICRO_TOKENS, "cpu", 1)
    torch.testing.assert_close(encoder(frames), several, atol=1e-5, rtol=1e-5)


def test_every_layer_equals_each_layer(folder, frames):
    encoder = load_encoder(folder, pooling="grid")
    codes = encoder.codes(frames)
    layers = encoder.every_layer(codes)
    assert layers.shape == (3, 6, 16, 24)
    for layer in (1, 2, 3):
        torch.testing.assert_close(layers[layer - 1], load_encoder(folder, layer=layer, pooling="grid").features(codes))
    assert load_encoder(f"{folder}:codes", pooling="grid").every_layer(codes).shape == (1, 6, 16, 8)


def test_layers_above_are_not_run(folder, frames):
    encoder, run = load_encoder(folder, layer=1), []
    for i, block in enumerate(encoder.toto.blocks, start=1):
        block.register_forward_hook(lambda *_, i=i: run.append(i))
    encoder(frames[:1])
    assert run == [1]


def test_bfloat16_is_close_to_float32_and_the_codes_are_equal(folder, frames):
    exact, fast = load_encoder(folder), load_encoder(folder, dtype="bfloat16")
    assert torch.equal(exact.codes(frames), fast.codes(frames))
    a, b = exact(frames), fast(frames)
    assert torch.nn.functional.cosine_similarity(a, b).min() > 0.999
    assert next(fast.tokenizer.parameters()).dtype == torch.float32


def test_numpy_and_torch_frames_give_the_same(folder, frames):
    encoder = load_encoder(folder)
    assert torch.equal(encoder(frames), encoder(torch.from_numpy(frames)))


def test_the_bare_codes_are_the_codebooks_vectors(folder, frames):
    encoder = load_encoder(f"{folder}:codes", pooling="none")
    codes = encoder.codes(frames)
    assert torch.equal(encoder(frames), encoder.tokenizer.codebook()[codes])
    assert (encoder.layer, encoder.num_layers) == (0, 0)


def test_the_fingerprint_tells_weights_layer_pooling_and_dtype_apart(folder):
    def fingerprint(**changes):
        return load_encoder(**{"name_or_folder": folder, **changes}).fingerprint

    different = [
        fingerprint(),
        fingerprint(layer=1),
        fingerprint(pooling="grid"),
        fingerprint(dtype="bfloat16"),
        fingerprint(name_or_folder=f"{folder}:random"),
        fingerprint(name_or_folder=f"{folder}:codes"),
    ]
    assert len(set(different)) == len(different)
    assert fingerprint(layer=2, pooling=None) == fingerprint()


def test_random_weights_are_the_same_every_time(folder, frames):
    a, b = load_encoder(f"{folder}:random"), load_encoder(f"{folder}:random")
    assert a.fingerprint == b.fingerprint and torch.equal(a(frames), b(frames))


@pytest.mark.parametrize(
    "frames, told",
    [
        (np.zeros((1, 128, 128, 3), np.float32), "uint8"),
        (np.zeros((1, 3, 128, 128), np.uint8), "channels"),
        (np.zeros((1, 96, 96, 3), np.uint8), "128×128"),
        (np.zeros((128, 128, 3), np.uint8), r"frame\[None\]"),
        (np.zeros((1, 1, 1, 128, 128, 3), np.uint8), "clips"),
    ],
)
def test_frames_of_a_wrong_shape_or_type_are_refused_with_what_to_do(folder, frames, told):
    with pytest.raises(UserError, match=told):
        load_encoder(folder)(frames)


@pytest.mark.parametrize(
    "arguments, told",
    [
        ({"layer": 4}, "from 1 to 3"),
        ({"pooling": "max"}, "attention, grid, mean, none"),
        ({"dtype": "int8"}, "auto, bfloat16, float32"),
        ({"device": "abacus"}, "device=cpu"),
        ({"name_or_folder": "toto_huge"}, "dvae_codes"),
    ],
)
def test_what_does_not_exist_is_refused_with_what_exists(folder, arguments, told):
    with pytest.raises(UserError, match=told):
        load_encoder(**{"name_or_folder": folder, **arguments})
    with pytest.raises(UserError, match="no transformer"):
        load_encoder(f"{folder}:codes", layer=2)


def test_load_encoder_is_on_the_package_and_the_package_imports_without_torch():
    assert toto_robot.load_encoder is load_encoder
    check = "import sys, toto_robot; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = toto_robot.nothing

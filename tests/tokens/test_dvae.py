import hashlib

import numpy as np
import pytest
import torch

from toto_robot.ground.errors import UserError
from toto_robot.tokens.dvae import DVAE, DVAEConfig, map_pixels, preset, unmap_pixels

SMALL = DVAEConfig(vocab_size=32, n_hid=4, decoder_hid=4, n_init=8, n_blk_per_group=1)


@pytest.fixture(scope="module")
def dvae():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return DVAE(SMALL).eval()


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)


def count(module):
    return sum(p.numel() for p in module.parameters()), len(module.state_dict())


def test_the_dalle_preset_has_the_official_parameter_counts():
    with torch.device("meta"):
        model = DVAE(preset("dalle"))
    assert count(model.encoder) == (53_786_240, 74)
    assert count(model.decoder) == (43_829_766, 76)


def test_names_and_shapes_are_the_official_ones():
    with torch.device("meta"):
        state = DVAE(preset("dalle")).state_dict()
    shapes = {
        "encoder.blocks.input.weight": (256, 3, 7, 7),
        "encoder.blocks.group_1.block_1.res_path.conv_1.weight": (64, 256, 3, 3),
        "encoder.blocks.group_1.block_1.res_path.conv_4.weight": (256, 64, 1, 1),
        "encoder.blocks.group_2.block_1.id_path.weight": (512, 256, 1, 1),
        "encoder.blocks.group_4.block_2.res_path.conv_1.weight": (512, 2048, 3, 3),
        "encoder.blocks.output.conv.weight": (8192, 2048, 1, 1),
        "decoder.blocks.input.weight": (128, 8192, 1, 1),
        "decoder.blocks.group_1.block_1.id_path.weight": (2048, 128, 1, 1),
        "decoder.blocks.group_1.block_1.res_path.conv_1.weight": (512, 128, 1, 1),
        "decoder.blocks.group_4.block_2.res_path.conv_4.bias": (256,),
        "decoder.blocks.output.conv.weight": (6, 256, 1, 1),
    }
    assert {name: tuple(state[name].shape) for name in shapes} == shapes
    assert "encoder.blocks.group_1.block_1.id_path.weight" not in state


def test_residual_paths_are_scaled_by_one_over_the_layers_squared():
    with torch.device("meta"):
        assert DVAE(preset("dalle")).encoder.blocks.group_3.block_2.post_gain == 1 / 64


def test_codes_are_raster_ordered_and_the_same_twice(dvae, frames):
    codes = dvae.encode(frames)
    assert codes.shape == (7, 16) and codes.dtype == torch.int64
    assert torch.equal(codes, dvae.encode(torch.from_numpy(frames)))
    assert torch.equal(codes, dvae.logits(torch.from_numpy(frames).movedim(-1, 1) / 255.0).argmax(1).flatten(1))


def test_a_frames_codes_do_not_depend_on_the_rest_of_the_batch(dvae, frames):
    codes = dvae.encode(frames)
    for batch in (frames[:1], frames[:2], frames[:5]):
        assert torch.equal(dvae.encode(batch), codes[: len(batch)])


def test_the_model_is_fully_convolutional(dvae):
    assert dvae.encode(np.zeros((1, 16, 64, 3), np.uint8)).shape == (1, 2 * 8)
    assert dvae.decode(torch.zeros(1, 16, dtype=torch.int64), height=16).shape == (1, 16, 64, 3)
    assert dvae.grid(128) == (16, 16) and dvae.grid(256) == (32, 32)


def test_decoding_codes_equals_decoding_their_one_hot_picture(dvae, frames):
    codes = dvae.encode(frames[:2]).reshape(2, 4, 4)
    one_hot = torch.nn.functional.one_hot(codes, SMALL.vocab_size).movedim(-1, 1).float()
    with torch.no_grad():
        whole = dvae.decoder(one_hot)
        short = dvae.decoder.from_embedding(dvae.decoder.embed(codes))
    assert torch.allclose(whole, short, atol=1e-5)
    assert dvae.decode(codes.flatten(1)).dtype == torch.uint8


def test_the_result_is_the_same_with_and_without_gradients(dvae, frames):
    x = torch.from_numpy(frames).movedim(-1, 1) / 255.0
    with torch.no_grad():
        quick = dvae.logits(x)
    assert torch.allclose(dvae.logits(x), quick, atol=1e-6)


def test_the_codebook_is_the_columns_of_the_decoders_entry(dvae):
    assert dvae.codebook().shape == (32, 8)
    assert torch.equal(dvae.codebook()[5], dvae.decoder.blocks.input.weight[:, 5, 0, 0])


def test_pixel_mapping_inverts():
    x = torch.linspace(0, 1, 11)
    assert torch.allclose(unmap_pixels(map_pixels(x)), x, atol=1e-6)
    assert float(map_pixels(torch.tensor(0.0))) == pytest.approx(0.1) and float(unmap_pixels(torch.tensor(0.95))) == 1


def test_a_saved_dvae_loads_with_equal_weights_codes_and_fingerprint(dvae, frames, tmp_path):
    dvae.save(tmp_path / "m")
    loaded = DVAE.load(tmp_path / "m")
    assert loaded.fingerprint() == dvae.fingerprint() and loaded.config == SMALL
    assert torch.equal(loaded.encode(frames), dvae.encode(frames))


def test_the_fingerprint_follows_the_weights(dvae):
    torch.manual_seed(1)
    other = DVAE(SMALL)
    assert other.fingerprint() != dvae.fingerprint()


@pytest.mark.parametrize(
    "damage, says",
    [
        ("missing", "missing"),
        ("truncated", "sha256"),
        ("foreign", "does not fit"),
        ("config", "does not describe"),
        ("keys", "does not describe"),
    ],
)
def test_a_damaged_folder_is_one_sentence(dvae, tmp_path, damage, says):
    dvae.save(tmp_path)
    weights, config = tmp_path / "dvae.safetensors", tmp_path / "config.yaml"
    if damage == "missing":
        weights.unlink()
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-100])
    if damage == "foreign":
        weights.write_bytes(b"not safetensors, but as described")
        text = config.read_text().split("sha256:")[0]
        config.write_text(text + "sha256:\n  dvae.safetensors: " + hashlib.sha256(weights.read_bytes()).hexdigest())
    if damage == "config":
        config.write_text("- nothing\n- of use")
    if damage == "keys":
        config.write_text("dvae: {n_hidden: 4}\nsha256: {dvae.safetensors: x}")
    with pytest.raises(UserError, match=says) as error:
        DVAE.load(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "wrong", [dict(vocab_size=0), dict(n_hid=6), dict(n_blk_per_group=1.5), dict(vocab_size=70000)]
)
def test_impossible_sizes_are_refused(wrong):
    with pytest.raises(UserError, match="expected"):
        DVAEConfig(**wrong)
    with pytest.raises(UserError, match="dalle, tiny"):
        preset("huge")


@pytest.mark.parametrize(
    "frames, says",
    [
        (np.zeros((1, 30, 32, 3), np.uint8), "multiples of 8"),
        (np.zeros((32, 32, 3), np.uint8), "B, H, W, 3"),
        (np.zeros((1, 32, 32, 3), np.float32), "uint8"),
    ],
)
def test_wrong_frames_are_refused(dvae, frames, says):
    with pytest.raises(UserError, match=says):
        dvae.encode(frames)


def test_codes_out_of_range_are_refused(dvae):
    with pytest.raises(UserError, match="0..31"):
        dvae.decode(torch.full((1, 16), 32))

import numpy as np
import pytest
import torch

from toto_robot.errors import UserError
from toto_robot.tokens.patches import PatchTokenizer, patchify, unpatchify
from toto_robot.tokens.tokenizer import load_tokenizer


@pytest.fixture(scope="module")
def frames():
    frames = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), dtype=np.uint8)
    frames[0, :16, :16] = 77                                    # a patch of one colour
    return frames


def test_a_frame_of_256_pixels_is_256_patches_of_768_values():
    patches = PatchTokenizer()
    assert patches.dim == 768 and patches.grid(256) == (16, 16)
    assert patches.values(np.zeros((1, 256, 256, 3), np.uint8)).shape == (1, 256, 768)


def test_patches_are_cut_in_raster_order_with_channels_last(frames):
    values = PatchTokenizer(normalize=False).values(frames)
    assert values.shape == (2, 6, 768) and values.dtype == torch.float32
    for i, (top, left) in enumerate((top, left) for top in (0, 16) for left in (0, 16, 32)):
        wanted = frames[1, top:top + 16, left:left + 16].astype(np.float32) / 255
        assert torch.equal(values[1, i], torch.from_numpy(wanted.reshape(-1)))


def test_normalisation_is_maes(frames):
    pixels = PatchTokenizer(normalize=False).values(frames)
    mean, variance = pixels.mean(dim=-1, keepdim=True), pixels.var(dim=-1, keepdim=True)
    assert torch.allclose(PatchTokenizer().values(frames), (pixels - mean) / (variance + 1e-6) ** 0.5, atol=1e-6)
    assert PatchTokenizer().values(frames)[0, 0].abs().max() < 1e-3


@pytest.mark.parametrize("normalize", [True, False])
def test_values_give_the_frames_back(frames, normalize):
    patches = PatchTokenizer(normalize=normalize)
    known = patches.statistics(frames) if normalize else ()
    assert np.array_equal(patches.frames(patches.values(frames), *known, height=32).numpy(), frames)


def test_patchify_inverts(frames):
    x = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    assert torch.equal(unpatchify(patchify(x, 8), 8, height=32), x)


def test_the_loss_is_the_mean_square_and_zero_at_the_target(frames):
    patches = PatchTokenizer()
    values = patches.values(frames)
    assert float(patches.loss(values.half().float(), values)) < 1e-5
    assert float(patches.loss(values + 2, values)) == pytest.approx(4)


def test_it_has_no_codes_and_says_what_is_wrong(frames):
    patches = PatchTokenizer()
    assert not hasattr(patches, "encode") and not hasattr(patches, "vocab_size")
    with pytest.raises(UserError, match="multiples of 16"):
        patches.values(frames[:, :30])
    with pytest.raises(UserError, match="mean and std"):
        patches.frames(patches.values(frames), height=32)
    with pytest.raises(UserError, match="give height="):
        patches.frames(torch.zeros(1, 4, 5), torch.zeros(1, 4, 1), torch.ones(1, 4, 1))
    with pytest.raises(UserError, match="eps"):
        PatchTokenizer(eps=0)
    with pytest.raises(UserError, match="no tokenizer 'patches'"):
        load_tokenizer("patches")

import numpy as np
import pytest
import torch

from toto_robot.ground.errors import UserError
from toto_robot.tokens.patches import PatchConfig, PatchTokenizer, patch_values, patchify, unpatchify
from toto_robot.tokens.store.build import TokenizeConfig, build_store
from toto_robot.tokens.store.statistics import statistics
from toto_robot.tokens.store.token_store import TokenStore, damaged_shards, write_index, write_shard
from toto_robot.tokens.tokenizer import load_tokenizer
from toto_robot.video.decode import iter_frames, write_video


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), dtype=np.uint8)


def test_a_frame_of_256_pixels_is_256_patches_of_768_values():
    patches = PatchTokenizer(PatchConfig())
    assert patches.vocab_size == 768 and patches.grid(256) == (16, 16)
    assert patches.encode(np.zeros((1, 256, 256, 3), np.uint8)).shape == (1, 256, 768)


def test_patches_are_cut_in_raster_order_with_channels_last(frames):
    patches = PatchTokenizer(PatchConfig()).encode(frames)
    assert patches.shape == (2, 6, 768) and patches.dtype == torch.uint8
    for i, (top, left) in enumerate((top, left) for top in (0, 16) for left in (0, 16, 32)):
        assert np.array_equal(patches[1, i], frames[1, top : top + 16, left : left + 16].reshape(-1))


def test_patches_give_every_pixel_back(frames):
    patches = PatchTokenizer(PatchConfig(patch=8))
    assert np.array_equal(patches.decode(patches.encode(frames), height=32).numpy(), frames)


def test_patchify_inverts():
    x = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    assert torch.equal(unpatchify(patchify(x, 8), 8, rows=4), x)


def test_no_pixel_reads_as_the_start_of_a_row():
    values = patch_values(torch.arange(256, dtype=torch.uint8))
    assert (values != 0).all() and values[0] == -1 and values[-1] == 1


def test_it_is_saved_loaded_and_named_like_any_tokenizer(tmp_path):
    PatchTokenizer(PatchConfig(patch=8)).save(tmp_path / "patches")
    assert load_tokenizer(tmp_path / "patches").fingerprint() == load_tokenizer("patches:8").fingerprint()
    assert load_tokenizer("patches:8").fingerprint() != load_tokenizer("patches:16").fingerprint()


def test_a_store_of_patches_holds_the_pixels_and_tells_damage(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    write_video(tmp_path / "videos" / "a.mp4", pixels, fps=30)
    cfg = TokenizeConfig(
        str(tmp_path / "videos"), str(tmp_path / "store"), tokenizer="patches:8", image_size=32, frames=4, workers=1
    )
    build_store(cfg)
    store = TokenStore(tmp_path / "store")
    assert store.continuous and store[0].shape == (4, 16, 192) and store[0].dtype == np.uint8
    back = load_tokenizer("patches:8").decode(torch.from_numpy(np.array(store[0]))).numpy()
    read = [frame for _, frame in iter_frames(tmp_path / "videos" / "a.mp4", 32)]
    assert np.array_equal(back, read[:16:4])
    assert not damaged_shards(tmp_path / "store")
    file = next((tmp_path / "store").glob("shards/*/patches.u8"))
    data = bytearray(file.read_bytes())
    data[7] ^= 1
    file.write_bytes(data)
    assert "patches.u8: sha256 differs" in damaged_shards(tmp_path / "store")[0]["reason"]


def test_what_needs_codes_says_that_patches_have_none(tmp_path, frames):
    write_shard(tmp_path, "0", np.zeros((1, 4, 16, 192), np.uint8), [{"source": "a", "kind": "video"}], [])
    write_index(
        tmp_path, {"frames": 4, "tokens_per_frame": 16, "vocab_size": 192, "tokenizer": "t", "continuous": True}, ["0"]
    )
    with pytest.raises(UserError, match="holds patches"):
        statistics(TokenStore(tmp_path))
    patches = PatchTokenizer(PatchConfig())
    with pytest.raises(UserError, match="no codebook"):
        patches.codebook()
    with pytest.raises(UserError, match="multiples of 16"):
        patches.encode(frames[:, :30])
    with pytest.raises(UserError, match=r"rows × columns, 768"):
        patches.decode(torch.zeros(1, 4, 5, dtype=torch.uint8))
    with pytest.raises(UserError, match="at least 1"):
        PatchConfig(patch=0)
    with pytest.raises(UserError, match="patches:PIXELS"):
        load_tokenizer("patches")

"""OpenAI's dVAE, from each of its published layouts, equals the original."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from toto_robot.ground.errors import UserError
from toto_robot.tokens import tokenizer
from toto_robot.tokens.dvae import DVAE, DVAEConfig, map_pixels, preset
from toto_robot.tokens.tokenizer import load_tokenizer

ROOT = Path(__file__).parents[2]


def official_state(dvae, half):
    """One half's state dict under OpenAI's names."""
    state = getattr(dvae, half).state_dict()
    return {name.replace(".weight", ".w").replace(".bias", ".b"): t.contiguous() for name, t in state.items()}


def test_pickled_modules_give_the_same_codes_and_pictures(small_dvae, noise, openai_module, tmp_path):
    for half in ("encoder", "decoder"):
        torch.save(openai_module(small_dvae, half), tmp_path / f"{half}.pkl")
    loaded = load_tokenizer(tmp_path / "encoder.pkl")
    assert loaded.config == small_dvae.config and loaded.fingerprint() == small_dvae.fingerprint()
    codes = loaded.encode(noise)
    assert torch.equal(codes, small_dvae.encode(noise)) and torch.equal(loaded.decode(codes), small_dvae.decode(codes))
    assert load_tokenizer(tmp_path).fingerprint() == loaded.fingerprint()


def test_state_dicts_load_whether_apart_or_together(small_dvae, tmp_path):
    both = {f"{half}.{k}": v for half in ("encoder", "decoder") for k, v in official_state(small_dvae, half).items()}
    torch.save(both, tmp_path / "both.pt")
    save_file(both, tmp_path / "both.safetensors")
    (tmp_path / "apart").mkdir()
    save_file(official_state(small_dvae, "encoder"), tmp_path / "apart/my_encoder.safetensors")
    save_file(official_state(small_dvae, "decoder"), tmp_path / "apart/my_decoder.safetensors")
    for path in ("both.pt", "both.safetensors", "apart", "apart/my_encoder.safetensors"):
        assert load_tokenizer(tmp_path / path).fingerprint() == small_dvae.fingerprint()


def test_an_encoder_alone_encodes_and_says_what_it_lacks(small_dvae, noise, tmp_path):
    torch.save({k: v.half() for k, v in official_state(small_dvae, "encoder").items()}, tmp_path / "encoder.pt")
    alone = load_tokenizer(tmp_path / "encoder.pt")
    assert alone.config.decoder_hid == 0 and all(p.dtype == torch.float32 for p in alone.parameters())
    codes = alone.encode(noise)
    for refused in (lambda: alone.decode(codes), alone.codebook):
        with pytest.raises(UserError, match="encoder only.*decoder.pkl"):
            refused()
    alone.save(tmp_path / "saved")
    again = DVAE.load(tmp_path / "saved")
    assert again.fingerprint() == alone.fingerprint() and torch.equal(again.encode(noise), codes)
    assert again.source == {
        "file": "encoder.pt",
        "sha256": hashlib.sha256((tmp_path / "encoder.pt").read_bytes()).hexdigest(),
    }


def test_a_decoder_alone_and_half_a_file_are_refused(small_dvae, tmp_path):
    torch.save(official_state(small_dvae, "decoder"), tmp_path / "decoder.pkl")
    with pytest.raises(UserError, match="holds the decoder only; give the file of the encoder"):
        load_tokenizer(tmp_path / "decoder.pkl")
    state = official_state(small_dvae, "encoder")
    del state["blocks.group_2.block_1.id_path.w"]
    torch.save(state, tmp_path / "torn.pt")
    with pytest.raises(UserError, match="torn.pt looks like DALL·E's dVAE but is not.*group_2.block_1.id_path"):
        load_tokenizer(tmp_path / "torn.pt")


def test_a_file_of_the_official_size_must_have_the_official_hash(small_dvae, tmp_path, monkeypatch):
    torch.save(official_state(small_dvae, "encoder"), tmp_path / "e.pkl")
    size = (tmp_path / "e.pkl").stat().st_size
    monkeypatch.setattr(tokenizer, "PUBLISHED", {size: ("encoder.pkl", "0" * 64)})
    with pytest.raises(UserError, match="has the size of OpenAI's encoder.pkl but not its content.*download it again"):
        load_tokenizer(tmp_path / "e.pkl")
    monkeypatch.setattr(tokenizer, "PUBLISHED", {size + 1: ("encoder.pkl", "0" * 64)})
    assert load_tokenizer(tmp_path / "e.pkl").vocab_size == 8


def test_flavas_copy_gives_the_codes_of_its_own_implementation(tmp_path):
    flava = pytest.importorskip("transformers.models.flava.modeling_flava")
    config = flava.FlavaImageCodebookConfig(hidden_size=8, vocab_size=32, num_blocks_per_group=2)
    torch.manual_seed(0)
    theirs = flava.FlavaImageCodebook(config).eval()
    (tmp_path / "flava-image-codebook").mkdir()
    torch.save(theirs.state_dict(), tmp_path / "flava-image-codebook/pytorch_model.bin")
    ours = load_tokenizer(tmp_path / "flava-image-codebook")
    frames = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    x = torch.from_numpy(frames).movedim(-1, 1) / 255.0
    with torch.no_grad():
        assert torch.allclose(ours.logits(x), theirs.blocks(map_pixels(x)), atol=1e-5)
        assert torch.equal(ours.encode(frames), theirs.get_codebook_indices(map_pixels(x)).flatten(1))
    with pytest.raises(UserError, match="encoder only"):
        ours.decode(ours.encode(frames))


def test_full_size_shapes_are_read_as_the_dalle_preset():
    from toto_robot.tokens.foreign.dalle import _config

    with torch.device("meta"):
        dvae = DVAE(preset("dalle"))
    assert _config(dvae.encoder.state_dict(), dvae.decoder.state_dict()) == DVAEConfig()


# ------------------------------------------------------------------------------------------ against OpenAI's package


@pytest.fixture(scope="module")
def package():
    """OpenAI's encoder and decoder (the package's smallest size), random weights and biases."""
    dall_e = pytest.importorskip("dall_e")
    torch.manual_seed(0)
    halves = dall_e.Encoder(n_hid=64, vocab_size=512), dall_e.Decoder(n_hid=64, vocab_size=512)
    for half in halves:
        for parameter in half.parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)
    return halves


@pytest.fixture(scope="module")
def pickles(package, tmp_path_factory):
    """encoder.pkl and decoder.pkl that the package's classes pickle into."""
    folder = tmp_path_factory.mktemp("openai")
    for half, name in zip(package, ("encoder.pkl", "decoder.pkl")):
        torch.save(half, folder / name)
    return folder


def test_logits_and_pictures_equal_the_packages(package, pickles, noise):
    import dall_e

    encoder, decoder = package
    ours, noise = load_tokenizer(pickles / "encoder.pkl"), noise[:1]
    x = torch.from_numpy(noise).movedim(-1, 1) / 255.0
    with torch.no_grad():
        logits = encoder(dall_e.map_pixels(x))
        codes = logits.argmax(1)
        z = torch.nn.functional.one_hot(codes, 512).movedim(-1, 1).float()
        stats = decoder(z)
        assert torch.allclose(ours.logits(x), logits, rtol=1e-4, atol=1e-4)
        assert torch.allclose(ours.decoder(z), stats, rtol=1e-4, atol=1e-4)
    assert torch.equal(ours.encode(noise), codes.flatten(1))
    picture = dall_e.unmap_pixels(torch.sigmoid(stats[:, :3])).mul(255).round().to(torch.uint8).movedim(1, -1)
    assert (ours.decode(codes.flatten(1)).int() - picture.int()).abs().max() <= 1


def test_the_packages_pickles_load_where_the_package_is_not_installed(package, pickles):
    script = (
        "import sys, importlib.util\n"
        "from toto_robot.tokens.tokenizer import load_tokenizer\n"
        "print(load_tokenizer(sys.argv[1]).fingerprint())\n"
        "assert importlib.util.find_spec('dall_e') is None and 'dall_e' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(pickles)],
        cwd=ROOT,
        env={"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == load_tokenizer(pickles).fingerprint()

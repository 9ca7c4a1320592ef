import pytest
import torch
import yaml

from toto_robot.features.encoder import load_encoder
from toto_robot.features.folder import load_toto, read_folder, save_model
from toto_robot.models.gpt2 import GPT2Config
from toto_robot.models.mamba import MambaConfig
from toto_robot.models.presets import build
from toto_robot.tokens.dvae import DVAE

CONFIGS = {
    "gpt2": GPT2Config(vocab_size=44, width=24, layers=3, heads=2, intermediate=96, init_std=0.2),
    "mamba": MambaConfig(vocab_size=44, width=24, layers=3, init_std=0.2),
}


@pytest.mark.parametrize("variant", ["", ":random"])
@pytest.mark.parametrize("architecture", CONFIGS)
def test_a_folder_of_any_architecture_is_an_encoder(folder, frames, tmp_path, architecture, variant):
    torch.manual_seed(0)
    model = build(CONFIGS[architecture])
    save_model(tmp_path / "m", model, DVAE.load(folder), layer=2, pooling="none")
    assert yaml.safe_load((tmp_path / "m" / "config.yaml").read_text())["toto"]["architecture"] == architecture
    loaded = load_toto(read_folder(tmp_path / "m"))
    assert type(loaded) is type(model) and loaded.config == model.config
    encoder = load_encoder(f"{tmp_path / 'm'}{variant}")
    codes = encoder.codes(frames[:2])
    ids = torch.nn.functional.pad(codes + 4, (1, 0), value=3)
    expected = encoder.toto.hidden_states(ids, 2)[:, 1:]
    torch.testing.assert_close(encoder(frames[:2]), expected)
    if not variant:
        torch.testing.assert_close(expected, model.eval().hidden_states(ids, 2)[:, 1:])
    torch.testing.assert_close(
        load_encoder(f"{tmp_path / 'm'}{variant}", dtype="bfloat16").features(codes), expected, atol=0.1, rtol=0.1
    )


def test_the_shipped_encoders_keep_their_fingerprints():
    """A policy refuses an encoder of another fingerprint, so new fields of a configuration must not change it."""
    assert load_encoder("toto_tiny", dtype="float32").fingerprint.startswith("edddacf5dde83f07")
    assert load_encoder("toto_tiny_random", dtype="float32").fingerprint.startswith("1983428f3628447c")

import pickle
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toto_robot.features.encoder import load_encoder
from toto_robot.features.folder import CONFIG, TOTO, load_toto, read_folder, save_model
from toto_robot.ground.errors import UserError


@pytest.fixture
def copy(folder, tmp_path):
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def test_what_is_written_is_what_is_read(folder):
    found = read_folder(folder)
    assert (found.layer, found.pooling, found.image_size, found.notes) == (2, "mean", 128, {"steps": 0})
    model = load_toto(found)
    assert model.config.vocab_size == 44 and not model.training
    assert not any(p.requires_grad for p in model.parameters())


def test_a_second_export_replaces_the_first_whole(folder, tmp_path):
    from toto_robot.tokens.dvae import DVAE

    out = tmp_path / "m"
    (out / "old").mkdir(parents=True)
    save_model(out, load_toto(read_folder(folder)), DVAE.load(folder), layer=1, pooling="grid")
    assert sorted(p.name for p in out.iterdir()) == ["config.yaml", "dvae.safetensors", "toto.safetensors"]
    assert (out / TOTO).read_bytes() == (folder / TOTO).read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(part=st.floats(0, 0.999), name=st.sampled_from([TOTO, "dvae.safetensors"]))
def test_a_truncated_weight_file_is_named_with_a_remedy(folder, tmp_path, part, name):
    copy = Path(shutil.copytree(folder, tmp_path / "copy", dirs_exist_ok=True))
    whole = (copy / name).read_bytes()
    (copy / name).write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(UserError, match=name) as caught:
        load_encoder(copy)
    assert "copy the folder again" in str(caught.value).lower() and "\n" not in str(caught.value)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.one_of(
        st.text(max_size=60), st.binary(max_size=60), st.sampled_from(["toto: {}", "[]", "toto: {width: 3}"])
    )
)
def test_any_other_config_is_named_with_a_remedy(folder, tmp_path, text):
    copy = Path(shutil.copytree(folder, tmp_path / "copy", dirs_exist_ok=True))
    (copy / CONFIG).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=CONFIG):
        read_folder(copy)


def test_a_foreign_pickle_in_the_place_of_weights_is_not_run(copy, tmp_path):
    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    (copy / TOTO).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UserError, match="expected sha256"):
        load_encoder(copy)
    assert not (tmp_path / "ran").exists()


def test_weights_of_another_shape_are_refused_even_with_a_fitting_hash(copy):
    config = yaml.safe_load((copy / CONFIG).read_text())
    config["toto"]["layers"] = 4
    (copy / CONFIG).write_text(yaml.safe_dump(config))
    with pytest.raises(UserError, match="does not fit"):
        load_encoder(copy)


def test_a_folder_of_something_else_is_told_what_is_missing(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(UserError, match="expected config.yaml, toto.safetensors and dvae.safetensors, found notes.txt"):
        load_encoder(tmp_path)


def test_weights_are_saved_in_float32_whatever_the_model(folder, tmp_path):
    from toto_robot.tokens.dvae import DVAE

    save_model(tmp_path / "m", load_toto(read_folder(folder)).bfloat16(), DVAE.load(folder), layer=1, pooling="mean")
    assert load_toto(read_folder(tmp_path / "m")).embed.weight.dtype == torch.float32

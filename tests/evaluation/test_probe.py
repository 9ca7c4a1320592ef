import json

import numpy as np
import pytest
import torch

from toto_robot.evaluation import probe as module
from toto_robot.evaluation.probe import Ridge, attention_probe, error_mm, load_probe_data, probe, r2, ridge_probe, split
from toto_robot.evaluation.report import best, table, write_report
from toto_robot.features.encoder import load_encoder
from toto_robot.features.folder import save_model
from toto_robot.ground.errors import UserError
from toto_robot.models.toto import Toto, TotoConfig
from toto_robot.probe import ProbeConfig, main
from toto_robot.tokens.dvae import DVAE, DVAEConfig

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("encoder") / "model"
    dvae = DVAE(DVAEConfig(vocab_size=40, n_hid=4, decoder_hid=4, n_init=8, n_blk_per_group=1))
    save_model(path, Toto(TotoConfig(44, 24, 2, 2, 32)), dvae, layer=1, pooling="mean")
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A square that moves; its place, in metres, is the truth."""
    rng = np.random.default_rng(0)
    places = rng.uniform(0.2, 0.8, (120, 2))
    frames = np.full((120, 128, 128, 3), 60, np.uint8)
    for frame, (y, x) in zip(frames, (places * 128).astype(int)):
        frame[y - 16 : y + 16, x - 16 : x + 16] = (30, 90, 200)
    path = tmp_path_factory.mktemp("data") / "probe.npz"
    truth = np.concatenate((places, places[:, :1]), axis=1).astype(np.float32) * 0.3
    np.savez(path, frames=frames, cube_in_hand_m=truth, episode=np.arange(120) // 4)
    return path


def test_no_episode_is_on_both_sides_of_the_split():
    episode = np.repeat(np.arange(12), 5)
    train, test = split(episode, 0.25, seed=0)
    assert (train ^ test).all() and not set(episode[train]) & set(episode[test])
    assert len(set(episode[test])) == 3
    assert not np.array_equal(test, split(episode, 0.25, seed=1)[1])


def test_r2_is_1_for_the_truth_and_0_for_its_mean_and_errors_are_millimetres():
    truth = torch.randn(50, 3)
    assert r2(truth, truth) == 1 and abs(r2(truth.mean(dim=0).expand(50, 3), truth)) < 1e-5
    assert abs(error_mm(truth + torch.tensor([0.003, 0.0, 0.004]), truth) - 5) < 1e-3


@pytest.mark.parametrize("features", [10, 80])
def test_ridge_solves_its_normal_equations_in_either_space(features):
    torch.manual_seed(0)
    x, y = torch.randn(40, features), torch.randn(40, 3)
    model = Ridge(x, y).fit(0.1)
    z = model.x
    expected = torch.linalg.solve(z.T @ z + 0.1 * 40 * torch.eye(features, dtype=torch.double), z.T @ model.y)
    torch.testing.assert_close(model.weights, expected)


def test_ridge_finds_a_linear_map_among_noise_and_ignores_a_constant_feature():
    torch.manual_seed(0)
    x = torch.randn(200, 12)
    x[:, 3] = 7 + 1e-5 * torch.randn(200)
    y = x[:, :3] @ torch.randn(3, 3)
    inner = torch.arange(150) < 100
    predicted = ridge_probe(x[:150], y[:150], x[150:], inner, ~inner)
    assert r2(predicted, y[150:]) > 0.99


def test_a_learned_query_finds_which_cell_stands_out_where_the_mean_can_not():
    rng = torch.Generator().manual_seed(0)
    cell = torch.randint(0, 16, (400,), generator=rng)
    x = 0.1 * torch.randn(400, 16, 8, generator=rng)
    x[torch.arange(400), cell, 0] += 3
    y = torch.stack((cell // 4, cell % 4, cell * 0), dim=1).float()
    predicted = attention_probe(x[:300], y[:300], x[300:], seed=0)
    assert r2(predicted, y[300:]) > 0.85
    assert torch.equal(predicted, attention_probe(x[:300], y[:300], x[300:], seed=0))


def test_every_layer_and_pooling_is_scored_and_reported(folder, file, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "STEPS", 20)
    scores = list(probe("mine", load_encoder(folder, pooling="grid"), load_probe_data(file)))
    assert [(s.layer, s.pooling) for s in scores] == [(i, p) for i in (1, 2) for p in ("mean", "attention", "grid")]
    assert best(scores).r2 > 0.3
    write_report(tmp_path, scores, {"frames": 120, "guess_mm": 80.0})
    assert (tmp_path / "probe.png").read_bytes().startswith(b"\x89PNG")
    assert table(scores).count("\n") == 4 and "| mine | 2 |" in (tmp_path / "probe.md").read_text()
    assert len(json.loads((tmp_path / "probe.json").read_text())["scores"]) == 6


def test_an_encoder_that_does_not_pool_to_a_grid_is_a_bug(folder, file):
    with pytest.raises(ValueError, match="pooling grid"):
        next(probe("mine", load_encoder(folder), load_probe_data(file)))


def test_the_command_probes_the_encoder_and_its_controls(folder, file, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "STEPS", 5)
    result = main(ProbeConfig(data=str(file), encoder=str(folder), out=str(tmp_path), threads=1, dtype="float32"))
    assert result["best_layer"] in (1, 2) and result["guess_mm"] > result["error_mm"]
    encoders = {s["encoder"] for s in json.loads((tmp_path / "probe.json").read_text())["scores"]}
    assert encoders == {str(folder), f"{folder}:random", f"{folder}:codes"}
    assert ProbeConfig(data="x").encoders() == ["toto_tiny", "toto_tiny_random", "dvae_codes"]


def test_a_file_that_is_not_the_data_is_told_in_one_sentence(file, tmp_path):
    with pytest.raises(UserError, match="no file"):
        load_probe_data(tmp_path / "nothing.npz")
    cut = tmp_path / "cut.npz"
    cut.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(UserError, match="truncated or not an .npz"):
        load_probe_data(cut)
    good = dict(np.load(file))
    wrong = [
        ({"episode": None}, "has no episode"),
        ({"cube_in_hand_m": good["cube_in_hand_m"][:5]}, r"\(120, 3\)"),
        ({"frames": good["frames"].astype(np.float32)}, "uint8"),
        ({"episode": np.zeros(120, int)}, "at least 4 episodes"),
        ({"cube_in_hand_m": good["cube_in_hand_m"] * np.nan}, "finite"),
    ]
    for change, told in wrong:
        np.savez(tmp_path / "wrong.npz", **{k: v for k, v in {**good, **change}.items() if v is not None})
        with pytest.raises(UserError, match=told):
            load_probe_data(tmp_path / "wrong.npz")
    np.savez(tmp_path / "objects.npz", **{**good, "episode": np.array([{}] * 120)})
    with pytest.raises(UserError, match="objects.npz"):
        load_probe_data(tmp_path / "objects.npz")

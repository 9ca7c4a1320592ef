import json
from pathlib import Path

import numpy as np
import pytest
import torch
from killing import killed_at
from toy_demos import ToyDemos, small_bc, toy_vec
from toy_world import ToyEncoder, ToyVec

import policies
from policies.bookkeeping.screen import Progress
from policies.cloning import train as bc
from policies.scoring.held_out import split
from policies.scoring.rollout import EnvConfig
from toto_robot.ground.errors import UserError
from toto_robot.ground.screen import Record

NAMES = ["x", "y", "pull", "switch"]


def offline(**changes):
    """A run of a second on a set of another robot, without an environment."""
    held_out = changes.pop("held_out", 0.25)
    config = small_bc(**{"env": EnvConfig("none", [-1])} | changes)
    config.data.held_out = held_out
    return config


class LinesOnly(Record):
    def write(self, row):
        with open(self.log, "a") as log:
            log.write(json.dumps(row) + "\n")


class Plain(Progress):
    """Metrics, but no pictures and no TensorBoard, which cost more than the learning."""

    def _draw(self, at_most_every_s=0):
        pass

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self._record = LinesOnly(self.folder / "metrics.jsonl", self.folder / "tb", self.axis)


def train(config, demos):
    return bc.train(config, toy_vec, ToyEncoder(), Plain, demos)


def foreign(episodes=8, low=(0.0, -2.0, -1.0, -1.0), high=(2.0, 2.0, 1.0, 1.0), **attrs):
    """The toy's demonstrations as another robot's: its actions have units and a range."""
    demos = ToyDemos(episodes, attrs={"env": "theirs", "robot": "other", "interface": None} | attrs)
    low, high = np.array(low, np.float32), np.array(high, np.float32)
    for data in demos.data:
        for key in ("action", "action_applied"):
            data[key] = low + (data[key] + 1) / 2 * (high - low)
    demos.attrs["action"] = {
        "names": NAMES,
        "low": low.tolist(),
        "high": high.tolist(),
        "units": ["m", "m/s", "unknown", "1"],
    }
    return demos


def rows_of(trained):
    return [json.loads(line) for line in (trained.folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One finished offline run, its folder and its set."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder := tmp_path_factory.mktemp("work"))
        demos = foreign(12)
        config = offline(run="r", optim={"epochs": 16, "lr": 6e-3, "grad_clip": 1.0})
        trained = bc.train(config, toy_vec, ToyEncoder(), demos=demos)
        trained.folder = folder / trained.folder
        return trained, demos, folder


def test_whole_episodes_are_held_out_by_the_seed_and_none_is_in_both():
    for share, count in ((0.1, 1), (0.01, 1), (0.5, 5), (0.99, 9)):
        learned, held = split(list(range(10)), share, 0, "set")
        assert len(held) == count and sorted(learned + held) == list(range(10))
    assert (
        split(list(range(10)), 0.3, 0, "set")
        == split(list(range(10)), 0.3, 0, "set")
        != split(list(range(10)), 0.3, 1, "set")
    )
    assert split([4, 2], 0.0, 0, "set") == ([4, 2], [])


def test_a_set_of_one_episode_can_hold_none_out_and_says_what_to_do():
    with pytest.raises(UserError, match="data.held_out=0.25: toy has 1 usable episode.*data.held_out=0"):
        train(offline(), foreign(1))
    assert not Path("runs").exists()
    assert "held_out" not in train(offline(held_out=0.0), foreign(1)).result


def test_errors_are_in_the_units_of_the_set_and_those_of_the_saved_policy(run):
    trained, demos, folder = run
    report = trained.result["held_out"]
    learned, held = split(list(range(12)), 0.25, 0, "set")
    assert (report["episodes"], trained.result["demonstrations"]) == (len(held), len(learned)) == (3, 9)
    policy = policies.load(folder / "runs/r", encoder=ToyEncoder())
    low, high = (np.array(demos.attrs["action"][key]) for key in ("low", "high"))
    wanted = {"policy": [], "mean_action": [], "previous_action": []}
    mean = np.concatenate([demos.data[i]["action"] for i in learned]).mean(0)
    for data in (demos.data[i] for i in held):
        action = low + (policy.act({"rgb": data["rgb_wrist"], "proprio": data["proprio"]}) + 1) / 2 * (high - low)
        for key, predicted, to in (
            ("policy", action, data["action"]),
            ("mean_action", mean, data["action"]),
            ("previous_action", data["action"][:-1], data["action"][1:]),
        ):
            wanted[key].append(np.abs(predicted - to))
    for key, differences in wanted.items():
        got = [report["dimensions"][name][key] for name in NAMES]
        np.testing.assert_allclose(got, np.concatenate(differences).mean(0), rtol=1e-3, atol=1e-5)
    assert [d["unit"] for d in report["dimensions"].values()] == ["m", "m/s", "unknown", "1"]
    assert report["error"] < report["mean_action"] and report["beats_mean_action"] >= 3


def test_the_kept_epoch_is_the_one_of_the_smallest_error(run):
    rows, report = rows_of(run[0]), run[0].result["held_out"]
    best = min(rows, key=lambda row: row["held_out_error"])
    assert (report["epoch"], report["error"]) == (best["epochs"], best["held_out_error"])
    assert {"held_out/x_m", "held_out/y_m_per_s", "held_out/pull", "held_out/switch", "held_out_loss"} <= set(best)
    assert report["dimensions"]["x"]["policy"] == pytest.approx(best["held_out/x_m"])


def test_a_policy_of_another_robots_set_says_so_and_none_of_ours(run):
    policy = policies.load(run[2] / "runs/r", encoder=ToyEncoder())
    assert policy.env is None and run[0].result["env"] == "none"
    assert policy.spec.robot == "other" and [c.name for c in policy.spec.cameras] == ["wrist"]
    assert policy.spec.action.high == (2.0, 2.0, 1.0, 1.0) and policy.spec.action.units == ("m", "m/s", "unknown", "1")
    assert policy.act(ToyVec(3).reset([1, 2, 3])).shape == (3, 4)
    named = train(small_bc(), foreign(3))  # with env= of ours, but nothing evaluated
    assert named.policy.env is None


@pytest.mark.parametrize("transformer", [None, {}], ids=["mlp", "transformer"])
def test_a_run_resumed_after_its_best_epoch_ends_with_the_same_bits(transformer):
    from toy_world import weights_hash

    options = {
        "transformer": transformer,
        "optim": {"lr": 0.1, "epochs": 6},
    }  # so fast that the last epoch is not the best
    demos = foreign(6)
    whole = train(offline(run="whole", **options), demos)
    with killed_at(bc.Cloner, "train", 5):
        train(offline(run="cut", **options), demos)
    again = train(offline(run="cut", resume=True, **options), demos)
    assert weights_hash(again.folder) == weights_hash(whole.folder)
    assert again.result["held_out"] == whole.result["held_out"]
    assert whole.result["held_out"]["epoch"] < 6


def test_held_out_episodes_are_never_learned_from():
    held = split(list(range(6)), 0.25, 0, "set")[1]
    changed = foreign(6)
    for i in held:
        changed.data[i]["action"] = -changed.data[i]["action"]
    one, two = (train(offline(keep="last"), d).policy for d in (foreign(6), changed))
    assert all(torch.equal(a, b) for a, b in zip(one.net.state_dict().values(), two.net.state_dict().values()))


def test_with_an_environment_the_last_checkpoint_is_kept_and_the_policy_is_evaluated_too():
    config = small_bc(episodes=3, eval_every=2, eval_episodes=2)
    config.data.held_out = 0.2
    trained = train(config, ToyDemos(10))
    rows = rows_of(trained)
    assert trained.result["held_out"]["epoch"] == 4 and trained.result["episodes"] == 3
    assert (
        all("held_out_error" in row for row in rows)
        and [row["eval_success"] is None for row in rows] == [True, False] * 2
    )


def test_a_constant_action_and_episodes_of_one_step_have_errors_that_are_numbers():
    demos = foreign(6, low=(0.5, -2.0, -1.0, -1.0), high=(0.5, 2.0, 1.0, 1.0))
    for data in demos.data:
        for key in data:
            data[key] = data[key][:1]
    report = train(offline(), demos).result["held_out"]
    assert report["previous_action"] is None and report["beats_previous_action"] is None
    assert np.isfinite(report["error"]) and report["dimensions"]["x"]["policy"] < 1e-3


def test_a_loss_that_is_no_number_ends_the_run_before_it_is_saved():
    with pytest.raises(UserError, match="since update .*epoch .*smaller optim.lr"):
        train(offline(run="r", optim={"lr": 1e30, "epochs": 8}), foreign(4))
    assert not Path("runs/r/policy").exists()


@pytest.mark.parametrize(
    ("changes", "words"), [({"keep": "newest"}, "auto, best, last"), ({"eval_every": 2}, "env=none has no environment")]
)
def test_impossible_settings_are_a_users_error(changes, words):
    with pytest.raises(UserError, match=words):
        offline(**changes)
    with pytest.raises(UserError, match="data.held_out=0.1, or use keep=last"):
        small_bc(keep="best")

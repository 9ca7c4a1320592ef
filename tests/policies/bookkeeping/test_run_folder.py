import json
import time
from pathlib import Path

import pytest
import torch
import yaml
from toy_world import small_config

from policies.bookkeeping.run_folder import resumable_run, start_run
from toto_robot.ground.errors import UserError


def save(run, round_):
    run.save_round(round_, {"x": torch.full((2,), round_)}, {"s": torch.tensor(round_)}, {"env_steps": round_})


def test_only_the_newest_round_keeps_its_state_and_every_round_its_data():
    run = start_run("r", "toy", small_config())
    for k in range(3):
        save(run, k)
    assert run.rounds() == 3
    assert [int(d["x"][0]) for d in run.data(3)] == [0, 1, 2]
    state, facts = run.state(3)
    assert int(state["s"]) == 2 and facts == {"env_steps": 2}
    assert len(list(run.folder.rglob("state.safetensors"))) == 1


def test_a_round_that_was_cut_off_while_writing_does_not_count():
    run = start_run("r", "toy", small_config())
    save(run, 0)
    torn = run.folder / "checkpoints" / ".round_0001.abc.tmp"
    torn.mkdir()
    (torn / "data.safetensors").write_bytes(b"half")
    assert run.rounds() == 1


def test_metrics_of_rounds_that_were_lost_are_dropped_and_torn_lines_too():
    run = start_run("r", "toy", small_config())
    (run.folder / "metrics.jsonl").write_text('{"round": 0}\n{"round": 1}\n{"round": 2}\n{"rou')
    assert run.truncate_metrics(2) == [{"round": 0}, {"round": 1}]
    assert [json.loads(x)["round"] for x in (run.folder / "metrics.jsonl").read_text().splitlines()] == [0, 1]


def test_two_runs_started_in_the_same_second_have_their_own_folders():
    a, b = (start_run(None, "toy", small_config()) for _ in range(2))
    assert a.folder != b.folder and a.folder.name.startswith("toy-20")


def test_a_damaged_checkpoint_names_its_file():
    run = start_run("r", "toy", small_config())
    save(run, 0)
    (run.folder / "checkpoints/round_0000/state.safetensors").write_bytes(b"junk")
    with pytest.raises(UserError, match="state.safetensors can't be read"):
        run.state(1)


def test_resume_picks_the_newest_and_ignores_folders_that_are_no_runs():
    (Path("runs") / "stray").mkdir(parents=True)
    for name in ("old", "new"):
        start_run(name, "toy", small_config(run=name)).unlock()
        time.sleep(0.02)
    assert resumable_run(None, small_config(resume=True)).name == "new"
    assert resumable_run("old", small_config()).name == "old"


def test_resume_compares_keys_whatever_their_order_in_the_file():
    run = start_run("old", "toy", small_config())
    run.unlock()
    backwards = dict(reversed(run.config().items()))
    (run.folder / "config.yaml").write_text(yaml.safe_dump(backwards, sort_keys=False))
    with pytest.raises(UserError, match="old differs \\(dagger.rounds was 4 and is 6\\)"):
        resumable_run(None, small_config(dagger={"rounds": 6}))
    assert resumable_run(None, small_config(device="cuda")).name == "old"


def test_a_run_of_an_earlier_version_goes_on_where_the_keys_that_it_lacks_have_their_defaults():
    run = start_run("old", "toy", small_config())
    written = yaml.safe_load((run.folder / "config.yaml").read_text())
    del written["threads"]
    (run.folder / "config.yaml").write_text(yaml.safe_dump(written))
    run.unlock()
    default = small_config()
    default.threads = type(default)().threads
    found = resumable_run("old", default)
    found.unlock()
    default.threads += 1
    with pytest.raises(UserError, match="threads"):
        resumable_run("old", default)


def test_a_run_that_was_killed_before_it_had_a_config_is_begun_anew():
    for left in ([], [".lock"], [".lock", ".config.yaml.0f3a.tmp"]):
        folder = Path("runs") / f"r{len(left)}"
        folder.mkdir(parents=True)
        for name in left:
            (folder / name).touch()
        assert start_run(folder.name, "toy", small_config()).config() is not None
    with pytest.raises(UserError, match="exists already"):
        start_run("r0", "toy", small_config())


def test_a_foreign_or_damaged_folder_does_not_stand_in_the_way_of_another_run():
    start_run("ours", "toy", small_config(run="ours")).unlock()
    for name, text in (("torn", "seed: [1"), ("list", "- 1\n- 2\n"), ("numbers", "1: {2: 3}\n"), ("deep", "[" * 3000)):
        (Path("runs") / name).mkdir()
        (Path("runs") / name / "config.yaml").write_text(text)
    (Path("runs") / "folder" / "config.yaml").mkdir(parents=True)
    (Path("runs") / "gone").symlink_to("/nowhere")
    (Path("runs") / "file").write_text("x")
    assert resumable_run(None, small_config(resume=True)).name == "ours"

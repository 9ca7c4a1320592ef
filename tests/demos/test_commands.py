"""The commands on the real simulator: record, look, replay."""

import json
import os
import pty
import threading
import time

import numpy as np
import pytest

import envs
from demos import DemoSet
from demos.convert import ConvertConfig
from demos.convert import main as convert
from demos.inspect import Damaged, InspectConfig
from demos.inspect import main as inspect
from demos.record import RecordConfig
from demos.record import main as record
from demos.replay import NotExact, ReplayConfig
from demos.replay import main as replay
from demos.store import verify
from envs.tasks.pick import Pick
from policies.features.features import EncoderConfig, make_features
from policies.policy import Policy
from policies.seeds import EVALUATION, TRAINING, WATCHING, training_seed
from toto_robot import command
from toto_robot.ground.errors import UserError

SMALL = [
    "episodes=2",
    "image_size=32",
    "cameras=[wrist,side]",
    "env.workers=1",
    "env.appearance=wide",
    "noise_std=0.2",
]


@pytest.fixture(scope="module")
def pick(tmp_path_factory):
    """Two noisy episodes with random looks, recorded by the command."""
    path = tmp_path_factory.mktemp("demos") / "pick"
    told = record(command.compose(RecordConfig, "record", [f"out={path}", *SMALL]))
    assert (told["episodes"], told["successes"], told["recorded"]) == (2, 2, 2)
    return path


def test_a_recording_is_whole_and_says_what_it_is(pick):
    demos = DemoSet(pick)
    assert verify(pick) == []
    assert {
        "rgb_wrist",
        "rgb_side",
        "proprio",
        "action",
        "action_applied",
        "reward",
        "success",
        "timestamp_s",
        "sim_state",
        "protocol_state",
        "task_state",
    } == set(demos.keys)
    a = demos.attrs
    assert (a["env"], a["robot"], a["control_hz"], a["schema"]) == ("franka_pick", "franka", 20.0, 1)
    assert a["cameras"]["wrist"]["width"] == 32 and a["action"]["names"][-1] == "gripper"
    assert "increments" in a["action"]["meaning"]
    assert len(a["proprio_names"]) == demos.shape("proprio")[0] and len(a["environment_fingerprint"]) == 64
    assert {"mujoco", "numpy", "zarr", "toto_robot"} <= set(a["versions"]) and a["renderer"]


def test_seeds_are_of_training_and_never_of_an_evaluation(pick):
    seeds = DemoSet(pick).meta("seed")
    assert sorted(seeds) == sorted(training_seed(0, int(i)) for i in DemoSet(pick).meta("index"))
    assert all(int(s) in TRAINING and int(s) not in EVALUATION and int(s) not in WATCHING for s in seeds)


def test_states_replay_to_the_pixel_and_actions_without_drift(pick, tmp_path):
    told = replay(ReplayConfig(str(pick), video=str(tmp_path / "v.mp4"), episode=0))
    assert told["exact"] is True and told["max_abs_diff"] == {"proprio": 0, "rgb_side": 0, "rgb_wrist": 0}
    assert (tmp_path / "v.mp4").stat().st_size > 1000 and told["differs"] == []
    told = replay(ReplayConfig(str(pick), mode="action"))
    assert told["qpos_drift"] == 0 and told["success_reproduced"] == told["success_known"] == 2


def test_actions_of_another_rate_are_not_replayed(pick, tmp_path):
    convert(ConvertConfig(str(pick), str(tmp_path / "slow"), to="zarr", to_hz=10))
    with pytest.raises(UserError, match="has actions for 10 Hz, and franka_pick takes them at 20 Hz"):
        replay(ReplayConfig(str(tmp_path / "slow"), mode="action"))
    assert replay(ReplayConfig(str(tmp_path / "slow"), episode=0))["exact"]


def test_another_version_of_the_environment_says_what_differs(pick, monkeypatch):
    monkeypatch.setattr(Pick, "goal_z_m", 0.7)
    with pytest.raises(UserError, match=r"task.goal_z_m was 0.8, is 0.7.*force=true"):
        replay(ReplayConfig(str(pick)))
    assert replay(ReplayConfig(str(pick), force=True, episode=0))["differs"] == ["environment"]


def test_a_change_that_no_fingerprint_covers_shows_in_the_pixels(pick, monkeypatch, capsys):
    real = envs.robot_env.RobotEnv._camera
    monkeypatch.setattr(envs.robot_env.RobotEnv, "_camera", lambda self: real(self) ^ 1)
    with pytest.raises(NotExact, match="does not replay exactly"):
        replay(ReplayConfig(str(pick), episode=1))
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["exact"] is False


def test_inspection_counts_reports_and_finds_damage(pick, tmp_path, capsys):
    told = inspect(InspectConfig(str(pick), html=str(tmp_path / "r.html")))
    assert (told["episodes"], told["successes"], told["dropped_frames"], told["damage"]) == (2, 2, 0, [])
    assert "2 episodes, 2 successes" in capsys.readouterr().out
    assert (tmp_path / "r.html").read_text().count("data:image/png") == 4
    import shutil

    bad = shutil.copytree(pick, tmp_path / "bad")
    next((bad / "data" / "reward").glob("c.0*")).unlink()
    with pytest.raises(Damaged, match="1 place"):
        inspect(InspectConfig(str(bad)))
    assert "data/reward/c.0 is missing" in json.loads(capsys.readouterr().out.splitlines()[-1])["damage"][0]


def test_recording_goes_on_only_when_asked_and_with_the_same_settings(pick):
    compose = lambda *more: command.compose(RecordConfig, "record", [f"out={pick}", *SMALL, *more])
    with pytest.raises(ValueError, match="resume=true"):
        record(compose())
    with pytest.raises(UserError, match="noise_std=0.2 there, 0.0 now"):
        record(compose("noise_std=0.0", "resume=true"))
    assert record(compose("resume=true"))["recorded"] == 0


def test_a_trained_policy_records_and_one_of_another_protocol_is_refused(tmp_path):
    features = make_features(EncoderConfig(name="none"))
    policy = Policy.create(features, "franka_pick", 18, 8, binary=(-1,))
    policy.save(tmp_path / "policy")
    argv = [f"out={tmp_path / 'set'}", f"policy={tmp_path / 'policy'}", "episodes=1", "image_size=32", "env.workers=1"]
    told = record(command.compose(RecordConfig, "record", [*argv, "keep=all"]))
    demos = DemoSet(tmp_path / "set")
    assert told["episodes"] == 1 and demos.attrs["notes"]["source"].startswith("policy ")
    np.testing.assert_array_equal(
        demos.slice("action", 0, 0, 1), policy.act({"proprio": demos.slice("proprio", 0, 0, 1)})
    )
    for other, words in (("franka_pick_pixmc", "at 60 Hz; it has 8 actions .* 9 "), ("franka_cube", "at 10 Hz")):
        with pytest.raises(UserError, match=f"acts at 20 Hz and .*{words}.* trained in franka_pick"):
            record(command.compose(RecordConfig, "record", [*argv, f"env={other}", f"out={tmp_path / 'other'}"]))
    # The refused command left a set without an episode. The next command may start it again.
    told = record(command.compose(RecordConfig, "record", [*argv, "keep=all", f"out={tmp_path / 'other'}"]))
    assert told["episodes"] == 1


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["out=x", "source=mouse"], "guide, keyboard, simulation, spacemouse"),
        (["out=x", "keep=best"], "all, success"),
        (["out=x", "source=keyboard", "noise_std=1"], "leave out"),
        (["out=x", "cameras=[side]"], "wrist"),
        ([], "Missing out"),
    ],
)
def test_a_mistake_says_what_exists(argv, words):
    with pytest.raises(UserError, match=words):
        command.compose(RecordConfig, "record", argv)


def test_a_report_or_video_that_can_not_be_written_is_one_sentence(pick, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="r.html can't be written"):
        inspect(InspectConfig(str(pick), html=str(tmp_path / "file" / "r.html")))
    with pytest.raises(UserError, match="ends in .mp4"):
        ReplayConfig(str(pick), video="replay.gif")


def test_a_camera_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(ValueError, match="Unknown camera of franka_\\w+: 'front'. What exists: side, wrist"):
        record(RecordConfig(out=str(tmp_path / "x"), cameras=["wrist", "front"]))


def test_keys_typed_at_a_terminal_become_an_episode(tmp_path, monkeypatch):
    ours, theirs = pty.openpty()
    monkeypatch.setattr("sys.stdin", os.fdopen(theirs, "r"))
    live = tmp_path / "live.png"

    def type_keys():
        for condition, key in ((live.exists, b"w"), (lambda: False, b"\n"), (lambda: False, b"\x1b")):
            end = time.monotonic() + (60 if condition == live.exists else 0.7)
            while not condition() and time.monotonic() < end:
                time.sleep(0.02)
            os.write(ours, key)

    typist = threading.Thread(target=type_keys)
    typist.start()
    told = record(
        RecordConfig(
            out=str(tmp_path / "mine"), source="keyboard", keep="all", episodes=3, image_size=32, live=str(live)
        )
    )
    typist.join()
    demos = DemoSet(tmp_path / "mine")
    assert told["episodes"] == demos.episodes >= 1 and demos.attrs["notes"]["source"] == "keyboard"
    moved = demos.episode(0)
    assert np.abs(moved["action"][:, :7]).max() > 0.05, "the hand was driven"
    assert (np.diff(moved["timestamp_s"]) > 0).all() and live.exists()

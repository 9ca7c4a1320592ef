"""The command on the real environment and store: recorded by the expert, cloned, evaluated, published, drawn."""

import json
from pathlib import Path

import numpy as np
import pytest

from toto_robot import command, demo_curve, publish_policy
from toto_robot.ground.errors import UserError
from toto_robot.train_bc import TrainBcConfig, joints_rad, main

store, schema = pytest.importorskip("demos.store.demo_set"), pytest.importorskip("demos.store.schema")
TINY = [
    "demos=set",
    "run=tiny",
    "threads=1",
    "env.workers=1",
    "encode_processes=1",
    "optim.epochs=2",
    "episodes=1",
    "num_envs=2",
]


def record(path, episodes=3):
    """A few episodes of the scripted expert."""
    import envs
    from policies.experts.choose import make_labeller
    from policies.seeds import training_seed

    action = {
        "names": list(envs.make("franka_pick", render=False).action_names),
        "meaning": "",
        "low": -1.0,
        "high": 1.0,
    }
    attrs = schema.attributes(env="franka_pick", control_hz=20.0, cameras={"wrist": {}}, action=action)
    env, expert = envs.make("franka_pick"), make_labeller("scripted")
    with store.DemoWriter(path, attrs) as writer:
        for i in range(episodes):
            obs, info = env.reset(seed=training_seed(1, i))
            rows, done = [], False
            while not done:
                label = np.asarray(expert.label(env), np.float32)
                seen = {"rgb_wrist": obs["rgb"], "proprio": obs["proprio"], "action": label}
                obs, _, ended, late, info = env.step(label)
                rows.append(seen | {"success": info["success"]})
                done = ended or late
            writer.append({key: np.stack([row[key] for row in rows]) for key in rows[0]}, {"seed": i, "index": i})


@pytest.fixture(scope="module")
def trained(tmp_path_factory, command_process):
    folder = tmp_path_factory.mktemp("work")
    record(folder / "set")
    done = command_process(folder, "toto_robot.train_bc", *TINY)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_the_command_ends_with_the_success_line_and_then_the_json_line(trained):
    lines = trained[1].stdout.splitlines()
    assert lines[-2].startswith("success ") and lines[-2].endswith("Wilson)")
    line = json.loads(lines[-1])
    assert (line["env"], line["demonstrations"], line["episodes"]) == ("franka_pick", 3, 1)
    for name in (
        "config.yaml",
        "metrics.jsonl",
        "learning_curve.png",
        "rollouts.mp4",
        "policy/policy.yaml",
        "result.json",
    ):
        assert (trained[0] / "runs" / "tiny" / name).exists()
    assert len(list((trained[0] / "data" / "features").rglob("*.safetensors"))) == 3


def test_a_part_of_the_set_trains_a_transformer_with_the_filter_on(trained, monkeypatch):
    monkeypatch.chdir(trained[0])
    argv = [
        *TINY[:1],
        "run=other",
        *TINY[2:],
        "policy=bc_transformer",
        "data.use=2",
        "data.static_filter=true",
        "episodes=0",
    ]
    result = main(command.compose(TrainBcConfig, "train_bc", argv + ["encoder=none", "policy.transformer.context=4"]))
    assert (
        result["demonstrations"] == 2
        and 0 < result["samples"] < json.loads(trained[1].stdout.splitlines()[-1])["samples"]
    )


def test_a_published_policy_is_found_by_its_name_and_its_card_says_what_it_scored(trained, monkeypatch):
    import policies

    monkeypatch.chdir(trained[0])
    for module in ("toto_robot.publish_policy", "policies.fit.folder"):
        monkeypatch.setattr(f"{module}.EMBEDDED", trained[0] / "weights")
    config = publish_policy.PublishPolicyConfig(run="runs/tiny", name="tiny_cube", recipe="recipes/x.sh")
    assert publish_policy.main(config)["encoder"] == "toto_tiny"
    policy = policies.load("tiny_cube")
    assert policy.notes["demonstrations"] == 3
    look = policies.load("runs/tiny").look  # what its training pictures looked like goes with it
    assert policy.look.frames == look.frames > 20 and policy.look.units == look.units
    card = (trained[0] / "weights" / "tiny_cube" / "MODEL_CARD.md").read_text()
    assert "/1 = " in card and "recipes/x.sh" in card and 'policies.load("tiny_cube")' in card


def test_the_curve_has_a_point_for_each_number_of_demonstrations(tmp_path):
    for name, demonstrations, successes in (("a-30-0", 30, 5), ("a-30-1", 30, 7), ("a-60-0", 60, 9), ("b-30-0", 30, 1)):
        (tmp_path / name).mkdir()
        result = {"demonstrations": demonstrations, "successes": successes, "episodes": 10}
        (tmp_path / name / "result.json").write_text(json.dumps(result))
    runs = [str(p) for p in sorted(tmp_path.iterdir())]
    line = demo_curve.main(demo_curve.DemoCurveConfig(runs=runs, out=str(tmp_path / "c.png")))
    assert line["points"]["a"]["30"]["successes"] == 12 and line["points"]["a"]["30"]["episodes"] == 20
    assert list(line["points"]) == ["a", "b"] and Path(line["out"]).stat().st_size > 1000


def test_joint_positions_come_from_the_robots_range():
    got = joints_rad({"env": "franka_pick"}, np.zeros((2, 18), np.float32))
    assert got.shape == (2, 7) and np.allclose(got[0, 3], (-3.0718 - 0.0698) / 2, atol=0.2)


@pytest.mark.parametrize(
    "names", [["eef_pos.0", "joint_pos.0", "joint_pos.1", "joint_vel.0"], ["eef_quat.0", "q_0", "q_1", "dq_0"]]
)
def test_joint_positions_of_sets_from_elsewhere_are_found_by_their_names(names):
    proprio = np.arange(8, dtype=np.float32).reshape(2, 4)
    assert (joints_rad({"env": "berkeley_rpt", "proprio_names": names}, proprio) == proprio[:, 1:3]).all()


@pytest.mark.parametrize(
    "attrs", [{"proprio_names": ["state.0", "quat.1"]}, {"proprio_units": "deg", "proprio_names": ["q_0"]}, {}]
)
def test_the_static_filter_refuses_a_set_without_joint_positions_in_radians(attrs):
    with pytest.raises(UserError, match="joint_pos.0 or q_0"):
        joints_rad({"env": "other"} | attrs, np.zeros((2, 2), np.float32))


def test_another_robots_set_is_cloned_without_an_environment_and_runs_nowhere_else(tmp_path, monkeypatch, capsys):
    import policies

    monkeypatch.chdir(tmp_path)
    action = {"names": ["x_vel", "grip"], "units": ["m/s", "1"], "meaning": "", "low": [0.0, -1.0], "high": [0.4, 1.0]}
    attrs = schema.attributes(
        env="their_task", robot="widowx", control_hz=5.0, cameras={}, action=action, proprio_names=["a", "b"]
    )
    rng = np.random.default_rng(0)
    with store.DemoWriter("theirs", attrs) as writer:
        for i in range(5):
            proprio = rng.uniform(-1, 1, (30, 2)).astype(np.float32)
            writer.append(
                {"proprio": proprio, "action": np.stack([0.2 + 0.2 * proprio[:, 0], np.sign(proprio[:, 1])], 1)},
                {"index": i},
            )
    argv = [
        "env=none",
        "demos=theirs",
        "encoder=none",
        "optim.epochs=20",
        "env.binary_actions=[-1]",
        "threads=1",
        "run=r",
    ]
    result = main(command.compose(TrainBcConfig, "train_bc", argv))
    assert result["env"] == "none" and "success" not in result
    held = result["held_out"]["dimensions"]
    assert (
        list(held) == ["x_vel", "grip"]
        and held["x_vel"]["unit"] == "m/s"
        and held["x_vel"]["policy"] < held["x_vel"]["mean_action"] / 2
    )
    said = capsys.readouterr()
    assert "nearer than the mean action in 2 of 2 dimensions" in said.out and "previous action" in said.out
    assert "x_vel_m_per_s" in said.err
    policy = policies.load("r")
    assert (
        policy.env is None
        and policy.spec.robot == "widowx"
        and policy.act({"proprio": np.zeros((3, 2), np.float32)}).shape == (3, 2)
    )
    evaluate = __import__("toto_robot.evaluate", fromlist=["main"])
    with pytest.raises(UserError, match="widowx.*env=franka_pick"):
        evaluate.main(
            command.compose(evaluate.EvaluateConfig, "evaluate", ["r", "env=franka_pick", "episodes=1"], ("policy",))
        )


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["demos=nowhere"], "nowhere"),
        (["demos=set", "optim=rpd"], "fast, mvp, rpt, rpt_fast, scratch_fast"),
        (["demos=set", "policy=bc_mpl"], "bc_mlp"),
        (["demos=tiny", "env=none", "encoder=vit:nowhere.pth"], "no file"),
        ([], "demos"),
    ],
)
def test_every_mistake_is_the_users_and_leaves_no_run_behind(argv, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    attrs = schema.attributes(control_hz=5.0, action={"names": ["x"], "low": -1.0, "high": 1.0})
    with store.DemoWriter("tiny", attrs) as writer:
        for _ in range(2):
            small = np.zeros((3, 1), np.float32)
            writer.append({"rgb_wrist": np.zeros((3, 128, 128, 3), np.uint8), "proprio": small, "action": small}, {})
    with pytest.raises(ValueError, match=words) as error:
        main(command.compose(TrainBcConfig, "train_bc", argv))
    assert error.value.exit_code == 2 and not (tmp_path / "runs").exists()

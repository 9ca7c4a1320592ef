"""Neither `evaluate` nor `run_real` runs a wrong policy, and docs/policy_fit.md has their sentences."""

from dataclasses import replace

import numpy as np
import pytest
import wrong_policies
import yaml

from deploy import run_real
from deploy.session import parts, run
from deploy.session.settings import Resolved
from envs.interface import robot_name
from envs.robots import ROBOTS
from envs.robots.franka import ARM_LIMITS
from policies.fit.folder import CONFIG
from policies.policy import inspect
from toto_robot.ground.errors import UserError


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_page_says_what_the_commands_say():
    text = wrong_policies.PAGE.read_text()
    assert text == wrong_policies.page(text), "run `python tests/deploy/wrong_policies.py`"
    assert len(wrong_policies.WRONG) >= 20


@pytest.mark.parametrize(
    "flags",
    [
        ["--robot", "panda"],
        ["--backend", "sim"],
        ["--robot", "fr3", "--robot-ip", "172.16.0.2", "--camera", "opencv", "--i-am-at-the-robot"],
    ],
)
def test_every_way_to_an_arm_refuses(flags):
    for name in (
        "cloned from FR3 stacking (xyz, quaternion, gripper)",
        "a gripper that 1 closes",
        "nothing said, and no environment",
    ):
        text = wrong_policies.by_run_real(wrong_policies.make(name), *flags)
        assert "\n" not in text and "wrong/" in text


def test_no_flag_forces_an_arm():
    with pytest.raises(SystemExit):
        run_real.parser().parse_args(["--policy", "x", "--force"])
    args = run_real.parser().parse_args(["--policy", "x", "--convert", "rate", "--tolerate", "mount_mm=4"])
    assert not run.settings_of(args).fit.force and run.settings_of(args).fit.tolerance.mount_mm == 4
    for bad in ("mount_mm", "mount_mm=x", "mount=3"):
        with pytest.raises(UserError, match="mount_mm"):
            run.settings_of(run_real.parser().parse_args(["--policy", "x", "--tolerate", bad]))
    with pytest.raises(UserError, match="conversion"):
        run.settings_of(run_real.parser().parse_args(["--policy", "x", "--convert", "names"]))


def fit(policy, **settings):
    s = Resolved(policy=policy, camera="mujoco", backend="sim", **settings)
    about = inspect(policy)
    s = replace(s, camera_config=parts.camera_config(s, parts.scene_for(about), about))
    return s, run._fit(s, parts.scene_for(about), about)


def test_the_embedded_policy_drives_both_arms_without_a_word():
    for robot in ("fr3", "panda"):
        assert fit("bc_cube", robot=robot)[1] == run.Fit()


def test_every_arm_is_a_robot_that_exists():
    assert set(ARM_LIMITS) == {"fr3", "panda"} and {robot_name(arm) for arm in ARM_LIMITS} <= set(ROBOTS)


def test_a_slower_policy_is_held_on_the_arm_where_that_is_asked_for():
    policy = wrong_policies.make("5 Hz")
    with pytest.raises(UserError, match="convert="):
        fit(policy)
    made = fit(policy, fit=run.FitKeys(["rate", "range"]))[1]
    assert made.hold == 2 and made.gain[0] == pytest.approx(0.5)


def test_the_cameras_crop_becomes_the_policys_where_that_is_asked_for():
    policy = wrong_policies.make("pictures of the lower part")
    with pytest.raises(UserError, match="crop=lower"):
        fit(policy)
    (wrong_policies.Path("camera.yaml")).write_text("kind: opencv\nsize: 64\n")
    s, made = fit(policy, camera_file="camera.yaml", fit=run.FitKeys(["crop"]))
    assert (s.camera_config.crop, s.camera_config.size) == ("lower", 128) and len(
        made.warnings
    ) == 1  # its lens is not known


def test_a_lens_and_a_mount_that_differ_are_told_with_their_numbers(tmp_path):
    policy = (
        wrong_policies.save(wrong_policies.Path("seen"), wrong_policies.cube("rgb"), "franka_cube", False) or "seen"
    )
    intrinsics = {"width": 640, "height": 480, "fx_px": 600.0, "fy_px": 600.0, "cx_px": 320.0, "cy_px": 240.0}
    (tmp_path / "camera.yaml").write_text(yaml.safe_dump({"kind": "opencv", "intrinsics": intrinsics}))
    T = np.eye(4)  # 30 mm further out, and looking along the hand's z with the picture turned by a quarter
    T[:3, :3], T[:3, 3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]], (0.07, 0, 0.045)
    board = {"columns": 7, "rows": 5, "square_m": 0.03, "marker_m": 0.022}
    hand_eye = {"T_hand_camera": T.tolist(), "T_base_board": np.eye(4).tolist(), "poses": 9, "board": board}
    (tmp_path / "hand_eye.yaml").write_text(yaml.safe_dump(hand_eye))
    told = fit(policy, camera_file="camera.yaml", hand_eye="hand_eye.yaml")[1].warnings
    assert any("30.0 mm apart" in text for text in told) and any("% apart" in text for text in told)


def test_a_description_is_refused_before_its_policy_is_compared():
    folder = wrong_policies.Path(wrong_policies.make("5 Hz"))
    values = yaml.safe_load((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(yaml.safe_dump(values | {"action_dim": 9}))
    assert "8 actions" in wrong_policies.by_run_real(str(folder))

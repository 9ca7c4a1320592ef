"""Policies that must never drive, and the commands' sentences. Each is wrong for `env=franka_cube` and the arm in one
way.

python tests/deploy/wrong_policies.py     writes the tables of docs/policy_fit.md again
"""

import contextlib
import os
import re
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from unittest import mock

import yaml

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "policy_fit.md"
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

import envs  # noqa: E402
from deploy import run_real  # noqa: E402
from deploy.session import run  # noqa: E402
from envs.interface import ActionSpec, ProprioSpec  # noqa: E402
from policies.features.features import EncoderConfig, PrivilegedFeatures, make_features  # noqa: E402
from policies.fit.folder import CONFIG  # noqa: E402
from policies.fit.rules import table  # noqa: E402
from policies.fit.spec import PolicySpec, spec_from_env, spec_from_set, spec_of  # noqa: E402
from policies.network.heads import HeadConfig  # noqa: E402
from policies.policy import Policy  # noqa: E402
from policies.scoring.rollout import EnvConfig  # noqa: E402
from toto_robot import evaluate  # noqa: E402

FOREIGN = {
    "env": "mine",
    "robot": "fr3",
    "control_hz": 20.0,
    "proprio_names": [f"state.{i}" for i in range(18)],
    "action": {"names": [f"action.{i}" for i in range(8)], "low": [0.0] * 8, "high": [0.08] * 8},
}
STACK = {
    "env": "stack",
    "robot": "fr3",
    "control_hz": 10.0,
    "proprio_names": [f"state.{i}" for i in range(18)],
    "action": {
        "names": ["x", "y", "z", "qx", "qy", "qz", "qw", "gripper"],
        "low": [-1.0] * 8,
        "high": [1.0] * 8,
        "units": ["m"] * 3 + ["1"] * 5,
        "meanings": ["cartesian_position"] * 3 + ["quaternion"] * 4 + ["gripper_open"],
    },
}


def cube(needs: str | None = None) -> PolicySpec:
    return spec_from_env(envs.make("franka_cube", render=False), needs=needs)


def action(**changes) -> PolicySpec:
    return replace(cube(), action=replace(cube().action, **changes))


def proprio(**changes) -> PolicySpec:
    return replace(cube(), proprio=replace(cube().proprio, **changes))


def camera(**changes) -> PolicySpec:
    return replace(cube("rgb"), cameras=(replace(cube("rgb").cameras[0], **changes),))


def rate(hz: float) -> PolicySpec:
    return replace(cube(), control_hz=hz, history=replace(cube().history, every_s=1 / hz))


def robosuite() -> PolicySpec:
    """robosuite's Panda in Lift (envs/backends/robosuite_lift.py)."""
    step, joints = (0.05,) * 3 + (0.5,) * 3 + (1.0,), [f"j{i}" for i in range(9)]
    return spec_of(
        replace(
            envs.make("franka_pick", render=False).interface,
            robot="panda",
            state_of="panda_lift",
            action=ActionSpec(
                names=("d_x", "d_y", "d_z", "d_rx", "d_ry", "d_rz", "gripper"),
                units=("m",) * 3 + ("rad",) * 3 + ("1",),
                meanings=("cartesian_increment",) * 3 + ("rotation_increment",) * 3 + ("gripper_close",),
                low=tuple(-v for v in step),
                high=step,
            ),
            proprio=ProprioSpec(
                names=tuple(f"q_{j}" for j in joints) + tuple(f"dq_{j}" for j in joints),
                units=("rad",) * 18,
                offset=(0.0,) * 18,
                scale=(1.0,) * 18,
            ),
        ),
        needs=None,
    )


def swapped(values: tuple) -> tuple:
    return (values[1], values[0], *values[2:])


def from_env(name: str, needs: str | None = None):
    return lambda: (spec_from_env(envs.make(name, render=False), needs=needs), name)


ends = lambda spec: (spec.action.low, spec.action.high)
WRONG = {
    "trained in franka_pick (20 Hz)": from_env("franka_pick"),
    "trained in franka_reach, pixels": from_env("franka_reach", "rgb"),
    "trained in franka_pick_pixmc (60 Hz, nine increments)": from_env("franka_pick_pixmc"),
    "trained in kuka_gripper_pick": from_env("kuka_gripper_pick"),
    "trained in kuka_pick (16-joint hand)": from_env("kuka_pick"),
    "trained in kuka_pick_pixmc (23 increments)": from_env("kuka_pick_pixmc"),
    "trained in robosuite's Lift (hand pose)": lambda: (robosuite(), "panda_lift"),
    "cloned from another set of an FR3 (20 Hz, 0 … 0.08)": lambda: (spec_from_set(FOREIGN, needs=None), None),
    "cloned from FR3 stacking (xyz, quaternion, gripper)": lambda: (spec_from_set(STACK, needs=None), None),
    "the same numbers of a G1": lambda: (replace(cube(), robot="g1"), None),
    "the same numbers of a KUKA with this hand": lambda: (replace(cube(), robot="kuka_gripper"), "kuka_gripper_pick"),
    "increments in degrees": lambda: (action(units=("deg",) * 7 + ("1",)), "franka_cube"),
    "absolute joint positions": lambda: (action(meanings=("joint_position",) * 7 + ("gripper_open",)), "franka_cube"),
    "joint velocities": lambda: (
        action(meanings=("joint_velocity",) * 7 + ("gripper_open",), units=("rad/s",) * 7 + ("1",)),
        "franka_cube",
    ),
    "a gripper that 1 closes": lambda: (action(meanings=("joint_increment",) * 7 + ("gripper_close",)), "franka_cube"),
    "the gripper's width in metres": lambda: (
        action(meanings=("joint_increment",) * 7 + ("gripper_width",), units=("rad",) * 7 + ("m",)),
        None,
    ),
    "twice the increments": lambda: (
        action(low=tuple(2 * v for v in cube().action.low), high=tuple(2 * v for v in cube().action.high)),
        None,
    ),
    "two joints in another order": lambda: (action(names=swapped(cube().action.names)), "franka_cube"),
    "a meaning that nobody has said": lambda: (action(meanings=("unknown",) * 8), None),
    "5 Hz": lambda: (rate(5.0), "franka_cube"),
    "8 Hz": lambda: (rate(8.0), "franka_cube"),
    "proprioception in radians": lambda: (proprio(offset=(0.0,) * 18, scale=(1.0,) * 18), "franka_cube"),
    "proprioception in another order": lambda: (proprio(names=swapped(cube().proprio.names)), "franka_cube"),
    "positions without velocities": lambda: (
        proprio(**{k: getattr(cube().proprio, k)[:9] for k in ("names", "units", "offset", "scale")}),
        None,
    ),
    "pictures of 256 pixels": lambda: (camera(width=256, height=256), "franka_cube"),
    "pictures of the lower part": lambda: (camera(crop="lower"), "franka_cube"),
    "pictures of a camera at the side": lambda: (camera(name="side", mount_parent="world"), "franka_cube"),
    "two cameras": lambda: (
        replace(cube("rgb"), cameras=(*cube("rgb").cameras, *camera(name="side").cameras)),
        "franka_cube",
    ),
    "the true state of franka_pick": from_env("franka_pick", "privileged"),
    "nothing said, and no environment": lambda: (None, None),
    "an environment that does not exist": lambda: (cube(), "franka_dance"),
    "an old folder, cloned at 20 Hz, with franka_cube stamped on it": lambda: (None, "franka_cube"),
}
"""What is wrong → (description, environment) of a policy."""


def save(folder: Path, spec: PolicySpec | None, env: str | None, old: bool) -> None:
    """A policy with a description, or one of the first format."""
    features = make_features(EncoderConfig("resnet" if spec and spec.cameras else "none"))
    if spec is not None and spec.state_of:
        features = PrivilegedFeatures(EncoderConfig("privileged"), 4)
    dims = (len(spec.proprio.names), len(spec.action.names)) if spec else (18, 8)
    policy = Policy.create(features, env, *dims, HeadConfig(8, 8, [8]), spec=spec)
    policy.notes = (
        {"control_hz": 20.0, "action": {k: FOREIGN["action"][k] for k in ("names", "low", "high")}} if old else {}
    )
    policy.save(folder)
    if old:
        values = yaml.safe_load((folder / CONFIG).read_text())
        values.pop("spec")
        (folder / CONFIG).write_text(yaml.safe_dump(values | {"format": 1}))


def make(name: str) -> str:
    """The folder of the wrong policy `name`, relative to the working directory."""
    folder = Path("wrong") / re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    spec, env = WRONG[name]()
    save(folder, spec, env, "old folder" in name)
    return str(folder)


@contextlib.contextmanager
def nothing_starts():
    """An error where a process, an emulator or an encoder is started."""
    started = AssertionError("something was started")
    with (
        mock.patch.object(EnvConfig, "make_vec", side_effect=started),
        mock.patch.object(run, "emulator", side_effect=started),
        mock.patch.object(run, "Session", side_effect=started),
        mock.patch("policies.load", side_effect=started, create=True),
    ):
        yield


def said(call) -> str:
    """The sentence of a command that refuses with exit code 2. Raises AssertionError if it does not refuse."""
    try:
        with nothing_starts():
            call()
    except ValueError as error:
        assert error.exit_code == 2, error
        return " ".join(str(error).split())
    raise AssertionError("it was not refused")


def by_evaluate(policy: str, env: str = "franka_cube", **keys) -> str:
    return said(lambda: evaluate.main(evaluate.EvaluateConfig(policy=policy, env=EnvConfig(env), episodes=1, **keys)))


def by_run_real(policy: str, *flags: str) -> str:
    return said(
        lambda: run.run(run_real.parser().parse_args(["--policy", policy, "--yes", "--record", "none", *flags]))
    )


def refusals() -> str:
    """The table of wrong policies: the sentences of `evaluate` and `run_real` for each."""
    rows = ["| a policy | `evaluate P env=franka_cube` | `run_real --policy P` (FR3) |", "|---|---|---|"]
    for name in WRONG:
        policy = make(name)
        scene, arm = (text.replace(policy, "P") for text in (by_evaluate(policy), by_run_real(policy)))
        same = arm == scene.replace("env=franka_cube", "--robot fr3")
        rows.append(f"| {name} | {scene} | {'the same of `--robot fr3`' if same else arm} |")
    return "\n".join(rows)


def scenes() -> str:
    """The sentence of `evaluate bc_cube env=…` for every other scene."""
    others = [name for name in envs.names() if name != "franka_cube"]
    return "\n".join(["| env | `evaluate bc_cube` |", "|---|---|", *(f"| `{name}` | {_in(name)} |" for name in others)])


def _in(name: str) -> str:
    if envs.make(name, render=False).protocol.name == "deployment":
        return "It runs: the numbers mean the same. It was trained for another task."
    return by_evaluate("bc_cube", name)


def page(text: str) -> str:
    """The page with new tables."""
    for mark, made in (("rules", table), ("refusals", refusals), ("scenes", scenes)):
        begin, end = f"<!-- {mark} -->\n", f"<!-- end of {mark} -->"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}{made()}\n{end}{rest.partition(end)[2]}"
    return text


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        PAGE.write_text(page(PAGE.read_text()))

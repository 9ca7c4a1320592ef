"""Runs a policy on a Franka arm, or on an emulated one.

    python deploy/run_real.py --policy bc_cube                                    no robot: the emulator, with the real client
    python deploy/run_real.py --policy bc_cube --robot-ip 172.16.0.2 --robot fr3 --camera realsense
    python deploy/run_real.py --policy runs/NAME --backend sim --episodes 20      the Gymnasium scene itself
    python deploy/run_real.py --policy bc_cube --robot-ip 172.16.0.2 --camera realsense --dry-run

Without --robot-ip an emulator of the arm's controller is started on 127.0.0.1, and the vendor's client connects to it as
it would to an arm. Either way the states are the same: INIT, PREFLIGHT (checks, nothing moves), HOME (slowly), ARMED (you
confirm), RUN and HOLD, then STOP or FAULT. The user stop stays in your hand: nothing here takes its place.

While it runs, a line tells state, rate, latency and limits. After it: timing, the share of periods without an action, each
episode, successes with their interval, and last one JSON line with the keys of toto_robot.evaluate (env, policy, episodes,
successes, success, wilson95, mean_steps; for --trials16 protocol and trials too) and ending, exit_code, why, robot, backend,
emulated, clock, counts, timing. Every episode is recorded, also one that a fault ended.
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if __name__ in ("__main__", "__mp_main__"):  # run as a script: deploy/ itself must not be where packages are looked for
    sys.path[:] = [str(ROOT)] + [p for p in sys.path if Path(p or ".").resolve() not in (ROOT / "deploy", ROOT)]

from deploy import endings  # noqa: E402
from deploy.endings import Ending  # noqa: E402


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        "run_real.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="exit codes:\n" + endings.table(),
        allow_abbrev=False,
    )
    add = p.add_argument
    add(
        "--policy",
        required=True,
        metavar="NAME",
        help="a policy's folder, a run's folder or name, or an embedded policy. "
        "scripted: the expert that sees the simulator's true state, for trying the stack without a trained policy",
    )
    add("--robot-ip", metavar="IP", help="the arm's address; without it an emulated one is started")
    add(
        "--robot",
        default="fr3",
        metavar="ARM",
        help="fr3 or panda: chooses limits, and the backends that can speak to it",
    )
    add(
        "--backend",
        metavar="NAME",
        help="franky (default for fr3), pylibfranka, panda_py (default for panda), ros, sim, or "
        "one that a package adds (entry-point group toto_robot.robots)",
    )
    add("--camera", metavar="KIND", help="realsense, opencv, video, or mujoco (default where the arm is simulated)")
    add("--camera-file", metavar="YAML", help="a camera with its device, crop and intrinsics, in place of --camera")
    add("--episodes", type=int, default=1, help="how many (default 1)")
    add(
        "--seed",
        type=int,
        default=12345,
        help="chooses where the object lies in a simulated scene, as in toto_robot.evaluate",
    )
    add("--trials16", action="store_true", help="the paper's 16 trials, in a simulated scene")
    add(
        "--dry-run",
        action="store_true",
        help="everything runs, and no motion is sent: not to the arm, not to the gripper",
    )
    add(
        "--speed-scale",
        type=float,
        metavar="S",
        help="the policy's increments and the limits on speed, acceleration and jerk "
        "are multiplied by this, and an episode may take 1/S as long. 1 is what the policy was trained with, and the default "
        "on an emulated arm; the default on a real one is 0.2",
    )
    add(
        "--home-speed",
        type=float,
        default=0.2,
        metavar="S",
        help="share of the limits with which the arm goes home, 0.5 at most (default 0.2)",
    )
    add("--hz", type=float, help="refused unless it is the policy's own control rate")
    add(
        "--workspace",
        type=float,
        nargs=6,
        metavar=("X0", "X1", "Y0", "Y1", "Z0", "Z1"),
        help="box for the tool centre point in the base frame, metres; the default is the scene's",
    )
    add(
        "--recoveries",
        type=int,
        default=1,
        metavar="N",
        help="reflexes that are recovered without a person (default 1)",
    )
    add(
        "--record",
        metavar="DIR",
        help="demonstration set to which every episode is appended (default "
        "data/deployments/<time>); none: don't record",
    )
    add(
        "--clock",
        metavar="NAME",
        help="lockstep (default on an emulated arm: its time waits for this program, so results don't "
        "depend on how busy the machine is) or realtime",
    )
    add(
        "--shift",
        metavar="LOOK",
        help="how the simulated scene looks, in place of what training showed: colour, light, camera, "
        "noise or all; a new look in each episode. Not with --robot-ip",
    )
    add(
        "--yes-look",
        action="store_true",
        help="go on where the camera's pictures are out of what the policy was trained on",
    )
    add(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting of the backend, e.g. a topic of ros",
    )
    add(
        "--convert",
        action="append",
        default=[],
        metavar="WHAT",
        help="rate: hold each command of a slower policy; range: rescale its "
        "numbers into the arm's range; crop: the camera's crop and size become the policy's. Never done unless asked for "
        "(docs/policy_fit.md)",
    )
    add(
        "--tolerate",
        action="append",
        default=[],
        metavar="KEY=NUMBER",
        help="how far the camera may be from where it was in training "
        "before it is told: mount_mm (default 10), mount_deg (3), fovy_percent (5)",
    )
    add(
        "--hand-eye",
        metavar="YAML",
        help="where the camera sits in the hand (python -m deploy.calibrate), to compare with training",
    )
    add("--device", default="cpu", help="where the policy's encoder runs: cpu or cuda")
    add(
        "--yes",
        action="store_true",
        help="don't ask the operator; on a real address only together with --i-am-at-the-robot",
    )
    add(
        "--i-am-at-the-robot",
        action="store_true",
        dest="at_robot",
        help="you stand there with the user stop in your hand",
    )
    return p


def main(argv: list[str]) -> int:
    """The exit code."""
    from deploy.session.run import run  # late: a child process needs only its own part

    return run(parser().parse_args(argv))


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        code = Ending.INTERRUPTED.code
    except Exception as error:
        code = getattr(error, "exit_code", None)
        if code is None:
            raise
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    sys.exit(code)

"""Runs a policy on a Franka arm, or on an emulated one.

    python deploy/run_real.py --policy bc_cube                              no robot: the emulator, with the real client
    python deploy/run_real.py --policy bc_cube --robot-ip 172.16.0.2 --robot fr3 --camera realsense
    python deploy/run_real.py --policy runs/NAME --backend sim --episodes 20   the Gymnasium scene itself
    python deploy/run_real.py --policy bc_cube --robot-ip 172.16.0.2 --camera realsense --dry-run

Without --robot-ip an emulator of the arm's controller starts on this computer, and the vendor's client connects to it
as to an arm. The states are the same in both cases: INIT, PREFLIGHT (checks, nothing moves), HOME (slowly), ARMED (you
confirm), RUN and HOLD, then STOP or FAULT. Keep the user stop in your hand; nothing here replaces it.

While it runs, a line shows state, rate, latency and limits. After the run it prints the timing, the share of periods
without an action, each episode, and the successes with their interval. The last line is JSON with the keys of
toto_robot.evaluate (env, policy, episodes, successes, success, wilson95, mean_steps; with --trials16 also protocol and
trials) and ending, exit_code, why, robot, backend, emulated, clock, counts, timing. Every episode is recorded, also one
that a fault ended.
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if __name__ in ("__main__", "__mp_main__"):  # as a script: Python must not look for packages in deploy/ itself
    sys.path[:] = [str(ROOT)] + [p for p in sys.path if Path(p or ".").resolve() not in (ROOT / "deploy", ROOT)]

from deploy import endings  # noqa: E402
from deploy.endings import Ending  # noqa: E402


def parser() -> argparse.ArgumentParser:
    """The flags of the command."""
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
        "scripted: the expert that sees the simulator's true state, to try everything without a trained policy",
    )
    add("--robot-ip", metavar="IP", help="the arm's address; without it an emulated one is started")
    add(
        "--robot",
        default="fr3",
        metavar="ARM",
        help="fr3 or panda: chooses the limits, and the backends that support the arm",
    )
    add(
        "--backend",
        metavar="NAME",
        help="franky (default for fr3), pylibfranka, panda_py (default for panda), ros, sim, or "
        "one that a package adds (entry-point group toto_robot.robots)",
    )
    add("--camera", metavar="KIND", help="realsense, opencv, video, or mujoco (default where the arm is simulated)")
    add("--camera-file", metavar="YAML", help="a camera with its device, crop and intrinsics, instead of --camera")
    add("--episodes", type=int, default=1, help="how many (default 1)")
    add(
        "--seed",
        type=int,
        default=12345,
        help="determines where the object is in a simulated scene, as in toto_robot.evaluate",
    )
    add("--trials16", action="store_true", help="the paper's 16 trials, in a simulated scene")
    add(
        "--dry-run",
        action="store_true",
        help="run everything, but send no motion to the arm and the gripper",
    )
    add(
        "--speed-scale",
        type=float,
        metavar="S",
        help="multiply the policy's increments and the limits on speed, acceleration and jerk by this; an episode "
        "may then take 1/S as long. 1 is the speed of training and the default on an emulated arm; the default on a "
        "real one is 0.2",
    )
    add(
        "--home-speed",
        type=float,
        default=0.2,
        metavar="S",
        help="share of the limits for the way home, at most 0.5 (default 0.2)",
    )
    add("--hz", type=float, help="refused unless it is the policy's own control rate")
    add(
        "--workspace",
        type=float,
        nargs=6,
        metavar=("X0", "X1", "Y0", "Y1", "Z0", "Z1"),
        help="box for the tool centre point in the base frame, metres; by default the scene's",
    )
    add(
        "--recoveries",
        type=int,
        default=1,
        metavar="N",
        help="number of reflexes that are recovered without a person (default 1)",
    )
    add(
        "--record",
        metavar="DIR",
        help="demonstration set to which every episode is appended (default data/deployments/<time>); none: don't "
        "record",
    )
    add(
        "--clock",
        metavar="NAME",
        help="lockstep (default on an emulated arm: its time waits for this program, so results don't depend on how "
        "busy the computer is) or realtime",
    )
    add(
        "--shift",
        metavar="LOOK",
        help="the look of the simulated scene instead of that of training: colour, light, camera, noise or all; a new "
        "look in each episode. Not with --robot-ip",
    )
    add(
        "--yes-look",
        action="store_true",
        help="go on if the camera's pictures do not look like the policy's training pictures",
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
        help="rate: hold each command of a slower policy; range: rescale its numbers into the arm's range; crop: use "
        "the policy's crop and size for the camera. Nothing is converted unless you ask for it (docs/policy_fit.md)",
    )
    add(
        "--tolerate",
        action="append",
        default=[],
        metavar="KEY=NUMBER",
        help="differences between the camera and that of training up to which there is no warning: mount_mm (default "
        "10), mount_deg (3), fovy_percent (5)",
    )
    add(
        "--hand-eye",
        metavar="YAML",
        help="the camera's pose in the hand (python -m deploy.calibrate), to compare with training",
    )
    add("--device", default="cpu", help="where the policy's encoder runs: cpu or cuda")
    add(
        "--yes",
        action="store_true",
        help="don't ask the operator; at a real address this needs --i-am-at-the-robot",
    )
    add(
        "--i-am-at-the-robot",
        action="store_true",
        dest="at_robot",
        help="you stand at the arm with the user stop in your hand",
    )
    return p


def main(argv: list[str]) -> int:
    """Runs the command. Returns the exit code."""
    from deploy.session.run import run  # late, because a child process needs only its own part

    return run(parser().parse_args(argv))


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        code = Ending.INTERRUPTED.code
    except Exception as error:
        exit_code: int | None = getattr(error, "exit_code", None)
        if exit_code is None:
            raise
        code = exit_code
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    sys.exit(code)

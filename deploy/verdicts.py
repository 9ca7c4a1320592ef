"""The verdicts of `python -m deploy.check`: pure functions from measured numbers to a line with a verdict."""

import os
import resource
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deploy.calibration.hand_eye import GOOD_M, GOOD_RAD, Errors
from deploy.cameras import Frame
from deploy.cameras.base import CameraConfig
from deploy.cameras.intrinsics import Intrinsics
from deploy.control import safety
from deploy.robots.base import GripperState, RobotState
from envs.robots.limits import JointLimits
from policies.look import IN, OUT

OK, LOOK, BAD, SKIPPED = "ok", "look", "bad", "not checked"
GOOD_SHARE, POOR_SHARE = 0.95, 0.90
"""From libfranka's examples/communication_test.cpp. Below the first many packets get lost, below the second the setup
is probably not sufficient."""
FOVY_DEG = 5.0
"""A person should look at a field of view that differs by more from that of training."""


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    name: str
    verdict: str
    said: str


def kernel(root: Path = Path("/")) -> Line:
    """Whether this computer can keep 1 kHz: a real-time kernel, the right to use it, and a CPU at full speed."""
    wrong = []
    if not (root / "sys/kernel/realtime").is_file():
        wrong.append(f"no PREEMPT_RT kernel ({os.uname().release})")
    if resource.getrlimit(resource.RLIMIT_RTPRIO)[1] == 0:
        wrong.append("this user may not use real-time priority (rtprio in /etc/security/limits.conf)")
    governors = {p.read_text().strip() for p in root.glob("sys/devices/system/cpu/cpu*/cpufreq/scaling_governor")}
    if governors - {"performance"}:
        wrong.append(f"CPU frequency governor {', '.join(sorted(governors))}, expected performance")
    return Line(
        "computer", LOOK if wrong else OK, "; ".join(wrong) or "real-time kernel, priority and governor are set"
    )


def robot(state: RobotState) -> Line:
    """The mode and the latched errors."""
    said = f"mode {state.mode}" + f", errors: {', '.join(state.errors)}" * bool(state.errors)
    if state.mode == "user_stopped":
        return Line("robot", BAD, f"{said}; release the user stop (activation device)")
    if state.errors or state.mode in ("reflex", "other"):
        return Line("robot", BAD, f"{said}; see docs/real_robot.md, then recover in Desk or with the first run")
    return Line(
        "robot", OK if state.mode == "idle" else LOOK, said + ("" if state.mode == "idle" else ", expected idle")
    )


def connection(times_s: np.ndarray, wall_s: float) -> Line:
    """The share of the robot's milliseconds that arrived. `times_s` (N,) is the robot's clock in each state of `wall_s`
    seconds.

    The other direction, commands, is visible only in a motion. A run reports it as its success rate.
    """
    stamps = np.unique(np.round(1000 * np.asarray(times_s)).astype(np.int64))
    moved_s = (stamps[-1] - stamps[0]) / 1000 if len(stamps) else 0.0
    if moved_s < 0.9 * wall_s:
        return Line(
            "connection",
            BAD,
            f"the robot's clock went on by {moved_s:.2f} s in {wall_s:.2f} s: the robot is gone, or "
            "an emulator runs on a busy computer or with --clock lockstep",
        )
    gaps = np.diff(stamps)
    share = len(gaps) / float(gaps.sum())
    said = f"{100 * share:.1f} % of {gaps.sum()} states in {wall_s:.1f} s were seen, longest gap {gaps.max()} ms"
    if share >= GOOD_SHARE and gaps.max() <= 20:
        return Line("connection", OK, said)
    return Line(
        "connection",
        LOOK if share >= POOR_SHARE else BAD,
        f"{said} (20 lost in a row stop a motion); cable straight into Control, no switch, cameras on another card, "
        "nothing else on this computer",
    )


def limits(q_rad: np.ndarray, arm: JointLimits, envelope: safety.Envelope) -> list[Line]:
    """Where the arm is: the distance to its joints' limits, to the workspace box, and to itself."""
    room = np.minimum(q_rad - arm.q_min_rad, arm.q_max_rad - q_rad)
    near = int(room.argmin())
    outside_m, apart_m = float(envelope.outside_m(q_rad)[0]), float(envelope.apart_m(q_rad)[0])
    inside = outside_m <= 0
    return [
        Line(
            "joint limits",
            BAD if room[near] < 0 else LOOK if room[near] < 0.1 else OK,
            f"joint {near + 1} is nearest, {room[near]:.2f} rad from its limit",
        ),
        Line(
            "workspace",
            OK if inside else LOOK,
            f"the tool is {1e3 * abs(outside_m):.0f} mm "
            + (
                "inside the box"
                if inside
                else "outside the box: a run will go home first, slowly, and only if the way is free"
            ),
        ),
        Line(
            "self-collision",
            OK if apart_m > envelope.self_distance_m else BAD,
            f"links are {1e3 * apart_m:.0f} mm apart, at least {1e3 * envelope.self_distance_m:.0f} are required",
        ),
    ]


def gripper(state: GripperState, open_m: float) -> Line:
    """Width and grasp. `open_m` is the width of the open hand."""
    said = f"{1e3 * state.width_m:.0f} mm open" + ", reports that it holds something" * state.holds
    if not -0.001 <= state.width_m <= open_m + 0.005:
        return Line("gripper", BAD, f"{said}, expected 0 to {1e3 * open_m:.0f}; home it in Desk")
    return Line("gripper", LOOK if state.holds else OK, said)


def camera(
    frames: list[Frame],
    ages_s: list[float],
    wall_s: float,
    rate_hz: float,
    max_age_s: float,
    asked_hz: float | None = None,
) -> Line:
    """Rate, age and brightness of the frames of `wall_s` seconds, for a policy at `rate_hz`. `ages_s` are their ages
    when they were read. `asked_hz` is the rate that the camera was asked for."""
    if not frames:
        return Line("camera", BAD, f"no frame in {wall_s:.1f} s")
    got_hz = len(frames) / wall_s
    worst = float(np.max(ages_s))
    height, width = frames[0].rgb.shape[:2]
    said = (
        f"{got_hz:.1f} frames a second of {width}×{height}, age {1e3 * np.median(ages_s):.0f} ms, "
        f"worst {1e3 * worst:.0f} ms"
    )
    dark = float(np.mean([frame.rgb.mean() for frame in frames]))
    faults = [f"slower than the policy ({rate_hz:g} Hz)"] * bool(got_hz < rate_hz)
    if asked_hz and got_hz < 0.9 * asked_hz:
        faults.append(
            f"asked for {asked_hz:g} a second: more light or a fixed exposure, fourcc: MJPG, or another USB port"
        )
    faults += [f"older than {1e3 * max_age_s:.0f} ms, at which the arm holds"] * bool(worst > max_age_s)
    faults += [f"mean grey level {dark:.0f} of 255: lens cap, exposure or light?"] * (not 10 < dark < 245)
    unfit = got_hz < rate_hz or worst > max_age_s
    return Line("camera", BAD if unfit else LOOK if faults else OK, "; ".join([said, *faults]))


def lens(config: CameraConfig, intrinsics: Intrinsics | None, trained_fovy_deg: float) -> Line:
    """Crop and field of view, compared with the simulated camera of training."""
    said = f"crop {config.crop} to {config.size}×{config.size}"
    if intrinsics is None:
        return Line("crop", LOOK, f"{said}; field of view unknown: give the lens in the camera file (intrinsics)")
    differs = abs(intrinsics.fovy_deg - trained_fovy_deg) > FOVY_DEG
    said += f", field of view {intrinsics.fovy_deg:.0f}°"
    return Line(
        "crop",
        LOOK if differs else OK,
        said + f"; policies from the simulated scene saw {trained_fovy_deg:.0f}°" * differs,
    )


def look(verdict: str | None, said: str) -> Line:
    """The policy's verdict on the camera's frames (policies.look); None if it can't be asked."""
    if verdict is None:
        return Line("look", SKIPPED, said)
    judged = {IN: OK, OUT: BAD}.get(verdict, LOOK)
    return Line(
        "look",
        judged,
        f"{verdict}: {said}" + "; put the arm where an episode begins, and light and camera right; a run needs "
        "--yes-look" * (verdict == OUT),
    )


def hand_eye(errors: Errors | None) -> Line:
    """The result of `HandEye.error`; None if the board is not visible."""
    if errors is None:
        return Line(
            "hand-eye", LOOK, "the board is not in the picture; put it where it lay, and the arm where it sees it"
        )
    good = f"at most {1e3 * GOOD_M:.0f} mm and {np.degrees(GOOD_RAD):.1f}° are good"
    return Line(
        "hand-eye",
        OK if errors.good else BAD,
        f"the board is off by {errors}; {good}"
        + "; the camera or the board was moved: calibrate again" * (not errors.good),
    )

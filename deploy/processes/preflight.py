"""The checks before the first motion. Each gives (name, whether it passed, what was found). Nothing moves in this
time."""

import time

import numpy as np

from deploy.control import safety
from deploy.control.clock import Clock
from deploy.control.gate import minimum_jerk
from deploy.control.machine import Event, State
from deploy.control.plan import Plan
from deploy.control.shared import FrameSlot
from deploy.processes.policy import LookAnswer, LookRequest
from deploy.robots.base import Features, RobotState
from envs.robots.control import SERVO_DT_S

RATE_S = 1.0
"""How long the camera's frames are counted, on the wall's clock."""
SLOW = 0.9
"""A camera that gives less than this share of the rate it was asked for is named."""
FRAMES_S, LOOK_S = 10.0, 60.0
"""The longest time, on the wall's clock, for the frames and for the policy's answer about them."""
OUT = "out"
"""As in policies.look. This process does not import it, because it would bring torch to the loop that owns the arm."""
WORSE_M = 0.002
"""An arm outside its box may go home if the way leads at most this much further out."""


def found(driver, state: RobotState) -> list[tuple[str, bool, str]]:
    """The result of `checks` for a driver (deploy/processes/driver.py) whose arm is at `state`."""
    driver.ask_camera()
    age_s = frame_age_s(driver.links.frames, driver.clock, driver.asked_reads)
    # The policy is asked once. After a recovery the arm may be anywhere, and the pictures with it.
    if driver.plan.look_frames and driver.look is None and age_s is not None:
        ask_for_look(driver)
    return checks(
        driver.robot.features,
        state,
        driver.plan,
        driver.gate.envelope,
        age_s,
        driver.hand.observe().width_m,
        None if driver.clock.lockstep else driver.answer_s,
        driver.look,
        frame_rate_hz(driver) if driver.plan.camera_hz and age_s is not None else None,
    )


def frame_rate_hz(driver) -> float:
    """The camera's frames a second, by their numbers and times of capture. The arm is served in this time."""
    (first_s, first, _), end = driver.links.frames.latest(), time.monotonic() + RATE_S
    while driver.now.state is State.PREFLIGHT and time.monotonic() < end:
        driver.idle()
    last_s, last, _ = driver.links.frames.latest()
    return (last - first) / (last_s - first_s) if last_s > first_s else 0.0


def ask_for_look(driver) -> None:
    """Asks the policy whether the next frames look like its training pictures. The answer is in `driver.look`.

    The arm is served in this time. It ends early if the state machine leaves PREFLIGHT, also because there is no
    answer.
    """
    frames = newest_frames(driver, driver.plan.look_frames)
    try:
        driver.links.policy.send(LookRequest(np.stack(frames)))
    except OSError:
        return driver.event(Event.POLICY_DIED)
    end = time.monotonic() + LOOK_S
    while driver.look is None and driver.now.state is State.PREFLIGHT:
        driver.idle()
        if time.monotonic() > end:
            driver.event(
                Event.POLICY_DIED, f"the policy did not say within {LOOK_S:g} s whether it knows what the camera sees"
            )


def newest_frames(driver, count: int) -> list[np.ndarray]:
    """The newest frame (H, W, 3) and those after it: `count` frames, or as many as come within `FRAMES_S` of wall
    time."""
    slot, lockstep, end = driver.links.frames, driver.clock.lockstep, time.monotonic() + FRAMES_S
    rgb, _, last = slot.get()
    frames = [rgb]
    driver.ask_camera()
    while len(frames) < count and driver.now.state is State.PREFLIGHT and time.monotonic() < end:
        driver.idle()
        if slot.latest()[2] < driver.asked_reads:  # in lockstep the ordered frame has not come yet
            continue
        rgb, _, number = slot.get()
        if lockstep or number != last:
            frames.append(rgb)
            last = number
            driver.ask_camera()
    return frames


def checks(
    robot: Features,
    state: RobotState,
    plan: Plan,
    envelope: safety.Envelope,
    frame_age_s: float | None,
    width_m: float,
    answer_s: float | None,
    look: LookAnswer | None = None,
    rate_hz: float | None = None,
) -> list[tuple[str, bool, str]]:
    """All checks.

    `frame_age_s` is the age of the newest frame, None without a frame. `answer_s` is the policy's time for an action,
    None if time stands still while it answers. `look` is its answer about the newest frames, None if it was not asked.
    `rate_hz` is the camera's rate, None if it was not measured.
    """
    low, high = plan.limits.q_min_rad, plan.limits.q_max_rad
    room = float(np.minimum(state.q_rad - low, high - state.q_rad).min())
    errors = f", errors {', '.join(state.errors)}" if state.errors else ""
    return [
        ("robot", state.mode in ("idle", "move") and not errors, f"{robot.client}, mode {state.mode}{errors}"),
        ("joints", room > 0, f"{room:.2f} rad from the nearest limit"),
        ("way home", *way_home(state.q_rad, plan, envelope)),
        (
            "camera",
            frame_age_s is not None and frame_age_s < plan.rules.camera_hold_s,
            "no frame"
            if frame_age_s is None
            else f"newest frame {1000 * frame_age_s:.0f} ms old" + _rate(rate_hz, plan),
        ),
        ("policy", *_pace(answer_s, plan)),
        ("gripper", True, f"{1000 * width_m:.0f} mm open"),
        *([("look", *_known(look, plan))] if look else []),
    ]


def frame_age_s(frames: FrameSlot, clock: Clock, reads: int) -> float | None:
    """Seconds since the capture of the newest frame, or None if no frame comes within 5 s of wall time.

    In lockstep it waits for the camera's read number `reads`.
    """
    end = time.monotonic() + 5
    while time.monotonic() < end:
        captured_s, sequence, done = frames.latest()
        if sequence >= 0 and (not clock.lockstep or done >= reads):
            return clock.now_s() - captured_s
        time.sleep(0.01)
    return None


def _known(look: LookAnswer, plan: Plan) -> tuple[bool, str]:
    """Whether the camera sees what the policy knows, or the operator accepts that it does not."""
    said = f"{look.verdict}: {look.said}"
    if look.verdict != OUT:
        return True, said
    if plan.yes_look:
        return True, f"{said}; --yes-look goes on"
    return False, f"{said}; put the arm where an episode begins, and light and camera right, or give --yes-look"


def _rate(rate_hz: float | None, plan: Plan) -> str:
    """The camera's rate beside the one it was asked for, in words."""
    if rate_hz is None or not plan.camera_hz:
        return ""
    said = f", {rate_hz:.1f} frames a second"
    if rate_hz >= SLOW * plan.camera_hz:
        return said
    return f"{said} of {plan.camera_hz:g} asked for: more light or a fixed exposure, fourcc: MJPG, or another USB port"


def _pace(answer_s: float | None, plan: Plan) -> tuple[bool, str]:
    """Whether a policy that needs `answer_s` for an action is fast enough to drive the arm."""
    if answer_s is None:
        return True, "time stands still while it answers"
    said = f"{1e3 * answer_s:.0f} ms an action, for periods of {1e3 * plan.period_s:.0f} ms"
    if answer_s > plan.rules.policy_hold_s:
        return (
            False,
            f"{said}: the arm would hold and stop; use a faster computer or a smaller encoder, end other programs",
        )
    return True, said


def path_home(q_rad: np.ndarray, plan: Plan) -> np.ndarray:
    """(N, J) set-points from rest at `q_rad` to the home pose, in the shortest time inside a share of the limits."""
    return minimum_jerk(q_rad, plan.home_rad, safety.share_of(plan.limits, plan.home_speed))


def way_home(q_rad: np.ndarray, plan: Plan, envelope: safety.Envelope) -> tuple[bool, str]:
    """`judge` of the way home from `q_rad`."""
    return judge(path_home(q_rad, plan), q_rad, plan, envelope)


def judge(way: np.ndarray, q_rad: np.ndarray, plan: Plan, envelope: safety.Envelope) -> tuple[bool, str]:
    """Whether the way home is free, and how long it takes or why it is not free.

    It has to stay inside the limits, keep the links apart, and lead towards the box. `way` (N, J) starts at `q_rad`
    (J,).
    """
    limits = safety.share_of(plan.limits, plan.home_speed)
    if why := safety.refuse_set_points(np.tile(q_rad, (3, 1)), way, limits, SERVO_DT_S):
        return False, f"{why}; guide the arm nearer to home by hand"
    outside, apart = np.maximum(envelope.outside_m(way[::25]), 0), envelope.apart_m(way[::25])
    if apart.min() < envelope.self_distance_m:
        return False, f"comes within {1e3 * apart.min():.0f} mm of itself; guide the arm nearer to home by hand"
    if np.diff(outside).max(initial=0) > WORSE_M:
        return False, "leaves the workspace box further than the arm is now; guide the arm nearer to home by hand"
    return True, f"{len(way) * SERVO_DT_S:.1f} s at {100 * plan.home_speed:.0f} % of the limits"

"""Set-points have to be finite, inside the limits and inside the box, with the links apart; the gate makes only
such."""

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import envs
from deploy.control import safety
from deploy.control.gate import Gate, minimum_jerk
from deploy.control.kinematics import Kinematics, segment_distance_m
from envs.robots import ROBOTS
from envs.robots.control import SERVO_DT_S
from envs.robots.franka import ARM_LIMITS
from envs.robots.limits import JointLimits

FRANKA = ROBOTS["franka"]
ENVELOPE = safety.Envelope.of(FRANKA)
HOME = np.array(FRANKA.q_home_rad)
BOTH = safety.tighter(FRANKA.limits, ARM_LIMITS["fr3"])


def gate(speed=1.0):
    return Gate(FRANKA, BOTH, ENVELOPE, period_s=0.1, max_step_rad=0.06, max_lead_rad=0.2, speed=speed)


def test_forward_kinematics_are_the_simulators():
    env, kinematics = envs.make("franka_cube", render=False), Kinematics(FRANKA)
    rng = np.random.default_rng(0)
    base = env.data.body("base")
    for _ in range(20):
        q = rng.uniform(FRANKA.limits.q_min_rad, FRANKA.limits.q_max_rad)
        env.data.qpos[:7] = q
        mujoco.mj_kinematics(env.model, env.data)
        frames = kinematics.frames(q)[0]
        for frame, name in zip(frames, (*FRANKA.link_bodies, FRANKA.hand_body)):
            body = env.data.body(name)
            np.testing.assert_allclose(frame[:3, 3], base.xmat.reshape(3, 3).T @ (body.xpos - base.xpos), atol=1e-9)
        tcp = env.data.body("hand").xpos + env.data.body("hand").xmat.reshape(3, 3) @ FRANKA.tcp_in_hand_m
        np.testing.assert_allclose(
            kinematics.tcp_m(frames[None])[0], base.xmat.reshape(3, 3).T @ (tcp - base.xpos), atol=1e-9
        )


def test_distances_between_the_arms_capsules_are_the_simulators():
    env, kinematics = envs.make("franka_cube", render=False), Kinematics(FRANKA)
    model, data = env.model, env.data
    capsules = [
        g for name in FRANKA.link_bodies for g in range(model.ngeom) if model.geom_bodyid[g] == model.body(name).id
    ]
    rng = np.random.default_rng(1)
    for _ in range(5):
        data.qpos[:7] = rng.uniform(FRANKA.limits.q_min_rad, FRANKA.limits.q_max_rad)
        mujoco.mj_kinematics(model, data)
        segments = kinematics.segments_m(kinematics.frames(data.qpos[:7]))[0]
        radius = kinematics.capsules.radius_m
        for a in range(0, len(capsules), 2):
            for b in range(a + 3, len(capsules), 3):
                ours = segment_distance_m(segments[a], segments[b]) - radius[a] - radius[b]
                theirs = mujoco.mj_geomDistance(model, data, capsules[a], capsules[b], 5.0, None)
                assert abs(ours - theirs) < 1e-6 or (ours < 0 and theirs < 0)


@given(st.lists(st.floats(-1, 1), min_size=12, max_size=12), st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_a_distance_between_segments_is_the_least_over_their_points(numbers, seed):
    p, q = np.array(numbers).reshape(2, 2, 3)
    rng = np.random.default_rng(seed)
    s, t = rng.uniform(0, 1, (2, 400, 1))
    some = np.linalg.norm(p[0] + s * (p[1] - p[0]) - q[0] - t * (q[1] - q[0]), axis=1).min()
    assert segment_distance_m(p, q) <= some + 1e-6  # what an almost parallel pair may be off by, a metre long


BAD = [
    np.full(8, np.nan),
    np.append(np.zeros(7), np.inf),
    np.zeros(7),
    np.zeros((1, 8)),
    "up",
    None,
    np.full(8, 1.01),
    np.zeros(0),
    [1, 2],
    {},
    np.append(np.zeros(7), -2.0),
]


@pytest.mark.parametrize("action", BAD, ids=lambda a: str(a)[:20])
def test_what_is_not_eight_finite_numbers_in_range_is_refused(action):
    assert safety.refuse_action(action, 8)


@given(st.lists(st.floats(-1, 1), min_size=8, max_size=8))
def test_everything_else_is_not(action):
    assert safety.refuse_action(action, 8) is None


ACTIONS = st.lists(
    st.one_of(
        st.lists(st.sampled_from([-1.0, 1.0, 0.0, 0.3]), min_size=8, max_size=8).map(np.array), st.sampled_from(BAD)
    ),
    min_size=1,
    max_size=12,
)


@given(ACTIONS, st.sampled_from([1.0, 0.2]), st.integers(0, 2**30))
@settings(max_examples=10, deadline=None)
def test_whatever_a_policy_says_every_set_point_is_inside_every_limit(actions, speed, seed):
    """The measured arm follows with an error, as an arm does, and feels contacts."""
    arm, rng = gate(speed), np.random.default_rng(seed)
    q = HOME.copy()
    arm.reset(q)
    sent = [np.tile(q, (3, 1))]
    for action in actions * 3:
        felt = touching(rng.uniform(0, 2), rng.uniform(-40, 40, 7)) if rng.random() < 0.3 else safety.Contact()
        command = arm.command(action, q, felt)
        assert not command.breach and np.abs(command.applied).max() <= 1 + 1e-9
        assert command.limited or action is None or safety.refuse_action(action, 8) is None
        sent.append(command.points_rad)
        q = command.points_rad[-1] + rng.uniform(-0.02, 0.02, 7)
    path = np.concatenate(sent)
    limits = safety.share_of(BOTH, speed)
    assert safety.refuse_set_points(path[:3], path[3:], limits, SERVO_DT_S) is None
    assert ENVELOPE.refuse(path[::5]) is None


def test_an_arm_driven_against_the_box_stops_at_its_wall_and_can_leave_it_again():
    arm = gate()
    q = HOME.copy()
    arm.reset(q)
    down = np.array([0, 0.6, 0, -0.3, 0, 0, 0, 1.0])
    said = []
    for _ in range(60):
        command = arm.command(down, q)
        q = command.points_rad[-1]
        said.append(command.limited)
    assert any("workspace" in s for s in said)
    stuck = ENVELOPE.outside_m(q)[0]
    assert -0.05 < stuck <= 0
    up = [arm.command(np.append(-down[:7], 1.0), q) for _ in range(5)]
    assert ENVELOPE.outside_m(up[-1].points_rad[-1])[0] < stuck - 0.01


def touching(share, direction=(0, 10, 0, -10, 0, 0, 0)):
    return safety.Contact(share, np.array(direction, np.float64))


@given(st.floats(0.01, 1.5), st.lists(st.floats(-1, 1), min_size=21, max_size=21))
def test_what_leads_into_a_contact_never_presses_harder_than_it_may(share, numbers):
    lead, increment, torques = np.split(np.array(numbers) * np.repeat([0.2, 0.06, 20.0], 7), 3)
    if (size := np.linalg.norm(torques)) < 1.0:
        return
    k = np.array(FRANKA.impedance_k_nm_rad)
    softer = safety.yielding(increment, lead, safety.Contact(share, torques), k)
    pressed, might = k * (lead + softer) @ torques / size, k * (lead + increment) @ torques / size
    most = size * safety.YIELD / share
    assert pressed == pytest.approx(min(might, most), abs=1e-9)
    change = k * (softer - increment)  # along the contact alone
    np.testing.assert_allclose(change - change @ torques / size * torques / size, 0, atol=1e-9)


def test_an_arm_that_presses_comes_back_and_one_that_leads_away_is_left_alone():
    arm = gate()
    arm.reset(HOME)
    pressing = np.append(np.sign(touching(1).tau_ext_nm), 1.0)
    away = arm.command(-pressing, HOME, touching(0.9))
    assert not away.limited
    arm.reset(HOME)
    for _ in range(3):
        free = arm.command(pressing, HOME)
    assert not free.limited
    for _ in range(20):
        held = arm.command(pressing, HOME, touching(0.9))
    lead = arm.controller.limiter.q_rad - HOME
    along = touching(1).tau_ext_nm / np.linalg.norm(touching(1).tau_ext_nm)
    assert "yields to a contact at 90%" in held.limited and not held.breach and np.abs(held.applied).max() <= 1
    assert (
        along @ (np.array(FRANKA.impedance_k_nm_rad) * lead)
        <= np.linalg.norm(touching(1).tau_ext_nm) / 0.9 * safety.YIELD + 1e-6
    )


def test_a_light_touch_changes_nothing():
    one, other = gate(), gate()
    for arm in (one, other):
        arm.reset(HOME)
    action = np.append(0.5 * np.ones(7), 1.0)
    touched = one.command(action, HOME, touching(safety.TOUCH))
    np.testing.assert_array_equal(touched.points_rad, other.command(action, HOME).points_rad)


def test_the_gate_changes_nothing_of_what_the_expert_does():
    from policies.experts import ScriptedPick

    env, expert = envs.make("franka_cube", render=False), ScriptedPick()
    arm = Gate(FRANKA, FRANKA.limits, ENVELOPE, period_s=0.1, max_step_rad=0.06, max_lead_rad=0.2, margin_rad=0.01)
    env.reset(seed=3)
    arm.controller.limiter.low, arm.controller.limiter.high = env.protocol.limiter.low, env.protocol.limiter.high
    arm.reset(env.data.qpos[:7])
    for _ in range(15):
        action, q = expert.label(env), env.data.qpos[:7].copy()
        command = arm.command(action, q)
        env.step(action)
        assert not command.limited
        np.testing.assert_allclose(arm.controller.limiter.q_rad, env.protocol.limiter.q_rad, atol=1e-12)


@pytest.mark.parametrize(
    "name, points",
    [
        ("speed", HOME + np.outer(np.arange(1, 40), np.full(7, 0.004))),
        ("NaN", np.full((3, 7), np.nan)),
        ("position", np.tile(FRANKA.limits.q_max_rad + 0.1, (2, 1))),
        ("shape", np.zeros((3, 6))),
    ],
)
def test_set_points_outside_a_limit_are_refused_with_its_name(name, points):
    assert name in safety.refuse_set_points(np.tile(HOME, (3, 1)), points, BOTH, SERVO_DT_S)


@given(st.lists(st.floats(-1, 1), min_size=14, max_size=14), st.sampled_from([0.1, 0.2, 1.0]))
@settings(max_examples=40, deadline=None)
def test_the_way_home_keeps_every_limit_and_ends_there(numbers, share):
    middle, half = (BOTH.q_min_rad + BOTH.q_max_rad) / 2, 0.49 * (BOTH.q_max_rad - BOTH.q_min_rad)
    start, end = middle + half * np.array(numbers[:7]), middle + half * np.array(numbers[7:])
    limits = safety.share_of(BOTH, share)
    way = minimum_jerk(start, end, limits)
    np.testing.assert_allclose(way[-1], end, atol=1e-12)
    assert safety.refuse_set_points(np.tile(start, (3, 1)), way, limits, SERVO_DT_S) is None


def test_a_measured_state_outside_the_published_limits_is_a_breach():
    still = np.zeros(7)
    assert safety.refuse_state(HOME, still, BOTH) is None
    assert "joint 4" in safety.refuse_state(HOME + [0, 0, 0, 2, 0, 0, 0], still, BOTH)
    assert "faster" in safety.refuse_state(HOME, still + [0, 9, 0, 0, 0, 0, 0], BOTH)
    assert safety.refuse_state(HOME * np.nan, still, BOTH)


def test_tighter_limits_keep_both():
    both = safety.tighter(FRANKA.limits, ARM_LIMITS["fr3"])
    assert isinstance(both, JointLimits)
    for one in (FRANKA.limits, ARM_LIMITS["fr3"]):
        assert (both.q_min_rad >= one.q_min_rad).all() and (both.q_max_rad <= one.q_max_rad).all()
        assert (both.dq_max_rad_s <= one.dq_max_rad_s).all() and (both.dddq_max_rad_s3 <= one.dddq_max_rad_s3).all()


@given(st.lists(st.floats(-1, 1), max_size=50))
def test_a_gripper_command_inside_the_hysteresis_changes_nothing(values):
    closed = False
    for value in values:
        before, closed = closed, safety.closes(value, closed, 0.2)
        assert closed == (before if abs(value) <= 0.2 else value < 0)

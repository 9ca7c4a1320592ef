"""In lockstep a real client's grasp of the cube is the same to the last bit, however busy the machine is."""

import os
from importlib.util import find_spec

import mujoco
import numpy as np
import pytest
from emulated import Running

import envs

pytestmark = pytest.mark.skipif(
    "TOTO_ROBOT_CLIENTS" not in os.environ, reason="minutes on the emulated arm: make clients"
)

if not find_spec("franky"):  # importing it would keep the other client out of this process
    pytest.skip("franky-control is not installed", allow_module_level=True)


def plan(seed):
    """Joint positions above the cube, at it, and above it again."""
    env = envs.make("franka_cube", render=False)
    env.reset(seed=seed)
    cube, yaw = env.data.xpos[env.task.body].copy(), env.data.xmat[env.task.body].reshape(3, 3)
    points, hand = [], env.data.body("hand")
    for height in (0.12, 0.0, 0.16):
        for _ in range(300):
            mujoco.mj_forward(env.model, env.data)
            turn = hand.xmat.reshape(3, 3)
            tcp = hand.xpos + turn @ env.robot.tcp_in_hand_m
            side = np.arctan2(yaw[1, 0], yaw[0, 0]) - np.arctan2(turn[1, 1], turn[0, 1])
            spin = np.cross(turn[:, 2], (0, 0, -1)) + [0, 0, np.sin(4 * side) / 4]
            twist = np.concatenate([cube + [0, 0, height] - tcp, spin])
            jac = np.zeros((6, env.model.nv))
            mujoco.mj_jac(env.model, env.data, jac[:3], jac[3:], tcp, hand.id)
            jac = jac[:, :7]
            env.data.qpos[:7] += 0.3 * jac.T @ np.linalg.solve(jac @ jac.T + 1e-4 * np.eye(6), twist)
        points.append(env.data.qpos[:7].tolist())
    return {"q": points, "pieces": 8}


def run(seed):
    emulator = Running("--clock", "lockstep", "--seed", str(seed))
    try:
        return emulator.client("franky", "grasp", plan(seed))
    finally:
        emulator.close()


def test_two_grasps_of_the_cube_end_with_the_same_bits():
    first, second = run(3), run(3)
    assert first["held"] == [True] and first["physics"]["success"]
    assert first["counters"]["violations"] == [] and first["counters"]["lost_packets"] == 0
    assert first["physics"] == second["physics"]

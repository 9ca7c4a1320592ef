"""The compiled model of a Panda is the arm in MuJoCo: kinematics and dynamics."""

import ctypes
import platform
import shutil

import mujoco
import numpy as np
import pytest

import envs
from deploy.emulator import model_library
from deploy.emulator.arm import F_T_NE

DOUBLES = ctypes.POINTER(ctypes.c_double)


@pytest.fixture(scope="module")
def env():
    return envs.make("franka_cube", render=False)


@pytest.fixture(scope="module")
def library(env, tmp_path_factory):
    if shutil.which("gcc") is None or platform.machine() != "x86_64":
        pytest.skip("needs gcc on x86-64")
    path = tmp_path_factory.mktemp("library") / "model.so"
    path.write_bytes(model_library.build(env.model, 0, 0))
    return ctypes.CDLL(str(path))


def call(function, size, *arguments):
    out = np.zeros(size)
    given = [ctypes.c_double(a) if isinstance(a, float) else np.ascontiguousarray(a, np.float64) for a in arguments]
    function(
        *(a if isinstance(a, ctypes.c_double) else a.ctypes.data_as(DOUBLES) for a in given),
        out.ctypes.data_as(DOUBLES),
    )
    return out


def test_model_library_is_the_arm_in_mujoco(env, library):
    model, data, rng = env.model, mujoco.MjData(env.model), np.random.default_rng(0)
    fingers = [model.body(name).id for name in env.robot.finger_bodies]
    kept = model.body_mass[fingers].copy(), model.body_inertia[fingers].copy()
    model.body_mass[fingers], model.body_inertia[fingers] = 1e-9, 1e-12  # the load is the hand without its fingers
    hand, turn = model.body("hand"), F_T_NE[:3, :3]
    load = (turn @ np.diag(hand.inertia) @ turn.T).ravel(), float(hand.mass[0]), turn @ hand.ipos
    base_turn = None
    for _ in range(5):
        q, dq = env.robot.q_home_rad + rng.uniform(-1, 1, 7), rng.uniform(-1, 1, 7)
        data.qpos[:7], data.qvel[:7] = q, dq
        mujoco.mj_forward(model, data)
        base = data.body("link0")
        base_turn = base.xmat.reshape(3, 3)
        tcp = data.body("hand").xpos + data.body("hand").xmat.reshape(3, 3) @ env.robot.tcp_in_hand_m
        F_T_EE = F_T_NE.ravel(order="F")
        pose = call(library.O_T_J9, 16, q, F_T_EE).reshape(4, 4, order="F")
        assert np.allclose(
            pose[:3, 3], base_turn.T @ (tcp - base.xpos), atol=1e-6
        )  # the hand's quaternion has 7 digits
        jac = np.zeros((6, model.nv))
        mujoco.mj_jac(model, data, jac[:3], jac[3:], base_turn @ pose[:3, 3] + base.xpos, model.body("link7").id)
        wanted = np.vstack([base_turn.T @ jac[:3, :7], base_turn.T @ jac[3:, :7]])
        zero = call(library.O_J_J9, 42, q, F_T_EE).reshape(6, 7, order="F")
        body = call(library.Ji_J_J9, 42, q, F_T_EE).reshape(6, 7, order="F")
        assert np.allclose(zero, wanted, atol=1e-9)
        assert np.allclose(body, np.vstack([pose[:3, :3].T @ zero[:3], pose[:3, :3].T @ zero[3:]]), atol=1e-12)
        gravity = call(library.g_NE, 7, q, [0, 0, -9.81], load[1], load[2])
        assert np.allclose(gravity, data.qfrc_gravcomp[:7], atol=1e-5)
        coriolis = call(library.c_NE, 7, q, dq, *load)
        assert np.allclose(coriolis, (data.qfrc_bias - data.qfrc_gravcomp)[:7], atol=1e-5)
        full = np.zeros((model.nv, model.nv))
        mujoco.mj_fullM(model, full, data.qM)
        mass = call(library.M_NE, 49, q, *load).reshape(7, 7)
        assert np.allclose(mass, full[:7, :7] - 0.1 * np.eye(7), atol=1e-6)  # without the rotors
    model.body_mass[fingers], model.body_inertia[fingers] = kept


def test_a_client_of_another_architecture_is_refused(env, capsys):
    assert model_library.build(env.model, 2, 0) is None
    assert "architecture 2" in capsys.readouterr().err

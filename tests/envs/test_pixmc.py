"""PixMC's eight environments against the numbers of its configurations and code (MVP, arXiv 2203.06173)."""

import mujoco
import numpy as np
import pytest

import envs

ROBOTS = {
    "franka": dict(
        actions=9,
        home=(1.157, -1.066, -0.155, -2.239, -1.841, 1.003, 0.469, 0.035, 0.035),
        cube_m=0.045,
        tips=2,
        fallen_m=0.04,
        increments=(0.125,) * 7 + (0.0125,) * 2,
        camera=("hand", (0.04, 0, 0.045)),
        reach=((0.55, 0, 0.7), (0.2, 0.3, 0.2)),
    ),
    "kuka": dict(
        actions=23,
        home=(0, -0.4, 0, -1, 0, 1, 0) + (0,) * 16,
        cube_m=0.06,
        tips=4,
        fallen_m=0.06,
        increments=(0.125,) * 23,
        camera=("hand", (0.05, 0, 0.02)),
        reach=((0.45, 0, 0.65), (0.2, 0.3, 0.2)),
    ),
}
ORACLE = {
    "franka_reach": 27,
    "franka_cabinet": 34,
    "franka_pick": 34,
    "franka_move": 39,
    "kuka_reach": 55,
    "kuka_cabinet": 77,
    "kuka_pick": 77,
    "kuka_move": 82,
}
"""Dimensions of the oracle's observation, proprioception included."""
STEPS = {"reach": 200, "cabinet": 500, "pick": 500, "move": 500}
STREAK = {name: 1 if name == "franka_move" else 10 for name in ORACLE}
"""Steps in a row that make a success: one for the Franka's move, as PixMC's code has it."""
NAMES = list(ORACLE)


@pytest.fixture(scope="module")
def made():
    """One environment of each name, made once."""
    return {name: envs.make(f"{name}_pixmc", render=False, privileged=True) for name in NAMES}


@pytest.fixture(params=NAMES)
def case(request, made):
    """(environment after a reset, robot's numbers, name)."""
    env = made[request.param]
    env.task.__dict__.pop("fingertips", None)
    env.reset(seed=0)
    return env, ROBOTS[request.param.split("_")[0]], request.param


def put(env, geom_m):
    """Places the cube, at rest."""
    env.data.qpos[env.task.start : env.task.start + 3] = geom_m
    env.data.qvel[-6:] = 0
    mujoco.mj_forward(env.model, env.data)


def test_sizes_lengths_and_rates(case):
    env, robot, name = case
    assert env.observation_space["privileged"].shape == (ORACLE[name],)
    assert env.observation_space["proprio"].shape == (2 * robot["actions"],)
    assert env.action_space.shape == (robot["actions"],)
    assert env.horizon == STEPS[name.split("_")[1]] and env.control_hz == 60
    assert env.model.opt.timestep * env.protocol.substeps == pytest.approx(1 / 60)
    assert not env.protocol.ends_at_success and env.task.success_steps == STREAK[name]


def test_proprioception_is_scaled_positions_and_a_tenth_of_the_speeds_clipped_to_five(case):
    env, robot, _ = case
    dof, (low, high) = robot["actions"], (env.robot.scale_low, env.robot.scale_high)
    env.data.qpos[:dof], env.data.qvel[:dof] = (3 * low + high) / 4, np.linspace(-80, 80, dof)
    proprio = env.observe()["proprio"]
    np.testing.assert_allclose(proprio[:dof], -0.5, atol=1e-6)
    np.testing.assert_allclose(proprio[dof:], np.clip(np.linspace(-8, 8, dof), -5, 5), atol=1e-6)
    assert np.abs(env.observe()["privileged"]).max() <= 5


def test_resets_are_drawn_around_the_published_posture(case):
    env, robot, _ = case
    home = np.array(robot["home"])
    low = np.clip(home - 0.125, env.robot.scale_low, env.robot.scale_high)
    high = np.clip(home + 0.125, env.robot.scale_low, env.robot.scale_high)
    seen = []
    for seed in range(120):
        env.reset(seed=seed)
        seen.append(env.data.qpos[: env.dof].copy())
        assert not env.data.qvel.any() and (env.protocol.target == seen[-1]).all()
    assert (np.min(seen, 0) >= low).all() and (np.max(seen, 0) <= high).all()
    wide = high - low > 0.02
    assert (np.ptp(seen, 0)[wide] > 0.85 * (high - low)[wide]).all()


def test_an_action_of_one_moves_each_target_by_the_published_increment(case):
    env, robot, _ = case
    env.protocol.target = (env.robot.scale_low + env.robot.scale_high) / 2
    before = env.protocol.target.copy()
    env.step(np.full(env.action_space.shape, 3.0))  # clipped to 1
    np.testing.assert_allclose(env.protocol.target - before, robot["increments"])
    for _ in range(60):
        env.protocol.apply(np.ones(env.action_space.shape), env.data, lambda n: None)
    np.testing.assert_array_equal(env.protocol.target, env.robot.scale_high)


def test_gains_and_efforts(case):
    env, _, name = case
    kp, kd = env.model.actuator_gainprm[:, 0], -env.model.actuator_biasprm[:, 2]
    top = env.model.actuator_forcerange[:, 1]
    assert (kp[:7] == 400).all() and (kd[:7] == 80).all()
    if name.startswith("franka"):
        assert (top[7:] == 200).all() and (
            kd[7:] == 100
        ).all()  # stiffness: 1e6 in Isaac, 2e4 here (protocols/pixmc.py)
    else:
        assert kp[7:].tolist() == [600, 600, 600, 1000] * 3 + [1000, 1000, 1000, 600]
        assert kd[7:].tolist() == [15, 20, 15, 15] * 3 + [30, 20, 20, 15] and (top[7:] == 0.7).all()
    assert (env.model.body_gravcomp[[env.model.body(link).id for link in env.robot.link_bodies[1:]]] == 1).all()


def test_the_wrist_camera_is_pixmcs(case):
    """120° across 298 pixels, cropped to the middle 224: 104.9°. It looks along the hand."""
    env, robot, _ = case
    body, at = robot["camera"]
    camera, hand = env.model.camera("wrist"), env.data.body(body)
    np.testing.assert_allclose(camera.pos, at)
    assert env.model.body(int(camera.bodyid[0])).name == body
    assert 112 / np.tan(np.radians(camera.fovy[0]) / 2) == pytest.approx(86.03, abs=0.01)  # fx of the crop, in pixels
    view = -env.data.camera("wrist").xmat.reshape(3, 3)[:, 2]
    np.testing.assert_allclose(hand.xmat.reshape(3, 3)[:, 2], view, atol=1e-6)


def test_base_table_and_cube(case):
    env, robot, name = case
    np.testing.assert_allclose(env.data.body("base").xpos, (1, 0, 0))
    np.testing.assert_allclose(env.data.body("base").xmat.reshape(3, 3)[:, 0], (-1, 0, 0), atol=1e-12)
    if "cabinet" not in name:
        table = env.model.geom("table")
        np.testing.assert_allclose([table.pos, table.size], [(0.5, 0, 0.2), (0.3, 0.5, 0.2)])
    if hasattr(env.task, "body"):
        cube = env.model.geom("object")
        np.testing.assert_allclose(2 * cube.size, robot["cube_m"])
        np.testing.assert_allclose(cube.rgba[:3], (0, 0.447, 0.741), atol=1e-6)
        assert env.model.body_mass[env.task.body] == pytest.approx(1000 * robot["cube_m"] ** 3)


def test_places_fill_the_published_boxes(case):
    env, robot, name = case
    task = name.split("_")[1]
    boxes = {
        "reach": [robot["reach"]],
        "pick": [((0.5, 0, 0.4 + robot["cube_m"] / 2), (0.1, 0.2, 0))],
        "cabinet": [((0.05, 0, 0.45), (0.075, 0.075, 0.05))],
    }
    boxes["move"] = boxes["pick"] + [((0.5, 0, 0.7), (0.1, 0.2, 0.1))]
    seen = [[] for _ in boxes[task]]
    for seed in range(120):
        env.reset(seed=seed)
        places = {"reach": ["goal"], "pick": ["object"], "move": ["object", "goal"], "cabinet": ["cabinet"]}[task]
        for points, body in zip(seen, places):
            points.append(env.data.body(body).xpos.copy())
        if "object" in places:
            np.testing.assert_allclose(env.data.body("object").xquat, (1, 0, 0, 0), atol=1e-9)  # no yaw
    for points, (middle, reach) in zip(seen, boxes[task]):
        off, reach = np.abs(np.array(points) - middle), np.array(reach)
        assert (off <= reach + 1e-9).all() and (off.max(0) >= 0.95 * reach).all()
        assert (np.ptp(points, axis=0) >= 1.9 * reach).all()


def test_the_oracle_sees_the_published_layout(case):
    env, robot, name = case
    task, data = name.split("_")[1], env.data
    tips = env.task.fingertips(data)
    palm = [data.body("palm").xpos] if name.startswith("kuka") else []
    bodies = [env.model.body(i).name for i in range(env.model.nbody)]
    at = {body: data.body(body).xpos for body in ("object", "goal") if body in bodies}
    if task == "reach":
        hand = tips.mean(0) if not palm else tips[0]
        wanted = [hand, at["goal"], at["goal"] - hand]
    elif task == "cabinet":
        handle = data.site("handle").xpos
        wanted = [*palm, *tips, handle, *(handle - tips), [0.4]]
    elif task == "pick":
        wanted = [*palm, *tips, at["object"], *(at["object"] - tips), [0.8 - at["object"][2]]]
    else:
        wanted = [*palm, *tips, at["object"], at["goal"], *(at["object"] - tips), at["goal"] - at["object"]]
    assert len(tips) == robot["tips"]
    np.testing.assert_allclose(env.observe()["privileged"][2 * env.dof :], np.concatenate(wanted), atol=1e-6)


def _arrange(env, name, good: bool):
    """A state just inside or just outside what PixMC's code counts as success."""
    task, just = name.split("_")[1], -0.001 if good else 0.001
    if task == "reach":
        env.data.mocap_pos[env.task.goal.slot] = env.task.hand(env.data) + (0.04 + just, 0, 0)
    elif task == "pick":
        put(env, (0.5, 0, 0.8 + 0.1 + just))
    elif task == "move":
        put(env, env.task.goal.at(env.data) + ((0.04 if name.startswith("franka") else 0.0675) + just, 0, 0))
    else:
        env.data.qpos[env.task.drawer] = 0.32 - just
    mujoco.mj_forward(env.model, env.data)


def test_success_is_what_pixmcs_code_counts_and_is_kept(case):
    env, _, name = case
    if name == "franka_cabinet":  # both fingers within 0.04 m of the handle, too
        env.task.fingertips = lambda data: env.task.handle(data) + np.array([[0, 0, 0.039], [0, 0, -0.039]])

    def step(good):
        _arrange(env, name, good)
        return env.task.evaluate(env.data, np.zeros(env.action_space.shape))[1]

    assert not any(step(False) for _ in range(12))
    needed = STREAK[name]
    if needed > 1:
        assert not any(step(True) for _ in range(needed - 1)) and not step(False)  # broken before the last
    assert [step(True) for _ in range(needed)] == [False] * (needed - 1) + [True]
    if "cabinet" in name:
        env.task.fingertips = lambda data: env.task.handle(data) + np.array([[0, 0, 0.041]] * len(env.task.fingers))
        assert step(True) == name.startswith("kuka")  # PixMC computes the Allegro hand's distance and doesn't use it
    env.success = True
    assert env.step(np.zeros(env.action_space.shape))[4]["success"]


def test_a_link_pressed_with_more_than_a_newton_ends_the_episode_and_success_does_not(case):
    env, _, _ = case
    links = [env.model.body(link).id for link in env.robot.link_bodies]
    assert (
        links == [env.model.body(f"link{i}").id for i in range(8)] and not env.step(np.zeros(env.action_space.shape))[2]
    )
    env.data.qpos[:7] = (0, 1.9, 0, 0, 0, 0, 0)  # the arm lies in the table, the cabinet, the floor
    mujoco.mj_forward(env.model, env.data)
    assert env.task.evaluate(env.data, np.zeros(env.action_space.shape))[2]


@pytest.mark.parametrize("name", [n for n in NAMES if n.endswith(("pick", "move"))])
def test_a_cube_that_fell_from_the_table_ends_the_episode(made, name):
    env, robot = made[name], ROBOTS[name.split("_")[0]]
    env.reset(seed=0)
    for below, ends in ((robot["fallen_m"] - 0.001, False), (robot["fallen_m"] + 0.001, True)):
        put(env, (0.1, 0, 0.4 - below))
        assert env.task.evaluate(env.data, np.zeros(env.action_space.shape))[2] == ends


def test_the_force_on_a_link_is_the_sum_of_its_contacts(made):
    env = made["franka_pick"]
    env.reset(seed=0)
    env.data.qpos[:7] = (0, 1.9, 0, 0, 0, 0, 0)
    mujoco.mj_forward(env.model, env.data)
    assert env.task._link_touches(env.data) and env.data.ncon > 3
    total, force = {}, np.zeros(6)
    for i, contact in enumerate(env.data.contact):
        mujoco.mj_contactForce(env.model, env.data, i, force)
        for sign, geom in zip((-1, 1), contact.geom):
            body = int(env.model.geom_bodyid[geom])
            total[body] = total.get(body, 0) + sign * contact.frame.reshape(3, 3).T @ force[:3]
    for link in env.task.links:
        np.testing.assert_allclose(env.data.cfrc_ext[link, 3:], total.get(link, np.zeros(3)), atol=1e-6)


@pytest.mark.parametrize("name", ["franka_reach", "kuka_reach"])
def test_time_up_is_truncation(made, name):
    env = made[name]
    env.reset(seed=0)
    env.steps = env.horizon - 1
    *_, terminated, truncated, _ = env.step(np.zeros(env.action_space.shape))
    assert truncated and not terminated

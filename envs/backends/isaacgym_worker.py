"""PixMC's FrankaPick in Isaac Gym Preview 4, behind the protocol of `messages`.

    python3.8 envs/backends/isaacgym_worker.py --fd 3

`backend=isaacgym` starts it with the interpreter of an environment that has Isaac Gym. It needs this file and
messages.py, NumPy, and isaacgym with the torch that isaacgym requires. The code is for Python 3.8. The rules are in
`FrankaPick`, in NumPy, and the tests run them over MuJoCo. The simulator is in `IsaacScene`, which is written from
Isaac Gym's interface and was never run by us.
"""

import argparse
import importlib
import math
import os
import signal
import socket
import sys

import numpy as np

# As a script of another Python this file's folder is the first on the path.
messages = importlib.import_module("envs.backends.messages" if __package__ else "messages")

NAMES = ("franka_pick_pixmc",)
LOW = np.array([-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973, 0.0, 0.0])
HIGH = np.array([2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973, 0.04, 0.04])
HOME = np.array([1.157, -1.066, -0.155, -2.239, -1.841, 1.003, 0.469, 0.035, 0.035])
STEP = np.array([7.5 / 60] * 7 + [0.1 * 7.5 / 60] * 2)
"""An action of 1.0 adds this to a joint's target."""
CONTROL_HZ, HORIZON, SUCCESS_STEPS = 60.0, 500, 10
HALF_M, TABLE_Z_M, GOAL_Z_M = 0.0225, 0.4, 0.8
GRASP_M = 0.045
"""The grasp point along the z axis of a finger."""
ACTIONS = ["d_joint%d" % i for i in range(1, 8)] + ["d_left_finger_joint", "d_right_finger_joint"]


def start_of(seed):
    """(q (9,), cube (3,)) of the episode `seed`, as `envs.make("franka_pick_pixmc").reset(seed=seed)` draws them."""
    rng = np.random.default_rng(seed)
    q = np.clip(HOME + rng.uniform(-0.125, 0.125, 9), LOW, HIGH)
    return q, np.array([0.5 + rng.uniform(-0.1, 0.1), rng.uniform(-0.2, 0.2), TABLE_Z_M + HALF_M])


class FrankaPick:
    """The task's rules for `num_envs` slots over a scene: protocol, observation, reward, success and ends (MVP, PixMC).

    A scene has the state after each slot's last step: `q`, `dq` (N, 9), `cube` (N, 13: position, quaternion xyzw,
    velocities), `tips` (N, 2, 3) and `force` (N,), the greatest contact force on an arm link in N. `place(indices, q,
    dq, cube)` sets the state of slots, `advance(targets, active)` steps the active ones by 1/60 s, `pictures(size)`
    gives uint8 (N, size, size, 3).
    """

    def __init__(self, fields, make_scene):
        if fields["name"] not in NAMES:
            raise messages.Refused(
                "env=%r does not exist with backend=isaacgym; there are: %s" % (fields["name"], ", ".join(NAMES))
            )
        self.n, self.size = int(fields["num_envs"]), int(fields["image_size"])
        self.with_privileged, self.with_render = bool(fields["privileged"]), bool(fields["render"])
        self.scene = make_scene(fields)
        self.targets = np.tile(HOME, (self.n, 1))
        self.streak, self.steps = np.zeros(self.n, np.int64), np.zeros(self.n, np.int64)
        self.success = np.zeros(self.n, bool)
        self.spec = {
            "action_dim": 9,
            "proprio_dim": 18,
            "privileged_dim": 34,
            "control_hz": CONTROL_HZ,
            "horizon": HORIZON,
            "action_names": ACTIONS,
        }

    def reset(self, seeds, indices):
        """Starts an episode in each slot of `indices` (k,), with seeds (k,)."""
        starts = [start_of(int(seed)) for seed in seeds]
        if starts:
            q, cube = (np.array(part) for part in zip(*starts))
            self.targets[indices] = q
            self.streak[indices], self.steps[indices], self.success[indices] = 0, 0, False
            still = np.concatenate([cube, np.tile([0, 0, 0, 1.0], (len(q), 1)), np.zeros((len(q), 6))], 1)
            self.scene.place(indices, q, np.zeros_like(q), still)
        return self.observe()

    def step(self, actions, active):
        """One control step of the active slots, actions (N, 9)."""
        actions = np.clip(actions.astype(np.float64), -1, 1)
        moved = np.clip(self.targets + STEP * actions, LOW, HIGH)
        self.targets = np.where(active[:, None], moved, self.targets)
        self.scene.advance(self.targets, active)
        self.steps += active
        z = self.scene.cube[:, 2]
        self.streak = np.where(active, (self.streak + 1) * (np.abs(GOAL_Z_M - z) <= 0.1), self.streak)
        self.success |= active & (self.streak >= SUCCESS_STEPS)
        failed = (z < TABLE_Z_M - 0.04) | (self.scene.force > 1.0)
        out = self.observe()
        out.update(
            reward=np.where(active, self.reward(actions), 0.0),
            terminated=active & failed,
            truncated=active & (self.steps >= HORIZON) & ~failed,
            success=self.success.copy(),
            steps=self.steps.copy(),
        )
        return out

    def reward(self, actions):
        """(N,): each finger's nearness, lift bonus, height, height bonus, action penalty."""
        cube = self.scene.cube[:, :3]
        distance = np.maximum(np.linalg.norm(self.scene.tips - cube[:, None], axis=2), 0.02)
        lifted, to_go = cube[:, 2] - (TABLE_Z_M + HALF_M) > 0.015, np.abs(GOAL_Z_M - cube[:, 2])
        return (
            np.sum(0.08 / (0.04 + distance), axis=1)
            + 4 * 0.5 * lifted
            + 1.28 * lifted / (0.04 + to_go)
            + 4 * 0.5 * (to_go <= 0.04)
            - 0.01 * np.sum(np.square(actions), axis=1)
        )

    def observe(self):
        cube, tips = self.scene.cube[:, :3], self.scene.tips
        parts = [2 * (self.scene.q - LOW) / (HIGH - LOW) - 1, 0.1 * self.scene.dq]
        if self.with_privileged:
            parts += [tips.reshape(self.n, 6), cube, (cube[:, None] - tips).reshape(self.n, 6), GOAL_Z_M - cube[:, 2:]]
        seen = np.clip(np.concatenate(parts, 1), -5, 5).astype("<f4")
        shape = (self.n, self.size, self.size, 3)
        out = {
            "rgb": self.scene.pictures(self.size) if self.with_render else np.zeros(shape, np.uint8),
            "proprio": seen[:, :18],
        }
        if self.with_privileged:
            out["privileged"] = seen
        return out

    def get_state(self):
        """Joints, cube, targets and counters. PhysX's contacts are not included, so a motion continues nearly
        exactly."""
        return {
            "q": self.scene.q.astype("<f8"),
            "dq": self.scene.dq.astype("<f8"),
            "cube": self.scene.cube.astype("<f8"),
            "targets": self.targets,
            "streak": self.streak,
            "steps": self.steps,
            "success": self.success,
        }

    def set_state(self, state):
        self.targets, self.streak, self.steps = state["targets"].copy(), state["streak"].copy(), state["steps"].copy()
        self.success = state["success"].copy()
        self.scene.place(np.arange(self.n), state["q"], state["dq"], state["cube"])
        return self.observe()

    def close(self):
        self.scene.close()


class IsaacScene:
    """The simulation: Franka, table and cube in each environment, PhysX with PixMC's settings, the wrist camera.

    Isaac Gym steps all environments at once, so an inactive one gets its old state back before the next step. Isaac
    Gym's body states are those of the last step, so `place` takes a step with the new slots (1/60 s at rest).
    """

    def __init__(self, fields):
        try:
            import isaacgym  # before torch: it refuses the other order
            from isaacgym import gymapi, gymtorch
        except ImportError as error:
            raise messages.Refused(
                "Python %d.%d at %s has no Isaac Gym (%s): give in env.python= the interpreter of an environment "
                "(Python 3.6 to 3.8) in which NVIDIA's Isaac Gym Preview 4 is installed. backend=mujoco_warp needs none"
                % (sys.version_info[0], sys.version_info[1], sys.executable, error)
            ) from error
        import torch

        self.api, self.wrap, self.unwrap, self.torch = gymapi, gymtorch.wrap_tensor, gymtorch.unwrap_tensor, torch
        self.n, self.size, self.draws = int(fields["num_envs"]), int(fields["image_size"]), bool(fields["render"])
        self.gpu = torch.cuda.is_available()
        self.device = "cuda:0" if self.gpu else "cpu"
        self.gym = gymapi.acquire_gym()
        self.sim = self.gym.create_sim(0, 0 if self.draws else -1, gymapi.SIM_PHYSX, self._parameters())
        if self.sim is None:
            raise messages.Refused("Isaac Gym could not create a simulation on %s" % self.device)
        plane = gymapi.PlaneParams()
        plane.normal = gymapi.Vec3(0, 0, 1)
        self.gym.add_ground(self.sim, plane)
        self._build(os.path.join(os.path.dirname(isaacgym.__file__), "..", "..", "assets"))
        self.gym.prepare_sim(self.sim)
        self._tensors()

    def _parameters(self):
        p = self.api.SimParams()
        p.dt, p.substeps, p.up_axis, p.gravity = 1 / 60, 1, self.api.UP_AXIS_Z, self.api.Vec3(0, 0, -9.81)
        p.use_gpu_pipeline = p.physx.use_gpu = self.gpu
        p.physx.solver_type, p.physx.num_position_iterations, p.physx.num_velocity_iterations = 1, 12, 1
        p.physx.contact_offset, p.physx.rest_offset = 0.005, 0.0
        p.physx.bounce_threshold_velocity, p.physx.max_depenetration_velocity = 0.2, 1000.0
        return p

    def _build(self, assets):
        gym, api = self.gym, self.api
        options = api.AssetOptions()
        options.fix_base_link = options.disable_gravity = options.flip_visual_attachments = True
        options.collapse_fixed_joints, options.thickness = False, 0.001
        franka = gym.load_asset(self.sim, assets, "urdf/franka_description/robots/franka_panda.urdf", options)
        fixed = api.AssetOptions()
        fixed.fix_base_link = True
        table = gym.create_box(self.sim, 0.6, 1.0, 0.4, fixed)
        cube = gym.create_box(self.sim, 2 * HALF_M, 2 * HALF_M, 2 * HALF_M, api.AssetOptions())
        motors = gym.get_asset_dof_properties(franka)
        motors["driveMode"][:] = api.DOF_MODE_POS
        motors["stiffness"][:7], motors["damping"][:7] = 400.0, 80.0
        motors["stiffness"][7:], motors["damping"][7:], motors["effort"][7:] = 1e6, 1e2, 200.0
        behind = self._pose(1.0, 0.0, 0.0, api.Quat(0, 0, 1, 0))
        rows = int(math.sqrt(self.n)) or 1
        self.envs, self.cameras, robots, cubes, links, fingers = [], [], [], [], [], []
        for i in range(self.n):
            env = gym.create_env(self.sim, api.Vec3(-1.5, -1.5, 0), api.Vec3(1.5, 1.5, 1.5), rows)
            robot = gym.create_actor(env, franka, behind, "franka", i, 0, 0)
            gym.set_actor_dof_properties(env, robot, motors)
            gym.create_actor(env, table, self._pose(0.5, 0.0, 0.2), "table", i, 0, 0)
            thing = gym.create_actor(env, cube, self._pose(0.5, 0.0, TABLE_Z_M + HALF_M), "cube", i, 0, 0)
            gym.set_rigid_body_color(env, thing, 0, api.MESH_VISUAL, api.Vec3(0.0, 0.447, 0.741))
            body = lambda name: gym.find_actor_rigid_body_index(env, robot, name, api.DOMAIN_SIM)  # noqa: B023
            links.append([body("panda_link%d" % k) for k in range(8)])
            fingers.append([body("panda_leftfinger"), body("panda_rightfinger")])
            robots.append(gym.get_actor_index(env, robot, api.DOMAIN_SIM))
            cubes.append(gym.get_actor_index(env, thing, api.DOMAIN_SIM))
            self.envs.append(env)
            if self.draws:
                self.cameras.append(self._camera(env, robot))
        index = lambda rows, kind: self.torch.tensor(rows, dtype=kind, device=self.device)
        self.robots, self.cubes = index(robots, self.torch.int32), index(cubes, self.torch.int32)
        self.links, self.fingers = index(links, self.torch.int64), index(fingers, self.torch.int64)

    def _pose(self, x, y, z, turn=None):
        pose = self.api.Transform()
        pose.p = self.api.Vec3(x, y, z)
        if turn is not None:
            pose.r = turn
        return pose

    def _camera(self, env, robot):
        """PixMC's camera at our size: 120 degrees over 298 pixels, of which the middle 224 are kept, are 104.9
        degrees."""
        api = self.api
        props = api.CameraProperties()
        props.width = props.height = self.size
        props.horizontal_fov = math.degrees(2 * math.atan(math.tan(math.radians(60)) * 224 / 298))
        props.supersampling_horizontal = props.supersampling_vertical = 2
        camera = self.gym.create_camera_sensor(env, props)
        hand = self.gym.find_actor_rigid_body_handle(env, robot, "panda_hand")
        place = self._pose(0.04, 0.0, 0.045, api.Quat.from_euler_zyx(math.pi, -math.pi / 2, 0.0))
        self.gym.attach_camera_to_body(camera, env, hand, place, api.FOLLOW_TRANSFORM)
        return camera

    def _tensors(self):
        gym, sim, n = self.gym, self.sim, self.n
        self.root = self.wrap(gym.acquire_actor_root_state_tensor(sim))
        self.joints = self.wrap(gym.acquire_dof_state_tensor(sim)).view(n, 9, 2)
        self.bodies = self.wrap(gym.acquire_rigid_body_state_tensor(sim))
        self.contacts = self.wrap(gym.acquire_net_contact_force_tensor(sim))
        self.q, self.dq, self.cube = np.tile(HOME, (n, 1)), np.zeros((n, 9)), np.zeros((n, 13))
        self.tips, self.force = np.zeros((n, 2, 3)), np.zeros(n)
        self.pixels = np.zeros((n, self.size, self.size, 3), np.uint8)
        self.astray = np.ones(n, bool)  # slots whose state in the simulator differs from the one here

    def place(self, indices, q, dq, cube):
        self.q[indices], self.dq[indices], self.cube[indices] = q, dq, cube
        chosen = np.zeros(self.n, bool)
        chosen[indices] = True
        self.astray |= chosen
        self.advance(self.q, chosen)

    def advance(self, targets, active):
        tensor = lambda values: self.torch.tensor(values, dtype=self.torch.float32, device=self.device)
        gym, sim, which = self.gym, self.sim, np.flatnonzero(self.astray)
        self._refresh()
        # Slots that were placed, or that moved although they were inactive, get their state from here.
        if len(which):
            rows = self.torch.tensor(which, device=self.device)
            self.joints[rows] = tensor(np.stack([self.q[which], self.dq[which]], 2))
            self.root[self.cubes[rows].long()] = tensor(self.cube[which])
            robots, cubes = self.robots[rows].contiguous(), self.cubes[rows].contiguous()
            gym.set_dof_state_tensor_indexed(sim, self.unwrap(self.joints), self.unwrap(robots), len(which))
            gym.set_actor_root_state_tensor_indexed(sim, self.unwrap(self.root), self.unwrap(cubes), len(which))
        targets = tensor(targets).contiguous()  # the name keeps the tensor alive while Isaac Gym reads it
        gym.set_dof_position_target_tensor(sim, self.unwrap(targets))
        gym.simulate(sim)
        gym.fetch_results(sim, True)
        self._refresh()
        self._read(active)
        self.astray = ~active

    def _refresh(self):
        self.gym.refresh_dof_state_tensor(self.sim)
        self.gym.refresh_actor_root_state_tensor(self.sim)
        self.gym.refresh_rigid_body_state_tensor(self.sim)
        self.gym.refresh_net_contact_force_tensor(self.sim)

    def _read(self, active):
        host = lambda values: values.double().cpu().numpy()[active]
        self.q[active], self.dq[active] = host(self.joints[..., 0]), host(self.joints[..., 1])
        fingers = host(self.bodies[self.fingers])  # positions are relative to each environment's origin
        x, y, z, w = np.moveaxis(fingers[..., 3:7], -1, 0)
        along = np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], -1)  # the finger's z axis
        self.tips[active] = fingers[..., :3] + GRASP_M * along
        self.cube[active] = host(self.root[self.cubes.long()])
        self.force[active] = host(self.contacts[self.links].norm(dim=2).max(dim=1).values)
        if self.draws:
            self.gym.step_graphics(self.sim)
            self.gym.render_all_camera_sensors(self.sim)
            for i in np.flatnonzero(active):
                image = self.gym.get_camera_image(self.sim, self.envs[i], self.cameras[i], self.api.IMAGE_COLOR)
                self.pixels[i] = np.asarray(image).reshape(self.size, self.size, 4)[..., :3]

    def pictures(self, size):
        return self.pixels.copy()

    def close(self):
        self.gym.destroy_sim(self.sim)


def main():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the client decides what Ctrl-C means
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fd", type=int, required=True, help="the socket to the client, inherited from it")
    messages.serve(socket.socket(fileno=parser.parse_args().fd), lambda fields: FrankaPick(fields, IsaacScene))


if __name__ == "__main__":
    main()

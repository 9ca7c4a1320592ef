"""Pick: lift a cube from the table (PixMC's FrankaPick and KukaPick; MVP, arXiv 2203.06173, TASKS.md and its code)."""

import mujoco
import numpy as np

from envs.tasks.hands import HANDS

TABLE_Z_M = 0.4


class Pick:
    """A table 0.6 × 1.0 × 0.4 m, the robot's base 0.5 m behind its middle, a cube on it: 45 mm, 60 mm for the
    Allegro hand.

    Reset: cube at x 0.5 ± 0.1, y ± 0.2 (PixMC's ranges), yaw at random at the real-arm protocol and 0 at PixMC's; arm
    at home ± 0.125 rad a joint. Success: the cube's centre within 0.1 m of 0.4 m above the table (|z - 0.8| ≤ 0.1)
    for 0.5 s at the real-arm protocol, where the episode then ends; for 10 consecutive steps at PixMC's, where it runs
    on until time is up, an arm link touches anything with more than 1 N, or the cube falls below the table.
    """

    name = "pick"
    base_pos = "1 0 0"
    base_quat = "0 0 0 1"
    half_m = HANDS["parallel"].cube_half_m
    table_z_m = TABLE_Z_M
    goal_z_m = 0.8
    goal_tolerance_m = 0.1
    lift_point_m = (0.60, 0.0, 0.77)
    """Where an expert carries the cube, world frame: 0.03 m below the goal height, where the arm still reaches well."""
    protocols = ("real_arm", "pixmc")
    """Names of the protocols that the task is offered at."""
    privileged_names = ("q (dof)", "dq (dof)", "left fingertip (3)", "right fingertip (3)", "cube (3)",
                        "left to cube (3)", "right to cube (3)", "height to go (1)")
    """Of a parallel gripper; an instance has its robot's."""

    @classmethod
    def mjcf(cls, robot) -> str:
        half_m = HANDS[robot.hand].cube_half_m
        return f"""
<geom name="table" type="box" pos="0.5 0 0.2" size="0.3 0.5 0.2" material="table" contype="2" conaffinity="5"
      friction="1 0.005 0.0001"/>
<body name="object" pos="0.5 0 {TABLE_Z_M + half_m}">
  <freejoint name="object"/>
  <geom name="object" type="box" size="{half_m} {half_m} {half_m}" density="1000" condim="4"
        friction="1 0.005 0.0001" solref="0.01 1" solimp="0.95 0.99 0.001" contype="4" conaffinity="3"/>
</body>"""

    def __init__(self, model: mujoco.MjModel, robot, protocol):
        self.model, self.robot, self.protocol = model, robot, protocol
        self.hand = HANDS[robot.hand]
        self.half_m = self.hand.cube_half_m
        self.body = model.body("object").id
        self.geom = model.geom("object").id
        self.start = model.joint("object").qposadr[0]
        self.fingers = [model.body(name).id for name in robot.finger_bodies]
        self.grasps_m = robot.grasp_points_m()
        self.palm = [model.body("palm").id] if self.hand.palm else []
        self.privileged_names = (
            "q (dof)", "dq (dof)", *["palm (3)"][:len(self.palm)], *(f"{name} fingertip (3)" for name in self.hand.fingers),
            "cube (3)", *(f"{name} to cube (3)" for name in self.hand.fingers), "height to go (1)")
        links = {model.body(name).id for name in robot.link_bodies}
        self.link_geom = np.array([model.geom_bodyid[g] in links for g in range(model.ngeom)])
        self.streak = 0

    def reset(self, data, rng: np.random.Generator) -> None:
        x, y = 0.5 + rng.uniform(-0.1, 0.1), rng.uniform(-0.2, 0.2)
        yaw = rng.uniform(-np.pi, np.pi) if self.protocol.random_yaw else 0.0
        data.qpos[self.start:self.start + 7] = (
            x, y, self.table_z_m + self.half_m, np.cos(yaw / 2), 0, 0, np.sin(yaw / 2))
        self.streak = 0

    def fingertips(self, data) -> np.ndarray:
        """(fingers, 3) grasp points, world frame, metres."""
        return np.stack([data.xpos[b] + data.xmat[b].reshape(3, 3) @ m for b, m in zip(self.fingers, self.grasps_m)])

    def privileged(self, data) -> np.ndarray:
        """What PixMC's oracle adds to proprio, (16,) or (31,) with the Allegro hand, whose palm comes first; plus the cube's
        rotation (first two columns, 6) at the real-arm protocol, where its yaw is random."""
        tips, cube = self.fingertips(data), data.xpos[self.body]
        parts = [*data.xpos[self.palm], *tips, cube, *(cube - tips), [self.goal_z_m - cube[2]]]
        if self.protocol.random_yaw:
            parts.append(data.xmat[self.body].reshape(3, 3)[:, :2].T.reshape(-1))
        return np.concatenate(parts)

    def evaluate(self, data, action) -> tuple[float, bool, bool]:
        """(reward, success now complete, failed) after a step."""
        tips, cube = self.fingertips(data), data.xpos[self.body]
        height = abs(self.goal_z_m - cube[2])
        self.streak = self.streak + 1 if height <= self.goal_tolerance_m else 0
        failed = self.protocol.ends_at_failure and (cube[2] < self.table_z_m - self.hand.fallen_m or self._link_touches(data))
        return self.reward(tips, cube, action), self.streak >= self.protocol.success_steps, failed

    def reward(self, tips, cube, action) -> float:
        """PixMC's: reach w/(0.04+d) a finger, lift bonus, height, height bonus, action penalty."""
        hand = self.hand
        distance = np.maximum(np.linalg.norm(tips - cube, axis=1), hand.reach_floor_m)
        height = abs(self.goal_z_m - cube[2])
        lifted = cube[2] - (self.table_z_m + self.half_m) > hand.lifted_m
        return float(np.sum(hand.reach_weights / (0.04 + distance)) + 4 * 0.5 * lifted + 1.28 * lifted / (0.04 + height)
                     + 4 * 0.5 * (height <= hand.at_goal_m) - 0.01 * np.sum(np.square(action)))

    def _link_touches(self, data) -> bool:
        force = np.zeros(6)
        for i in range(data.ncon):
            if self.link_geom[data.contact.geom[i]].any():
                mujoco.mj_contactForce(self.model, data, i, force)
                if np.linalg.norm(force[:3]) > 1.0:
                    return True
        return False

    def state(self) -> np.ndarray:
        return np.array([self.streak], np.float64)

    def restore(self, state) -> None:
        self.streak = int(state[0])


class CubePick(Pick):
    """`Pick` as it is judged beside a real arm: the cube clear of the table and in the hand for half a second.

    Success: the cube's centre 0.1 to 0.3 m above the table for 0.5 s (a cube thrown into that band falls out of it
    within 0.41 s). Rewards as PixMC's, with the goal in the middle of the band. Cube, table, ranges and yaw are
    `Pick`'s: the paper varies position and orientation over 16 trials and publishes no ranges (Sec. 4.6).
    """

    name = "cube"
    goal_z_m = 0.6
    lift_point_m = (0.55, 0.0, 0.6)
    protocols = ("deployment",)

"""Pick a cube from memory: it shows for half a second, then a cover hides it (`franka_pick_hidden`). Our own task."""

import mujoco
import numpy as np

from envs.tasks.pick import Pick

_PARKED_M = (0.0, 0.0, -1.0)


class PickHidden(Pick):
    """`Pick` with a 40 mm cube that is seen first and hidden afterwards, while the arm is held at its home.

    Reset: cube as in `Pick`, the arm exactly at its home. For the first `shown_s` the table is open to view. Then a
    cover as large as the table lies on it: a box that is only seen and that the hand passes through. It is always in
    the same place and hides the whole table, so it tells nothing. It is higher than the cube on its edge, and lower
    than the camera of a hand that grasps the cube. The cube is drawn again when its highest point is above the cover,
    which means that it is lifted.

    The arm is held while the cube shows and for `hidden_s` after that, drawn in each episode. While it is held no
    action is executed: the arm stays where it is, with the fingers open. A red plate lies on the cover as long as the
    arm is held, and it is gone when the arm is free. Without that sign no policy could tell the last step of the hold
    from the first step of the motion, because nothing else changes. The plate says when to move, and never where.

    Success: as in `Pick`.
    """

    name = "pick_hidden"
    protocols = ("deployment",)
    half_m = 0.02
    shown_s = 0.5
    hidden_s = (1.0, 3.0)
    cover_m = (0.31, 0.51, 0.03)
    """Half sizes of the cover."""
    privileged_names = (*Pick.privileged_names[:-1], "height to go (1)", "free (1)")
    _hands = {"parallel": {}}
    painted = Pick.painted | {"cover": ("table_rgb", (0.42, 0.40, 0.46)), "plate": ("object_rgb", (0.75, 0.1, 0.1))}

    @classmethod
    def mjcf(cls) -> str:
        parked, seen = " ".join(map(str, _PARKED_M)), 'contype="0" conaffinity="0"'
        return (
            super().mjcf()
            + f"""
<body name="cover" mocap="true" pos="{parked}">
  <geom name="cover" type="box" size="{" ".join(map(str, cls.cover_m))}" {seen}/>
</body>
<body name="plate" mocap="true" pos="{parked}">
  <geom name="plate" type="box" size="0.06 0.06 0.001" {seen}/>
</body>"""
        )

    def __init__(self, model: mujoco.MjModel, robot, protocol):
        super().__init__(model, robot, protocol)
        self.cover, self.plate = model.body("cover").mocapid[0], model.body("plate").mocapid[0]
        self.shown_steps = round(self.shown_s * protocol.control_hz)
        self.hidden_steps = 0
        """How long the arm is held after the cube is hidden."""
        self.stay = np.append(np.zeros(len(robot.arm_joints)), 1.0)
        """(A,) the action that is executed while the arm is held, and the expert's label."""
        self._draw_from(0.005)  # the default, 27 mm, would clip the cover below a hand that grasps

    def start_rad(self, rng: np.random.Generator) -> np.ndarray:
        return self.home_rad()

    def place(self, data, rng: np.random.Generator) -> None:
        super().place(data, rng)
        low, high = (round(s * self.protocol.control_hz) for s in self.hidden_s)
        self.hidden_steps = int(rng.integers(low, high + 1))

    def covered(self, data) -> bool:
        """Whether the cover lies on the table."""
        return self._step(data) >= self.shown_steps

    def held(self, data) -> bool:
        """Whether the arm is held in the step that begins now."""
        return self._step(data) < self.shown_steps + self.hidden_steps

    def _step(self, data) -> int:
        return round(data.time * self.protocol.control_hz)

    def executed(self, data, action: np.ndarray) -> np.ndarray:
        return self.stay.copy() if self.held(data) else action

    def dress(self, data) -> None:
        covered = self.covered(data)
        top_m = self.table_z_m + 2 * self.cover_m[2]
        at = (0.5, 0.0, self.table_z_m + self.cover_m[2])
        data.mocap_pos[self.cover] = at if covered else _PARKED_M
        data.mocap_pos[self.plate] = (0.5, 0.0, top_m + 0.001) if covered and self.held(data) else _PARKED_M
        # A camera in the cover, or so near that the cover is clipped, must not see what lies under it.
        self.model.geom_rgba[self.geom, 3] = 1.0 if not covered or self._top_m(data) > top_m else 0.0

    def _top_m(self, data) -> float:
        """Height of the cube's highest point. It is computed from the joint, which a step brings up to date first."""
        turn = np.zeros(9)
        mujoco.mju_quat2Mat(turn, data.qpos[self.start + 3 : self.start + 7])
        return float(data.qpos[self.start + 2] + self.half_m * np.abs(turn[6:]).sum())

    def privileged(self, data) -> np.ndarray:
        """`Pick`'s numbers, then whether the arm is free (1,), then the cube's rotation (6,)."""
        plain, rotation = super().privileged(data), self._rotation(data)
        return np.concatenate([plain[: len(plain) - 6 * len(rotation)], [float(not self.held(data))], *rotation])

    def state(self) -> np.ndarray:
        return np.array([self.streak, self.hidden_steps], np.float64)

    def restore(self, state) -> None:
        self.streak, self.hidden_steps = int(state[0]), int(state[1])

"""Pick one of three objects: a card in the wrist camera's picture has the colour of the object to lift.

Our own task (`franka_pick_clutter`). Colour alone does not say where the object is: every colour is drawn anew, and the
same card appears with every position of the object. Only the card together with the table names the object.
"""

import colorsys

import mujoco
import numpy as np

from envs.tasks.pick import Pick
from envs.tasks.task import GRIPPER_SEES, TABLE, TABLE_Z_M

_SHAPES = {
    "cube": ((0.0225, 0.0225),),
    "brick": ((0.015, 0.0275),),
    "cross": ((0.0275, 0.0095), (0.0095, 0.0275)),
}
"""Half sizes in x and y of the boxes that make a shape. All shapes are as high as `Pick`'s cube, and the open hand fits
around each at any yaw."""
_SOLID = 'condim="4" friction="1 0.005 0.0001" solref="0.01 1" solimp="0.95 0.99 0.001" contype="12" conaffinity="11"'
_INERTIA = '<inertial pos="0 0 0" mass="0.091125" diaginertia="3.0755e-05 3.0755e-05 3.0755e-05"/>'
"""Those of `Pick`'s cube, for every shape."""
_CARD_AT = (0.66, -0.80, 0.008)
"""Where the card's middle is in the camera's picture: right and up as shares of half the picture, then metres from the
camera."""
_CARD_HALF = (0.28, 0.14)
"""Half of the card's width and height, as shares of half the picture."""
_GREY = (0.5, 0.5, 0.5)


class PickClutter(Pick):
    """`Pick`'s table with a cube, a brick and a cross on it. The card names one of them, and that one has to be lifted.

    Reset: the three positions are uniform in `Pick`'s range, redrawn until every two are `apart_m` or more from each
    other, with any yaw. Three hues a third of the circle apart (± 25°), of any first hue, strong and bright, go to the
    objects in a random order. One object of the three is the target, with equal probability. The card has its colour.
    The task draws the colours of the objects and of the card, so no look changes them. Light, exposure and noise act on
    card and objects alike. The card is fixed to the camera's mount, at the hand's edge of the picture. Where a look
    moves the camera, the card moves along.

    Success: the target is lifted as in `Pick`. Another object that is `wrong_m` above its place on the table ends the
    episode without success, so a policy has one choice in an episode. Three objects, and not four: their positions stay
    free at the distance that the open hand needs, and a guess is right in one third of the episodes.
    """

    name = "pick_clutter"
    protocols = ("deployment",)
    apart_m = 0.12
    """The open hand reaches 0.063 m to each side and an object 0.032 m, so the hand touches only what it grasps."""
    wrong_m = 0.05
    card_at, card_half, card_grey_rgb = _CARD_AT, _CARD_HALF, _GREY
    hue_spread = 25 / 360
    saturation_range, value_range = (0.7, 1.0), (0.6, 1.0)
    privileged_names = (
        *GRIPPER_SEES,
        "target (3)",
        "left to target (3)",
        "right to target (3)",
        "height to go (1)",
        "the others (2 × 3)",
    )
    _hands = {"parallel": {}}
    painted = {"table": ("table_rgb", None)}

    @classmethod
    def mjcf(cls) -> str:
        return TABLE + "".join(
            f"""
<body name="{shape}" pos="0.5 {0.15 * i - 0.15} {TABLE_Z_M + cls.half_m}">
  <freejoint name="{shape}"/>{_INERTIA}"""
            + "".join(
                f"""
  <geom name="{shape}{k}" type="box" size="{x} {y} {cls.half_m}" {_SOLID}/>"""
                for k, (x, y) in enumerate(boxes)
            )
            + "\n</body>"
            for i, (shape, boxes) in enumerate(_SHAPES.items())
        )

    @classmethod
    def hand_mjcf(cls) -> str:
        """The card. `dress` gives it its pose; a pose of its own here, because MuJoCo compiles a geom without one to
        stay in its body's frame."""
        return (
            '<geom name="card" type="box" size="0.004 0.004 0.0004" pos="0.029 0.009 0.056" xyaxes="0 1 0 1 0 0" '
            'mass="0" contype="0" conaffinity="0"/>\n  '
        )

    def __init__(self, model: mujoco.MjModel, robot, protocol):
        super(Pick, self).__init__(model, robot, protocol)
        self.bodies = [model.body(shape).id for shape in _SHAPES]
        self.starts = [int(model.joint(shape).qposadr[0]) for shape in _SHAPES]
        self.camera, self.card = model.camera("wrist").id, model.geom("card").id
        self.fovy_rad = np.radians(float(model.cam_fovy[self.camera]))
        self.grey = False
        self.rgb = np.zeros((len(_SHAPES), 3))
        """The colour of each object."""
        self._choose(0)
        self._draw_from(0.005)  # the card is nearer than 21 mm, the default

    def _choose(self, target: int) -> None:
        self.target = target
        self.body, self.start = self.bodies[target], self.starts[target]
        self.others = [body for body in self.bodies if body != self.body]

    def make_card_grey(self) -> None:
        self.grey = True

    def place(self, data, rng: np.random.Generator) -> None:
        self._choose(int(rng.integers(len(_SHAPES))))
        self.rgb = self._colours(rng)
        for start, (x, y) in zip(self.starts, self._places(rng)):
            yaw = rng.uniform(-np.pi, np.pi)
            data.qpos[start : start + 7] = (x, y, self.table_z_m + self.half_m, np.cos(yaw / 2), 0, 0, np.sin(yaw / 2))

    def _places(self, rng: np.random.Generator) -> np.ndarray:
        """(3, 2) positions on the table. All are drawn again until they are apart, so none is privileged."""
        while True:
            places = (0.5, 0.0) + rng.uniform(-1, 1, (len(_SHAPES), 2)) * (0.1, 0.2)
            between = np.linalg.norm(places[:, None] - places, axis=-1)
            if (between + np.eye(len(places)) >= self.apart_m).all():
                return places

    def _colours(self, rng: np.random.Generator) -> np.ndarray:
        """(3, 3) RGB colours, in an order that is random because the first hue is."""
        n = len(_SHAPES)
        hues = rng.uniform() + np.arange(n) / n + rng.uniform(-1, 1, n) * self.hue_spread
        return np.array(
            [
                colorsys.hsv_to_rgb(hue % 1, rng.uniform(*self.saturation_range), rng.uniform(*self.value_range))
                for hue in hues
            ]
        )

    def dress(self, data) -> None:
        model = self.model
        for body, rgb in zip(self.bodies, self.rgb):
            model.geom_rgba[model.geom_bodyid == body] = (*rgb, 1.0)
        model.geom_rgba[self.card] = (*(self.card_grey_rgb if self.grey else self.rgb[self.target]), 1.0)
        # The card keeps its place in the picture: it is fixed to the camera, and both to the hand.
        right, up, distance_m = self.card_at
        half_m = distance_m * np.tan(self.fovy_rad / 2)
        turn = np.zeros(9)
        mujoco.mju_quat2Mat(turn, model.cam_quat[self.camera])
        offset_m = turn.reshape(3, 3) @ (right * half_m, up * half_m, -distance_m)
        model.geom_pos[self.card] = model.cam_pos[self.camera] + offset_m
        model.geom_quat[self.card] = model.cam_quat[self.camera]
        model.geom_size[self.card, :2] = half_m * np.array(self.card_half)
        model.geom_rbound[self.card] = np.linalg.norm(model.geom_size[self.card])

    def evaluate(self, data, action) -> tuple[float, bool, bool]:
        reward, done, failed = super().evaluate(data, action)
        wrong = bool((data.xpos[self.others, 2] > self.table_z_m + self.half_m + self.wrong_m).any())
        return reward, done and not wrong, failed or wrong

    def privileged(self, data) -> np.ndarray:
        """`Pick`'s numbers of the target, the positions of the others (6,), and the target's rotation (6,)."""
        target = data.xpos[self.body]
        parts = [*self.hand_points(data), target, *(target - self.fingertips(data)), [self.goal_z_m - target[2]]]
        return np.concatenate([*parts, *data.xpos[self.others], *self._rotation(data)])

    def state(self) -> np.ndarray:
        return np.array([self.streak, self.target, *self.rgb.reshape(-1)], np.float64)

    def restore(self, state) -> None:
        self.streak = int(state[0])
        self._choose(int(state[1]))
        self.rgb = np.array(state[2:], np.float64).reshape(-1, 3)

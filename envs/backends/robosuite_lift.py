"""robosuite's Lift behind Gymnasium: `envs.make("panda_lift", backend="robosuite")`."""

import logging
import pickle
from types import SimpleNamespace

import gymnasium as gym
import mujoco
import numpy as np

from envs.drawing import Canvas, canvas
from envs.errors import EnvError
from envs.interface import ActionSpec, Interface, ProprioSpec, camera_of
from toto_robot.ground.errors import unknown

ROBOTS = {"panda_lift": "Panda", "iiwa_lift": "IIWA"}
CAMERAS = {"wrist": "robot0_eye_in_hand", "side": "agentview"}
"""Our names of cameras, and robosuite's."""


def names() -> list[str]:
    return sorted(ROBOTS)


def _robosuite():
    """The package, without its warnings about files and packages that are not needed here."""
    logging.getLogger("robosuite_logs").addFilter(lambda record: record.levelno >= logging.ERROR)
    try:
        import robosuite
    except ImportError as error:
        raise EnvError(
            f"backend=robosuite needs robosuite 1.5.2 ({error}): run `make robosuite`, which installs it without "
            "the versions that it pins (it runs on mujoco < 3.10)"
        ) from error
    return robosuite


class _Plain(Canvas):
    """Draws without shadows, multisampling and collision shapes (group 0), as robosuite's own camera."""

    def __init__(self, model, width, height):
        model.vis.quality.shadowsize = model.vis.quality.offsamples = 0
        super().__init__(model, width, height)
        self.option.geomgroup[0] = 0

    def _upload(self, model):
        """Does nothing: the looks never change here, and comparing 25 MB of textures takes longer than drawing."""


class RobosuiteLift(gym.Env):
    """A cube of 42 mm on a table, a Panda with its hand or an IIWA with a Robotiq 140: lift it by 4 cm.

    Action (7,) in [-1, 1], robosuite's OSC_POSE at 20 Hz: the hand's displacement (1.0 = 0.05 m) and rotation vector
    (1.0 = 0.5 rad) in the base frame, then the gripper (-1 opens, 1 closes). The observations are those of `RobotEnv`:
    `rgb` of the wrist camera with the top row first; `proprio`, joint positions of arm and gripper scaled to [-1, 1]
    over their ranges, then their velocities × 0.1; `privileged`, proprio followed by grip site (3), cube (3), the first
    two columns of the cube's rotation (6) and grip site to cube (3), world frame, metres. The reward is robosuite's
    shaped one, in [0, 1]. An episode ends with robosuite's success or after 200 steps. The cube's size is drawn once
    (seed 0). robosuite draws it in each episode with `hard_reset`, which compiles the model again; this way `reset`
    takes 10 ms.

    `reset(seed=)` determines the episode: it seeds the generator from which robosuite draws positions and joint noise.
    robosuite itself seeds that generator only when an environment is made.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}
    action_names = ("d_x", "d_y", "d_z", "d_rx", "d_ry", "d_rz", "gripper")
    privileged_names = (
        "q (dof)",
        "dq (dof)",
        "grip site (3)",
        "cube (3)",
        "cube rotation (6)",
        "grip site to cube (3)",
    )

    def __init__(
        self,
        name: str,
        *,
        privileged: bool = False,
        render: bool = True,
        shift: str | None = None,
        appearance="nominal",
        image_size: int = 128,
        render_mode: str | None = None,
    ):
        if shift is not None or appearance != "nominal":
            raise EnvError(
                f"{name} has only robosuite's look; leave out shift= and appearance= (got {shift}, {appearance})"
            )
        if image_size % 8 or image_size < 8:
            raise EnvError(f"image_size must be a multiple of 8 (the tokenizer's patch), got {image_size}")
        if render_mode not in (None, "rgb_array"):
            raise unknown("render_mode", render_mode, ("None", "rgb_array"), error=EnvError)
        self.suite = _robosuite().make(
            "Lift",
            robots=ROBOTS[name],
            has_renderer=False,
            has_offscreen_renderer=False,
            use_camera_obs=False,
            reward_shaping=True,
            ignore_done=True,
            hard_reset=False,
            renderer="mujoco",
            seed=0,
        )
        self.name, self.image_size, self.render_mode = name, image_size, render_mode
        self.with_privileged, self.with_render, self.shift, self.appearance = privileged, render, None, "nominal"
        self.control_hz, self.horizon = float(self.suite.control_freq), 200
        self.model, self.data = self.suite.sim.model._model, self.suite.sim.data._data
        self.robot = SimpleNamespace(name=name.split("_")[0], hand="parallel")
        self.task = SimpleNamespace(name="lift")
        self._joints = [j for j in range(self.model.njnt) if self.model.jnt_type[j] != mujoco.mjtJoint.mjJNT_FREE]
        self._low, high = self.model.jnt_range[self._joints].T
        self._span = high - self._low
        self.dof = len(self._joints)
        self.site = self.suite.robots[0].eef_site_id["right"]
        self.action_space = gym.spaces.Box(-1.0, 1.0, (self.suite.action_dim,), np.float32)
        box = lambda n: gym.spaces.Box(-np.inf, np.inf, (n,), np.float32)
        spaces: dict[str, gym.Space] = {
            "rgb": gym.spaces.Box(0, 255, (image_size, image_size, 3), np.uint8),
            "proprio": box(2 * self.dof),
        }
        if privileged:
            spaces["privileged"] = box(2 * self.dof + 15)
        self.observation_space = gym.spaces.Dict(spaces)
        self._begin(0)

    @property
    def interface(self) -> Interface:
        """What the actions, the proprioception and the pictures mean."""
        joints = [self.model.joint(j).name for j in self._joints]
        units = ["m" if self.model.jnt_type[j] == mujoco.mjtJoint.mjJNT_SLIDE else "rad" for j in self._joints]
        step = (0.05,) * 3 + (0.5,) * 3 + (1.0,)
        camera = self.model.camera(CAMERAS["wrist"])
        return Interface(
            robot=self.robot.name,
            control_hz=self.control_hz,
            state_of=self.name,
            action=ActionSpec(
                names=self.action_names,
                units=("m",) * 3 + ("rad",) * 3 + ("1",),
                low=tuple(-v for v in step),
                high=step,
                meanings=("cartesian_increment",) * 3 + ("rotation_increment",) * 3 + ("gripper_close",),
            ),
            proprio=ProprioSpec(
                names=tuple(f"q_{j}" for j in joints) + tuple(f"dq_{j}" for j in joints),
                units=tuple(units) + tuple(f"{unit}/s" for unit in units),
                offset=tuple(float(v) for v in self._low + self._span / 2) + (0.0,) * self.dof,
                scale=tuple(float(v) for v in self._span / 2) + (10.0,) * self.dof,
            ),
            cameras=(camera_of(self.model, CAMERAS["wrist"], "wrist", self.image_size, camera.pos, camera.quat),),
        )

    @property
    def tool(self) -> tuple[np.ndarray, np.ndarray]:
        """Position (3,) and rotation (3, 3) of the grip site, world frame (the base's axes)."""
        return self.data.site_xpos[self.site], self.data.site_xmat[self.site].reshape(3, 3)

    @property
    def cube(self) -> tuple[np.ndarray, np.ndarray]:
        """Position (3,) and rotation (3, 3) of the cube, world frame."""
        body = self.suite.cube_body_id
        return self.data.xpos[body], self.data.xmat[body].reshape(3, 3)

    @property
    def grasped(self) -> bool:
        """Whether both fingers touch the cube, by robosuite's check."""
        return bool(self.suite._check_grasp(gripper=self.suite.robots[0].gripper, object_geoms=self.suite.cube))

    def reset(self, *, seed: int | None = None, options=None):
        super().reset(seed=seed)
        self._begin(int(self.np_random.integers(2**63)))
        return self.observe(), {"success": False, "steps": 0}

    def _begin(self, episode: int) -> None:
        """Starts the episode with this number."""
        self._episode, self.steps, self.success = episode, 0, False
        self._actions: list[np.ndarray] = []
        # The state is set in place, because the sampler of the cube's position holds the same generator.
        self.suite.rng.bit_generator.state = np.random.default_rng(episode).bit_generator.state
        self.suite.reset()

    def step(self, action):
        action = np.asarray(action, np.float64)
        if action.shape != self.action_space.shape:
            raise EnvError(
                f"{self.name} takes actions of shape {self.action_space.shape} "
                f"({', '.join(self.action_names)}), got {action.shape}"
            )
        if not np.isfinite(action).all():
            raise EnvError(f"{self.name} got an action with NaN or infinity: {action}")
        reward = self._advance(np.clip(action, -1.0, 1.0))
        truncated = self.steps >= self.horizon and not self.success
        return self.observe(), float(reward), self.success, truncated, {"success": self.success, "steps": self.steps}

    def _advance(self, action) -> float:
        self._actions.append(action)
        _, reward, _, _ = self.suite.step(action)
        self.steps += 1
        self.success = self.success or bool(self.suite._check_success())
        return reward

    def observe(self) -> dict[str, np.ndarray]:
        size = self.image_size
        out = {
            "rgb": self.view("wrist", size, size) if self.with_render else np.zeros((size, size, 3), np.uint8),
            "proprio": self.proprio(),
        }
        if self.with_privileged:
            out["privileged"] = self.privileged()
        return out

    def proprio(self) -> np.ndarray:
        """(2·dof,) float32: joint positions scaled to [-1, 1] over their ranges, then a tenth of their velocities."""
        q = self.data.qpos[self.model.jnt_qposadr[self._joints]]
        dq = self.data.qvel[self.model.jnt_dofadr[self._joints]]
        return np.concatenate([2 * (q - self._low) / self._span - 1, 0.1 * dq]).astype(np.float32)

    def privileged(self) -> np.ndarray:
        """(2·dof + 15,) float32; `privileged_names` lists the parts."""
        (tool, _), (cube, turn) = self.tool, self.cube
        return np.concatenate([self.proprio(), tool, cube, turn[:, :2].T.reshape(-1), cube - tool]).astype(np.float32)

    def render(self):
        return self.view("side") if self.render_mode == "rgb_array" else None

    def view(self, camera: str = "side", width: int = 256, height: int = 256) -> np.ndarray:
        """uint8 (height, width, 3) from `camera`: "side", "wrist" or one of robosuite's names."""
        return canvas(self.model, width, height, _Plain).draw(self.model, self.data, CAMERAS.get(camera, camera))

    def snapshot(self):
        raise EnvError(
            f"{self.name} has no snapshots, because robosuite's controllers keep their own state; use get_state"
        )

    def get_state(self) -> bytes:
        """The episode's number, its actions so far and the generator of later resets, as bytes."""
        return pickle.dumps((self._episode, self._actions, self.np_random.bit_generator.state))

    def set_state(self, state: bytes) -> dict[str, np.ndarray]:
        """Repeats the actions of `get_state`, which gives the same state bit for bit, and returns the observation."""
        episode, actions, rng = pickle.loads(state)
        self.np_random.bit_generator.state = rng
        self._begin(episode)
        for action in actions:
            self._advance(action)
        return self.observe()

    def close(self):
        self.suite.close()

"""The Gymnasium environment: one robot, one task, one protocol."""

import pickle
from dataclasses import replace

import gymnasium as gym
import mujoco
import numpy as np

from envs import scene
from envs.appearance import (
    ALSO,
    EVERY_SHIFT,
    GREY_CARD,
    GREY_LOOKS,
    HELD_OUT,
    LOOKS,
    NOMINAL,
    Appearance,
    near,
    randomised,
    sensed,
    shifted,
)
from envs.drawing import Canvas, canvas
from envs.errors import EnvError
from envs.interface import Interface, camera_of, joint_proprio
from envs.looks import TRAINING, training_look
from envs.protocols.protocol import Protocol
from envs.robots.robot import Robot
from envs.tasks.pick import Pick
from envs.tasks.task import Task
from toto_robot.ground.errors import unknown

_STATE = mujoco.mjtState.mjSTATE_INTEGRATION


class RobotEnv(gym.Env):
    """Observation dict: `rgb` uint8 (S, S, 3) of the wrist camera, `proprio` float32 (2·dof,), and on request
    `privileged` float32, which is proprio followed by the task's true state. Action float32 (A,) in [-1, 1]; the
    protocol's docstring says what it means. `info["success"]` stays true until the end of the episode.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}

    def __init__(
        self,
        robot: Robot,
        task: type[Task],
        protocol: type[Protocol],
        *,
        name: str,
        privileged: bool = False,
        render: bool = True,
        shift: str | None = None,
        appearance: Appearance | str = "nominal",
        image_size: int = 128,
        render_mode: str | None = None,
        also: tuple[str, ...] = (),
        also_steady: bool = False,
    ):
        """`appearance`: an `Appearance`; or nominal; or near_nominal, wide or mixed, a new look of training in each
        episode (envs/looks.py); or random or cluttered (see `randomised`); or random_each_step, a new look in each
        frame; or grey_card or mixed_grey_card, which are nominal and mixed with a grey card for a task that has one.
        `shift`: changes the nominal look, see `shifted` and envs/held_out.py. `also`: further looks of each state as
        obs["rgb_also"] uint8 (K, S, S, 3), drawn again in each step: a look of training, near (the episode's look with
        other colours and light, see `appearance.near`), random or cluttered. `also_steady`: an episode keeps these
        looks."""
        if shift is not None and shift not in EVERY_SHIFT:
            raise unknown("shift", shift, EVERY_SHIFT, error=EnvError)
        if not isinstance(appearance, Appearance) and appearance not in LOOKS:
            raise unknown("appearance", appearance, LOOKS, "From Python, an Appearance too.", error=EnvError)
        if shift is not None and appearance != "nominal":
            raise EnvError(f"shift={shift!r} changes the nominal look, but appearance={appearance!r}: give one of them")
        if wrong := [look for look in also if look not in ALSO]:
            raise unknown("also", wrong[0], ALSO, error=EnvError)
        if image_size % 8 or image_size < 8:
            raise EnvError(f"image_size must be a multiple of 8 (the tokenizer's patch), got {image_size}")
        if render_mode not in (None, "rgb_array"):
            raise unknown("render_mode", render_mode, ("None", "rgb_array"), error=EnvError)
        self.name, self.robot, self.protocol = name, robot, protocol(robot)
        self._family, more = None, {}
        if shift in HELD_OUT:
            from envs import held_out  # an evaluation only: nothing that trains loads these looks

            self._family, more = held_out, {"assets": held_out.ASSETS, "bodies": held_out.BODIES}
        self.model = scene.compose(robot, task, self.protocol, **more)
        self.data = mujoco.MjData(self.model)
        self.task = task(self.model, robot, self.protocol)
        if shift == GREY_CARD or (isinstance(appearance, str) and appearance in GREY_LOOKS):
            self.task.make_card_grey()
        self.with_privileged, self.with_render, self.shift, self.also = privileged, render, shift, tuple(also)
        self.also_steady = also_steady
        self.appearance, self.image_size, self.render_mode = appearance, image_size, render_mode
        self.control_hz, self.horizon = self.protocol.control_hz, self.task.horizon
        self.metadata = {**self.metadata, "render_fps": int(self.control_hz)}
        self.action_names = self.protocol.action_names
        self.dof = robot.dof
        self._nominal = scene.nominal_parts(self.model, robot, self.task)
        self._low, self._span = robot.scale_low, robot.scale_high - robot.scale_low
        self.look: Appearance = NOMINAL
        self.action_space = gym.spaces.Box(-1.0, 1.0, (len(self.action_names),), np.float32)
        box = lambda n: gym.spaces.Box(-np.inf, np.inf, (n,), np.float32)
        spaces: dict[str, gym.Space] = {
            "rgb": gym.spaces.Box(0, 255, (image_size, image_size, 3), np.uint8),
            "proprio": box(2 * self.dof),
        }
        if also:
            spaces["rgb_also"] = gym.spaces.Box(0, 255, (len(also), image_size, image_size, 3), np.uint8)
        if privileged:
            spaces["privileged"] = box(2 * self.dof + len(self.task.privileged(self.data)))
        self.observation_space = gym.spaces.Dict(spaces)
        self.steps, self.success, self._look_seed = 0, False, 0

    @property
    def interface(self) -> Interface:
        """What the actions, the proprioception and the pictures mean, in the nominal look."""
        nominal = self._nominal
        camera = camera_of(self.model, "wrist", "wrist", self.image_size, nominal["wrist_pos"], nominal["wrist_quat"])
        return Interface(
            robot=self.robot.name,
            control_hz=float(self.control_hz),
            action=self.protocol.actions(),
            proprio=replace(joint_proprio(self.robot), clip=self.protocol.largest_seen),
            cameras=(replace(camera, fovy_deg=nominal["wrist_fovy"]),),
            state_of=self.name,
        )

    def reset(self, *, seed: int | None = None, options=None):
        super().reset(seed=seed)
        rng = self.np_random
        mujoco.mj_resetData(self.model, self.data)
        q = self.task.start_rad(rng)
        self.data.qpos[: self.dof] = np.clip(q, self.robot.scale_low, self.robot.scale_high)
        self.task.reset(self.data, rng)
        self.protocol.reset(self.data)
        # The looks have their own generator, so a shift never changes where the cube is.
        self._look_seed = int(rng.integers(2**63))
        self.steps, self.success = 0, False
        self._dress()
        mujoco.mj_forward(self.model, self.data)
        return self.observe(), {"success": False, "steps": 0}

    def _dress(self) -> None:
        if self._family is not None:
            self._held = self._family.draw_look(self.shift, np.random.default_rng(self._look_seed))
            self._family.dress(self.model, self.data, self._held, self.task.table_z_m)
        self.look = self._new_look()
        scene.dress(self.model, self.data, self.look, self._nominal)
        self.task.dress(self.data)

    def _new_look(self) -> Appearance:
        if self.appearance == "random_each_step":
            return randomised(np.random.default_rng((self._look_seed, self.steps, 1)), clutter=False)
        rng = np.random.default_rng(self._look_seed)
        if self._family is not None:
            return self._held.look
        if isinstance(self.appearance, Appearance):
            return self.appearance
        name = GREY_LOOKS.get(self.appearance, self.appearance)
        if name == "nominal":
            return shifted(self.shift, rng)
        if name in TRAINING:
            return training_look(name, rng)
        return randomised(rng, clutter=self.appearance == "cluttered")

    def step(self, action):
        action = self.checked(action)
        self.protocol.apply(action, self.data, lambda n: mujoco.mj_step(self.model, self.data, n))
        return self.finish(action)

    def checked(self, action) -> np.ndarray:
        """The action (A,) float64 that is executed: the given one, limited to [-1, 1], or the task's own while the task
        holds the arm. Raises EnvError for another shape, NaN or infinity."""
        action = np.asarray(action, np.float64)
        if action.shape != self.action_space.shape:
            raise EnvError(
                f"{self.name} takes actions of shape {self.action_space.shape} "
                f"({', '.join(self.action_names)}), got {action.shape}"
            )
        if not np.isfinite(action).all():
            raise EnvError(f"{self.name} got an action with NaN or infinity: {action}")
        return self.task.executed(self.data, np.clip(action, -1.0, 1.0))

    def finish(self, action):
        """The second half of `step`, after the physics of the control period. Returns what `step` returns."""
        self.steps += 1
        if self.appearance == "random_each_step":
            self._dress()
        self.task.dress(self.data)
        # Positions of bodies and contacts are those before the last integration: bring them up to date.
        mujoco.mj_forward(self.model, self.data)
        reward, done, failed = self.task.evaluate(self.data, action)
        self.success = self.success or done
        ends = failed or (self.success and self.protocol.ends_at_success)
        truncated = self.steps >= self.horizon and not ends
        return self.observe(), reward, bool(ends), bool(truncated), {"success": self.success, "steps": self.steps}

    def observe(self) -> dict[str, np.ndarray]:
        """The observation of the present state."""
        out = {"rgb": self._camera(), "proprio": self.proprio()}
        if self.also:
            out["rgb_also"] = np.stack([self._other_look(i, name) for i, name in enumerate(self.also)])
        if self.with_privileged:
            out["privileged"] = self.privileged()
        return out

    def proprio(self) -> np.ndarray:
        """(2·dof,) float32: joint positions scaled to [-1, 1] of their range, then a tenth of their speeds in rad/s or
        m/s."""
        q, dq = self.data.qpos[: self.dof], self.data.qvel[: self.dof]
        return self.protocol.seen(np.concatenate([2 * (q - self._low) / self._span - 1, 0.1 * dq])).astype(np.float32)

    def privileged(self) -> np.ndarray:
        """(D,) float32: proprio, then the task's true state. It does not depend on the option `privileged`."""
        return np.concatenate([self.proprio(), self.protocol.seen(self.task.privileged(self.data))]).astype(np.float32)

    def _camera(self) -> np.ndarray:
        size = self.image_size
        if not self.with_render:
            return np.zeros((size, size, 3), np.uint8)
        kind = self._family.ShadowCanvas if self._family is not None else Canvas
        return self.sensed(canvas(self.model, size, size, kind).draw(self.model, self.data, "wrist"), self.steps)

    def sensed(self, frame: np.ndarray, number: int) -> np.ndarray:
        """A drawn frame uint8 (H, W, 3) with the exposure and the noise of the look's sensor. The noise depends on
        `number`, the frame's number, so the frame is the same again after `set_state`."""
        if self._family is not None:
            return self._family.seen(frame, self._held, number)
        return sensed(frame, self.look, (self._look_seed, number))

    def drawn_as(self, look: Appearance, noise_seed: int = 0) -> np.ndarray:
        """The present state as the wrist camera sees it in `look`: uint8 (S, S, 3).

        No physics runs and the environment keeps its own look, so each further look of a state costs one drawing.
        """
        try:
            self._wear(look)
            frame = canvas(self.model, self.image_size, self.image_size).draw(self.model, self.data, "wrist")
        finally:
            self._wear(self.look)
        return sensed(frame, look, (noise_seed, self.steps))

    def _other_look(self, index: int, name: str) -> np.ndarray:
        """The `index`-th further look of the present state. A restored state gives the same picture again."""
        if not self.with_render:
            return np.zeros((self.image_size, self.image_size, 3), np.uint8)
        rng = np.random.default_rng((self._look_seed, 0 if self.also_steady else self.steps, 2 + index))
        if name in TRAINING:
            look = training_look(name, rng)
        else:
            look = near(self.look, rng) if name == "near" else randomised(rng, clutter=name == "cluttered")
        return self.drawn_as(look, int(rng.integers(2**31)))

    def _wear(self, look: Appearance) -> None:
        """Writes `look` into the model and moves what is only visible: boxes, camera and lamp."""
        scene.dress(self.model, self.data, look, self._nominal)
        self.task.dress(self.data)
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)

    @property
    def cube_in_hand_m(self) -> np.ndarray:
        """The object's position in the hand frame, (3,) metres. The feature probe predicts it."""
        if not isinstance(self.task, Pick):
            raise EnvError(
                f"env={self.name} has no cube, so there is no position; the tasks pick, cube and move have one"
            )
        hand = self.data.body(self.robot.hand_body)
        return hand.xmat.reshape(3, 3).T @ (self.data.xpos[self.task.body] - hand.xpos)

    def render(self):
        return self.view("side") if self.render_mode == "rgb_array" else None

    def view(self, camera: str = "side", width: int = 256, height: int = 256) -> np.ndarray:
        """uint8 (height, width, 3) from `camera`: "side" or "wrist"."""
        return canvas(self.model, width, height).draw(self.model, self.data, camera)

    def snapshot(self) -> dict[str, np.ndarray]:
        """Everything that determines the rest of the episode and every later frame, as arrays: `sim_state` float64 (S,)
        (MuJoCo's mjSTATE_INTEGRATION), `protocol_state` and `task_state` float64 (n,), `steps` and `look_seed` int64
        (), `success` bool ()."""
        physics = np.empty(mujoco.mj_stateSize(self.model, _STATE))
        mujoco.mj_getState(self.model, self.data, physics, _STATE)
        return {
            "sim_state": physics,
            "protocol_state": np.asarray(self.protocol.state(), np.float64),
            "task_state": np.asarray(self.task.state(), np.float64),
            "steps": np.asarray(self.steps, np.int64),
            "look_seed": np.asarray(self._look_seed, np.int64),
            "success": np.asarray(self.success, np.bool_),
        }

    def restore(self, snapshot: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Restores `snapshot` and returns the observation. `step` then continues bit for bit."""
        physics = np.asarray(snapshot["sim_state"], np.float64)
        size = mujoco.mj_stateSize(self.model, _STATE)
        if physics.shape != (size,):
            raise EnvError(
                f"{self.name} has a simulator state of shape ({size},), got {physics.shape}: the state is from another "
                "model or another version of MuJoCo"
            )
        self.steps, self.success = int(snapshot["steps"]), bool(snapshot["success"])
        self._look_seed = int(snapshot["look_seed"])
        self.task.restore(snapshot["task_state"])  # the looks depend on it
        mujoco.mj_resetData(self.model, self.data)
        self._dress()
        mujoco.mj_setState(self.model, self.data, physics, _STATE)
        self.task.dress(self.data)
        mujoco.mj_forward(self.model, self.data)
        mujoco.mj_setState(self.model, self.data, physics, _STATE)  # mj_forward has changed the warm start
        self.protocol.restore(snapshot["protocol_state"])
        return self.observe()

    def qpos_of(self, sim_state) -> np.ndarray:
        """The joint positions (nq,) in a snapshot's `sim_state`. The environment's state does not change."""
        other = mujoco.MjData(self.model)
        mujoco.mj_setState(self.model, other, np.asarray(sim_state, np.float64), _STATE)
        return other.qpos.copy()

    def get_state(self) -> bytes:
        """`snapshot` and the generator of later resets as bytes. `set_state` continues from them bit for bit."""
        return pickle.dumps((self.snapshot(), self.np_random.bit_generator.state))

    def set_state(self, state: bytes) -> dict[str, np.ndarray]:
        """Restores `get_state` and returns the observation. It unpickles, so use it only for states of this program."""
        snapshot, rng = pickle.loads(state)
        self.np_random.bit_generator.state = rng
        return self.restore(snapshot)

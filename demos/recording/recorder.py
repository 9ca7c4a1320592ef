"""Records many environments at once into one set: which attempts run, which are kept, and noise as in DART."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

import envs
from demos.errors import DemoError
from demos.store import schema
from demos.store.demo_set import DemoSet, DemoWriter
from envs.drawing import renderer
from envs.fingerprint import describe, fingerprint
from envs.interface import CameraSpec, camera_of
from toto_robot.ground.errors import unknown

KEEP = ("success", "all")
STATE = ("sim_state", "protocol_state", "task_state")


def attributes_of(name: str, options: dict, cameras: tuple[str, ...], notes: dict) -> dict:
    """The attributes of a set recorded in `envs.make(name, **options)` with `cameras` ("wrist" and others)."""
    env = envs.make(name, **options)
    env.reset(seed=0)
    exist = [env.model.camera(i).name for i in range(env.model.ncam)]
    if missing := [camera for camera in cameras if camera not in exist]:
        raise unknown(f"camera of {name}:", missing[0], exist, error=DemoError)
    size = env.image_size
    environment = describe(env)
    return schema.attributes(
        env=name,
        env_options=options,
        **numbers_of(env),
        cameras={c: schema.intrinsics(size, size, float(env.model.camera(c).fovy[0])) for c in cameras},
        interface=schema.plain(replace(env.interface, cameras=tuple(_camera(env, c) for c in cameras))),
        renderer=renderer(env.model),
        environment=environment,
        environment_fingerprint=fingerprint(environment),
        notes=notes,
    )


def numbers_of(env) -> dict:
    """The attributes that say what the numbers of `env` are: robot, control rate, proprioception and action."""
    joints = (*env.robot.arm_joints, *env.robot.finger_joints)
    return dict(
        robot=env.robot.name,
        control_hz=env.control_hz,
        proprio_names=[f"q_{j}" for j in joints] + [f"dq_{j}" for j in joints],
        proprio_units="q: 2 (q - low) / (high - low) - 1 of the joint's range (rad; fingers m); "
        "dq: 0.1 x rad/s (fingers m/s)",
        action=dict(
            names=list(env.action_names),
            low=-1.0,
            high=1.0,
            meaning=env.protocol.meaning(),
        ),
    )


def _camera(env, name: str) -> CameraSpec:
    """A camera of the scene: the wrist camera in its nominal pose, any other where it stands."""
    nominal = {camera.name: camera for camera in env.interface.cameras}
    there = env.model.camera(name)
    return nominal.get(name) or camera_of(env.model, name, name, env.image_size, there.pos, there.quat)


class Plan:
    """The attempts 0, 1, 2, ... of a recording, each with a seed of its own, and which of them starts next.

    keep=all runs the attempts 0 to `episodes` - 1. keep=success starts an attempt only while the successes so far and
    the running attempts together are fewer than `episodes`. So the recording makes the shortest list of attempts with
    this number of successes, however many run side by side and however often it was interrupted.
    """

    def __init__(self, episodes: int, keep: str, recorded=()):
        """`recorded`: the attempts that an interrupted recording has already kept."""
        if keep not in KEEP:
            raise unknown("keep", keep, KEEP, error=DemoError)
        self.episodes, self.keep = episodes, keep
        self.recorded = set(int(i) for i in recorded)
        self.kept, self.tried, self.running, self._next = len(self.recorded), 0, 0, 0

    def start(self) -> int | None:
        """The next attempt, or None if none is needed now."""
        while self._next in self.recorded:
            self._next += 1
        enough = self.kept + self.running >= self.episodes if self.keep == "success" else self._next >= self.episodes
        if enough:
            return None
        self.running, self._next = self.running + 1, self._next + 1
        return self._next - 1

    def end(self, success: bool) -> bool:
        """Note the end of an attempt; returns whether to keep it."""
        keep = success or self.keep == "all"
        self.running, self.tried, self.kept = self.running - 1, self.tried + 1, self.kept + keep
        return keep


def resumable(path, plan_of: Callable[[np.ndarray], Plan]) -> Plan:
    """The plan for a set at `path` that may hold a part of the recording."""
    try:
        there = DemoSet(path)
    except DemoError:
        return plan_of(np.zeros(0, np.int64))  # the writer names the fault, if there is one
    return plan_of(there.meta("index") if there.episodes else np.zeros(0, np.int64))


def record(
    vec,
    act: Callable,
    writer: DemoWriter,
    plan: Plan,
    *,
    seed: int,
    seed_of: Callable[[int], int],
    noise_std: float = 0.0,
    quiet_actions=(),
    give_up: Callable[[int, int], bool] = lambda tried, kept: False,
    on_step: Callable[[Plan], object] = lambda plan: None,
) -> None:
    """Run the attempts of `plan` in `vec` (made with `snapshots=True`) and append each kept one when it ends.

    `act(obs)` gives actions (n, A) for the running slots; `obs` also has `slot` and `step`, as in
    `policies.scoring.rollout.evaluate`. Gaussian noise of `noise_std` is added to the executed action, but not to the
    entries `quiet_actions`, and the sum is clipped to [-1, 1]. The record keeps both actions: the expert labels the
    states that its noisy actions reach (DART, Laskey et al. 2017, with one fixed isotropic covariance). The noise of an
    attempt is a function of (seed, attempt). Episodes are in the order in which they end; `meta/index` is the attempt.
    """
    attempt = np.full(vec.num_envs, -1)  # of each slot; -1 if it is idle
    tape: list[dict[str, list]] = [{} for _ in range(vec.num_envs)]
    noise: list = [None] * vec.num_envs
    actions = np.zeros((vec.num_envs, vec.action_dim), np.float32)
    loud = np.ones(vec.action_dim, np.float32)
    loud[list(quiet_actions)] = 0.0

    def begin(slot: int) -> bool:
        index = plan.start()
        if index is None:
            return False
        attempt[slot], tape[slot] = index, {}
        noise[slot] = np.random.default_rng([seed, index, 20170000])
        return True

    for slot in range(vec.num_envs):
        begin(slot)
    obs = vec.reset([seed_of(max(i, 0)) for i in attempt])
    while (active := attempt >= 0).any():
        # Ask for the actions of the running slots, and add the noise of each attempt.
        steps = np.array([len(rows.get("action", ())) for rows in tape])
        seen = {key: value[active] for key, value in obs.items()}
        actions[active] = act(seen | {"slot": np.flatnonzero(active), "step": steps[active]})
        applied = actions.copy()
        for slot in map(int, np.flatnonzero(active) if noise_std else ()):
            push = noise_std * noise[slot].standard_normal(vec.action_dim) * loud
            applied[slot] = np.clip(actions[slot] + push, -1, 1)
        # One step of all running slots. The record pairs the observation before it with the action.
        before = obs
        obs, reward, terminated, truncated, info = vec.step(applied, active)
        fresh = []
        for slot in map(int, np.flatnonzero(active)):
            row = {
                "action": actions[slot],
                "action_applied": applied[slot],
                "reward": reward[slot],
                "success": info["success"][slot],
            } | {key: value[slot] for key, value in _stored(before).items()}
            for key, value in row.items():
                tape[slot].setdefault(key, []).append(np.array(value))
            if not (terminated[slot] or truncated[slot]):
                continue
            # The episode has ended: keep it or drop it, and mark the slot as idle.
            index, attempt[slot] = int(attempt[slot]), -1
            if plan.end(bool(info["success"][slot])):
                data = pack(tape[slot], vec.control_hz)
                writer.append(
                    data, {"seed": seed_of(index), "index": index, "look_seed": int(before["look_seed"][slot])}
                )
            elif give_up(plan.tried, plan.kept):
                raise DemoError(
                    f"{plan.tried} attempts and only {plan.kept} successes; record with keep=all, a better "
                    "expert or policy, or less noise. What was recorded is kept."
                )
            fresh.append(slot)
        # Give new attempts to the idle slots.
        started = [slot for slot in map(int, np.flatnonzero(attempt < 0)) if begin(slot)] if fresh else []
        if started:
            obs = vec.reset([seed_of(int(attempt[slot])) for slot in started], started)
        on_step(plan)


def _stored(obs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The observation under the schema's names."""
    renamed = {"rgb_wrist" if key == "rgb" else key: value for key, value in obs.items()}
    return {
        key: value
        for key, value in renamed.items()
        if key in STATE or key == "proprio" or key.startswith(schema.CAMERA)
    }


def pack(tape: dict[str, list], control_hz: float, times_s=None) -> dict[str, np.ndarray]:
    """An episode from the list of values of each key. Time is step / rate unless `times_s` is given."""
    data = {key: np.stack(values) for key, values in tape.items()}
    steps = len(data["action"])
    data["timestamp_s"] = np.arange(steps) / control_hz if times_s is None else np.asarray(times_s, np.float64)
    data["reward"] = data["reward"].astype(np.float32)
    return data

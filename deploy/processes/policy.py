"""The process that runs the policy: it turns observations into actions and never touches the robot.

It warms up before it reports that it is ready, because loading weights and the first inferences take seconds in which
an arm would get no answer. An observation belongs to the time at which its frame was captured: joints and gripper come
from the robot's recent states, interpolated to that time.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np

from deploy.control.shared import FrameSlot, History
from toto_robot.ground.errors import UserError

WARM_UP = 5
"""Number of inferences before it is ready. The first one or two are slow."""


@dataclass
class Request:
    """A request of the robot's process: the action for the period `index` of `episode`."""

    episode: int
    index: int
    asked_s: float
    """When, on the run's clock."""


@dataclass
class Answer:
    """An action and how it came about. Times are on the run's clock, durations on the wall's."""

    episode: int
    index: int
    action: object
    """What the policy gave, unchecked."""
    captured_s: float
    sequence: int
    asked_s: float
    inference_s: float
    error: str = ""


@dataclass
class LookRequest:
    """A request of the robot's process before anything moves: do these frames look like the training pictures?"""

    frames: np.ndarray
    """uint8 (N, H, W, 3)."""


@dataclass
class LookAnswer:
    """The policy's answer to a `LookRequest`."""

    verdict: str
    """in, doubtful, out or unknown (policies/look)."""
    said: str


@dataclass
class Scale:
    """Turns joints into proprioception as in training: q scaled to [-1, 1] of its range, and 0.1 × speed."""

    low: np.ndarray
    """(J + fingers,)"""
    high: np.ndarray
    """(J + fingers,)"""
    fingers: int

    def proprio(self, q_rad, dq_rad_s, width_m: float, rate_m_s: float) -> np.ndarray:
        """float32 (2 (J + fingers),). Each finger has its share of the width."""
        q = np.append(q_rad, [width_m / self.fingers] * self.fingers)
        dq = np.append(dq_rad_s, [rate_m_s / self.fingers] * self.fingers)
        return np.concatenate([2 * (q - self.low) / (self.high - self.low) - 1, 0.1 * dq]).astype(np.float32)


class Blind:
    """The base of everything that acts without looking at pictures."""

    def look_at(self, frames: np.ndarray) -> LookAnswer:
        """Every picture fits, because none is used."""
        return LookAnswer("in", "no pictures are used")


class FolderPolicy(Blind):
    """A trained policy: `policies.load(name)`."""

    def __init__(self, name: str, device: str = "cpu", fit=None):
        """`fit` (`policies.fit.conversion.Fit`): how the policy is converted for this arm."""
        import torch

        import policies
        from policies.fit.adapted import adapted

        if "OMP_NUM_THREADS" not in os.environ:  # the arm's loop and the camera need cores too
            torch.set_num_threads(max(1, (os.cpu_count() or 2) // 2))
        self.name, self.trained = name, policies.load(name, device=device)
        self.policy = self.trained if fit is None else adapted(self.trained, fit)
        self.env = self.policy.env
        self.episode = -1

    def look_at(self, frames: np.ndarray) -> LookAnswer:
        """Whether live frames uint8 (N, H, W, 3) look like the training pictures."""
        from policies import look

        if self.trained.needs != "rgb":
            return super().look_at(frames)
        kept = self.trained.look
        found = look.unknown(self.name) if kept is None else kept.look_at(self.trained.features, frames)
        return LookAnswer(found.verdict, found.said)

    def act(self, obs: dict, episode: int, index: int):
        if episode != self.episode:  # its first request may be missed, so index 0 is not always seen
            self.episode = episode
            self.policy.reset()
        return self.policy.act(
            {key: value[None] for key, value in obs.items()} | {"slot": np.array([0]), "step": np.array([index])}
        )[0]


class ScriptedPolicy(Blind):
    """The scripted expert. It sees the simulator's true state, which no real arm has. It is for tests of the stack."""

    def __init__(self, env_name: str, physics):
        import envs
        from policies.experts import ScriptedPick

        self.world, self.physics, self.expert = envs.make(env_name, render=False), physics, ScriptedPick()
        self.world.reset(seed=0)

    def act(self, obs: dict, episode: int, index: int):
        self.physics.into(self.world)
        return self.expert.label(self.world)


def policy_main(
    make: Callable, scale: Scale, frames: FrameSlot, history: History, requests: Connection, report: Connection, stopped
) -> None:
    """Answers requests until `stopped` or until the other end closes. `make()` gives an object with `act(obs, episode,
    index)` and `look_at(frames)`.

    `report` gets ("ready", seconds of the slowest warm-up inference but the first two), or ("refused", why) if the
    policy can't be loaded as asked; then (Answer, rgb, proprio) for each step.
    """
    os.nice(5)  # the arm's process has priority
    try:
        policy = make()
    except UserError as error:
        return report.send(("refused", str(error)))
    still = np.zeros(len(scale.low) - scale.fingers)
    blank = {"rgb": np.zeros(frames.shape, np.uint8), "proprio": scale.proprio(still, still, 0, 0)}
    times = []
    for _ in range(WARM_UP if not isinstance(policy, ScriptedPolicy) else 0):
        began = time.perf_counter()
        policy.act(blank, -1, 0)
        times.append(time.perf_counter() - began)
    report.send(("ready", max(times[2:], default=0.005)))
    while not stopped:
        if not requests.poll(0.1):
            continue
        try:
            request = requests.recv()
            # A policy that is too slow answers only the newest request.
            while requests.poll():
                request = requests.recv()
        except EOFError:
            return
        if isinstance(request, LookRequest):
            requests.send(policy.look_at(request.frames))
            continue
        answer, rgb, proprio = _answer(policy, request, scale, frames, history)
        requests.send(answer)
        report.send((answer, rgb, proprio))


def _answer(policy, request: Request, scale: Scale, frames: FrameSlot, history: History):
    rgb, captured_s, sequence = frames.get()
    proprio = scale.proprio(*history.at(captured_s))
    began, action, error = time.perf_counter(), None, ""
    try:
        action = policy.act({"rgb": rgb, "proprio": proprio}, request.episode, request.index)
    except Exception as problem:  # the policy is the user's code: its error is reported and counts as no answer
        error = f"{type(problem).__name__}: {problem}"
    inference_s = time.perf_counter() - began
    answer = Answer(request.episode, request.index, action, captured_s, sequence, request.asked_s, inference_s, error)
    return answer, rgb, proprio

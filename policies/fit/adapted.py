"""A policy with the conversions of its `Fit`: each action is held for several periods, and its numbers are rescaled."""

import sys

import numpy as np

from policies.fit.conversion import Fit
from policies.fit.folder import About
from policies.fit.rules import FitKeys, check
from policies.policy import inspect
from policies.scoring.rollout import EnvConfig


class Adapted:
    """Acts like a `Policy`. It asks the policy once in every `fit.hold` steps of an episode, and the policy counts only
    these steps."""

    def __init__(self, policy, fit: Fit):
        self.policy, self.fit = policy, fit
        self.needs, self.env = policy.needs, policy.env
        self.held: dict[int, np.ndarray] = {}
        """The action that each slot executes."""

    def act(self, obs: dict[str, np.ndarray]) -> np.ndarray:
        """Actions (N, A) float32 for observations with `slot` (N,) and `step` (N,): the robot's own periods since the
        episode began."""
        slots, steps = np.asarray(obs["slot"]), np.asarray(obs["step"])
        due = steps % self.fit.hold == 0
        due |= np.array([int(slot) not in self.held for slot in slots])
        if due.any():
            asked = {key: np.asarray(value)[due] for key, value in obs.items()}
            actions = self.policy.act(asked | {"step": asked["step"] // self.fit.hold})
            self.held |= dict(zip(map(int, slots[due]), self._rescaled(actions)))
        return np.stack([self.held[int(slot)] for slot in slots])

    def _rescaled(self, actions: np.ndarray) -> np.ndarray:
        if not self.fit.gain:
            return actions
        return np.clip(actions * self.fit.gain + self.fit.bias, -1, 1).astype(np.float32)

    def reset(self) -> None:
        """Forget all episodes."""
        self.held.clear()
        self.policy.reset()

    def close(self) -> None:
        self.policy.close()


def adapted(policy, fit: Fit):
    """`policy` with the conversions of `fit`, or `policy` itself if nothing is converted."""
    return Adapted(policy, fit) if fit.hold > 1 or fit.gain else policy


def check_policy(name: str, env: EnvConfig, keys: FitKeys, image_size: int = 128) -> tuple[Fit, int]:
    """(how the policy `name` acts in `env`, the side in pixels of the pictures that it sees).

    Raises UserError if it does not fit, before anything is loaded or started. Prints warnings on stderr. `image_size`
    is the scene's own.
    """
    about = inspect(name)
    size = picture_px(about, keys, image_size)
    fit = check(about, env.interface(size), given=name, where=f"env={env.name}", keys=keys)
    for warning in fit.warnings:
        print(f"warning: {warning}.", file=sys.stderr, flush=True)
    return fit, size


def picture_px(about: About, keys: FitKeys, scenes: int) -> int:
    """The side in pixels of the scene's pictures. With convert=[crop] it is the policy's own, if that is square and can
    be rendered; otherwise it is the `scenes` own."""
    if "crop" not in keys.convert or about.spec is None or not about.spec.cameras:
        return scenes
    camera = about.spec.cameras[0]
    return camera.width if camera.width == camera.height and camera.width % 8 == 0 else scenes

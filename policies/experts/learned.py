"""A learned expert: a policy on the privileged state, computed in NumPy.

It labels in the simulator's processes, which don't load PyTorch (3 s and 250 MB each). A label takes a hundredth of the
time of a simulated step.
"""

import math
from pathlib import Path

import numpy as np

from envs.errors import EnvError
from toto_robot.ground.errors import UserError

_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
_erf = np.vectorize(math.erf, otypes=[np.float32])
ACTIVATIONS = {
    "selu": lambda x: _SELU_SCALE * np.where(x > 0, x, _SELU_ALPHA * np.expm1(np.minimum(x, 0))),
    "gelu": lambda x: x * 0.5 * (1 + _erf(x / math.sqrt(2))),
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x / (1 + np.exp(-x)),
}
"""The activations of `policies.network.heads`, under the same names."""


class LearnedExpert:
    """Any `Policy` with an MLP on encoder=privileged: trained by `train_expert`, or by `train_dagger`.

    It has only plain arrays, so it can be sent to another process.
    """

    def __init__(
        self, env: str | None, tensors: dict[str, np.ndarray], activation: str, squash: bool, binary: tuple[int, ...]
    ):
        """`env` is the environment of its training. `tensors` are those of a `PolicyNet`, with their names there."""
        self.env, self.tensors, self.activation, self.squash = env, tensors, activation, squash
        self.binary = list(binary)

    @classmethod
    def load(cls, path_or_name: str | Path, env: str | None = None) -> "LearnedExpert":
        """Read a policy's folder, a run's folder, or the run of that name in `runs/`.

        Raises UserError if there is no policy, if it doesn't read the privileged state, or if it was trained in another
        environment than `env`.
        """
        from safetensors.numpy import load

        from policies.fit.folder import WEIGHTS, find, read_tensors
        from policies.policy import inspect

        folder, about = find(path_or_name), inspect(path_or_name)
        encoder, head = about.encoder.name, about.head
        if encoder != "privileged" or head.transformer:
            raise UserError(
                f"expert={path_or_name}: an expert reads the privileged state of one step, but this policy reads "
                f"encoder={encoder}. Train one with `python -m toto_robot.train_expert env={about.env}`."
            )
        if env is not None and about.env != env:
            raise UserError(
                f"expert={path_or_name} was trained in env={about.env}, which has another privileged state than "
                f"env={env}. Train one with `python -m toto_robot.train_expert env={env}`."
            )
        tensors = read_tensors(folder / WEIGHTS, about.sha256, load)
        return cls(about.env, tensors, head.activation, head.squash, about.binary_actions)

    def label(self, env) -> np.ndarray:
        """The action (A,) float32 for the present state of `env` (a `RobotEnv`)."""
        if env.name != self.env:
            raise EnvError(f"this expert was trained in env={self.env} and can't label env={env.name}")
        return self.act(env.privileged(), env.proprio())

    def act(self, privileged: np.ndarray, proprio: np.ndarray) -> np.ndarray:
        """Actions (..., A) float32 in [-1, 1] for the true state (..., D) and proprioception (..., P)."""
        parts = []
        for name, project, norm, x in (
            ("features", "head.pool.1", "head.feature_norm", privileged),
            ("proprio", "head.proprio.0", "head.proprio.1", proprio),
        ):
            there = f"{project}.weight" in self.tensors
            if there or name == "features":
                x = (np.asarray(x, np.float32) - self.tensors[f"{name}.mean"]) / self.tensors[f"{name}.std"]
                parts.append(self._norm(norm, self._linear(project, x) if there else x))
        x = np.concatenate(parts, -1)
        layer = 0
        while f"head.mlp.{layer}.weight" in self.tensors:  # a linear layer, a norm (or none), an activation
            x = ACTIVATIONS[self.activation](self._norm(f"head.mlp.{layer + 1}", self._linear(f"head.mlp.{layer}", x)))
            layer += 3
        output = self._linear("head.action", x)
        action = np.tanh(output) if self.squash else output * self.tensors["action.std"] + self.tensors["action.mean"]
        action[..., self.binary] = np.tanh(output[..., self.binary] / 2)
        return np.clip(action, -1, 1).astype(np.float32)

    def _linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.tensors[f"{name}.weight"].T + self.tensors[f"{name}.bias"]

    def _norm(self, name: str, x: np.ndarray) -> np.ndarray:
        if f"{name}.weight" not in self.tensors:
            return x
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return x * self.tensors[f"{name}.weight"] + self.tensors[f"{name}.bias"]

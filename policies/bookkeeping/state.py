"""The state of optimizers and environments as tensors with readable names, so that a run can resume.

On the arrow: the collector, the learners and the gates write and read a checkpoint with these functions.
"""

import numpy as np
import torch
from torch import Tensor


def under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`. The returned names lack the prefix."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def moments(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimizer's state, with names such as `<parameter's index>.<name>`."""
    states = optimizer.state_dict()["state"].items()
    return {f"{index}.{name}": torch.as_tensor(value) for index, state in states for name, value in state.items()}


def restore_moments(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Continue from what `moments` returned."""
    states: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        states.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(optimizer.state_dict() | {"state": states})


def slot_states(vec) -> dict[str, Tensor]:
    """The state of each slot of a vector environment, as bytes with the name `env.<slot>`."""
    states = enumerate(vec.get_state())
    return {f"env.{i:04d}": torch.from_numpy(np.frombuffer(state, np.uint8).copy()) for i, state in states}


def restore_slot_states(vec, tensors: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """Put the slots back into the states that `slot_states` returned. Returns their observations."""
    return vec.set_state([tensors[f"env.{i:04d}"].numpy().tobytes() for i in range(vec.num_envs)])

"""The interface of all gates: who acts in this step, and which states get the expert's label."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from policies.dagger.buffer import Dataset
from policies.dagger.gates.config import GateConfig
from policies.policy import Policy

POLICY, EXPERT, PERSON = 0, 1, 2
"""Who acted: the values of `Shard.actor`."""


@dataclass
class View:
    """What a gate may look at before a step, for N slots."""

    features: Tensor
    """(N, *feature_shape)."""
    proprio: Tensor
    """(N, P) float32."""
    student: np.ndarray
    """(N, A) the action that the student would take."""
    dice: np.ndarray
    """(N,) uniform in [0, 1), new in each step."""
    ask: Callable[[np.ndarray], np.ndarray]
    """`ask(mask)` returns the expert's actions (N, A) where `mask` (N,) is True, and NaN elsewhere. A state counts as
    one query, however often it is asked for."""

    def discrepancy(self, mask: np.ndarray) -> np.ndarray:
        """(N,) the discrepancy between student and expert, asked for where `mask` is True; NaN elsewhere."""
        return discrepancy(self.student, self.ask(mask))


@dataclass
class Choice:
    """What a gate decided for N slots."""

    by_expert: np.ndarray
    """(N,) bool: the expert acts."""
    label: np.ndarray
    """(N,) bool: the state goes to the student's data with the expert's label."""
    score: np.ndarray
    """(N,) float32: the number behind the decision, in the gate's own measure. NaN if there was no such number."""


class Gate(ABC):
    """Decides in every round except the first. With `state` and `restore` a resumed run decides the same."""

    actor, noisy, watches = EXPERT, True, False
    """Who acts when the student does not. Whether noise is added to these actions (DART). Whether the gate sees the
    expert's action without a query, as a person who watches does."""

    def __init__(self, config: GateConfig, policy: Policy, num_envs: int, seed: int):
        self.config, self.policy, self.seed = config, policy, seed
        self.expert_mode = np.zeros(num_envs, bool)
        """(N,) the slots in which the expert acts, for gates that hand over for more than one step."""

    def start(self, slots: np.ndarray, dice: np.ndarray, round_: int) -> None:
        """Episodes begin in `slots`. `dice` (len(slots),) is uniform in [0, 1)."""
        self.expert_mode[slots] = False

    def attend(self, yes: bool) -> None:
        """Collecting begins (`yes`) or ends. A person need not watch outside of it."""

    @abstractmethod
    def choose(self, round_: int, view: View) -> Choice:
        """The decision for this step of round `round_`."""

    def learn(self, round_: int, data: Dataset, head: torch.nn.Module) -> None:
        """After a round, when the student `head` has learned from it: set thresholds, train the gate's networks."""

    def state(self) -> dict[str, Tensor]:
        """What the decisions depend on, besides the config."""
        return {"expert_mode": torch.from_numpy(self.expert_mode.copy())}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Continue from what `state` returned."""
        self.expert_mode = tensors["expert_mode"].numpy().copy()


def discrepancy(student: np.ndarray, expert: np.ndarray) -> np.ndarray:
    """(N,) root mean square of the difference of two actions (N, A), over the components."""
    return np.sqrt(np.mean(np.square(student - expert), axis=1)).astype(np.float32)


def first_round(n: int) -> Choice:
    """The expert acts in all slots, and labels every state."""
    everywhere = np.ones(n, bool)
    return Choice(everywhere, everywhere, np.full(n, np.nan, np.float32))

"""The one interface of all gates: who acts in this step, and which states get the expert's label."""

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
"""Who acted, as the step's `actor` says it."""


@dataclass
class View:
    """What a gate may look at before a step, N slots side by side."""

    features: Tensor
    """(N, *feature_shape)."""
    proprio: Tensor
    """(N, P) float32."""
    student: np.ndarray
    """(N, A) the action that the student would take."""
    dice: np.ndarray
    """(N,) uniform in [0, 1), new in each step."""
    ask: Callable[[np.ndarray], np.ndarray]
    """`ask(mask)`: the expert's actions (N, A) where `mask` (N,) is true, NaN elsewhere. Each state that is asked for
    counts as one query, however often it is asked."""

    def discrepancy(self, mask: np.ndarray) -> np.ndarray:
        """(N,) how far the student's action is from the expert's, asked where `mask` is true; NaN elsewhere."""
        return discrepancy(self.student, self.ask(mask))


@dataclass
class Choice:
    """What a gate decided for N slots."""

    by_expert: np.ndarray
    """(N,) bool: the expert acts."""
    label: np.ndarray
    """(N,) bool: the state goes to the student's data with the expert's label."""
    score: np.ndarray
    """(N,) float32: what the decision went by, in the gate's own measure; NaN where by none."""


class Gate(ABC):
    """Decides in every round but the first. `state` and `restore` let a resumed run decide the same."""

    actor, noisy, watches = EXPERT, True, False
    """Who acts when the student does not; whether noise is added to that (DART); whether the gate sees the expert's
    action without asking, as a person who watches does."""

    def __init__(self, config: GateConfig, policy: Policy, num_envs: int, seed: int):
        self.config, self.policy, self.seed = config, policy, seed
        self.expert_mode = np.zeros(num_envs, bool)
        """(N,) the slots that the expert drives, for gates that hand over for more than a step."""

    def start(self, slots: np.ndarray, dice: np.ndarray, round_: int) -> None:
        """Episodes begin in `slots`; `dice` (len(slots),) uniform in [0, 1)."""
        self.expert_mode[slots] = False

    def attend(self, yes: bool) -> None:
        """Collecting begins (`yes`), or ends: between, nobody need watch."""

    @abstractmethod
    def choose(self, round_: int, view: View) -> Choice:
        """The decision for this step of round `round_`."""

    def learn(self, round_: int, data: Dataset, head: torch.nn.Module) -> None:
        """A round is over and the student `head` has learned from it: set thresholds, train the gate's networks."""

    def state(self) -> dict[str, Tensor]:
        """What the decisions depend on, beside the config."""
        return {"expert_mode": torch.from_numpy(self.expert_mode.copy())}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        self.expert_mode = tensors["expert_mode"].numpy().copy()


def discrepancy(student: np.ndarray, expert: np.ndarray) -> np.ndarray:
    """(N,) root mean square over the components of two actions (N, A)."""
    return np.sqrt(np.mean(np.square(student - expert), axis=1)).astype(np.float32)


def first_round(n: int) -> Choice:
    """The expert acts everywhere, and labels what it sees."""
    everywhere = np.ones(n, bool)
    return Choice(everywhere, everywhere, np.full(n, np.nan, np.float32))

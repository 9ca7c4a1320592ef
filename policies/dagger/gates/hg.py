"""HG-DAgger (Kelly et al. 2019): a person watches, takes the arm when the student is about to fail, and gives it back.

Only the person's actions while holding the arm become data. With `person=scripted` the expert replaces the person: it
takes over after `patience` steps of discrepancy, and gives back after as many steps below `back`. With
`person=keyboard` the keys decide (person.py), and the action that they ask for is the label.
"""

import numpy as np
import torch

from policies.dagger.gates.gate import PERSON, Choice, Gate, View


class HumanGate(Gate):
    """The person decides. Watching is free. Each step in which the person acts counts as one query."""

    actor, watches = PERSON, True

    def __init__(self, config, policy, num_envs, seed, person=None):
        """`person` is a `person.Person`, or None if the expert replaces it."""
        super().__init__(config, policy, num_envs, seed)
        self.person = person
        self.noisy = person is None
        self.waiting = np.zeros(num_envs, np.int64)
        """(N,) for how many steps the person has seen a reason to take over or to give back."""

    def start(self, slots, dice, round_):
        super().start(slots, dice, round_)
        self.waiting[slots] = 0

    def attend(self, yes):
        if self.person is not None:
            self.person.watching = yes

    def choose(self, round_: int, view: View) -> Choice:
        n = len(view.student)
        if self.person is not None:
            holds = np.full(n, self.person.holding)
            return Choice(holds, holds, np.full(n, np.nan, np.float32))
        seen = view.discrepancy(np.ones(n, bool))
        reason = np.where(self.expert_mode, seen < self.config.back, seen > self.config.threshold)
        self.waiting = np.where(reason, self.waiting + 1, 0)
        changes = self.waiting >= self.config.patience
        self.expert_mode ^= changes
        self.waiting[changes] = 0
        return Choice(self.expert_mode.copy(), self.expert_mode.copy(), seen)

    def state(self):
        return super().state() | {"waiting": torch.from_numpy(self.waiting.copy())}

    def restore(self, tensors):
        super().restore(tensors)
        self.waiting = tensors["waiting"].numpy().copy()

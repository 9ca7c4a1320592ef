"""EnsembleDAgger (Menda et al. 2019): the expert acts where the student is off, or where an ensemble doubts."""

import numpy as np

from policies.dagger.gates.gate import Choice, Gate, View
from policies.dagger.gates.networks import Ensemble, joined, part


class EnsembleGate(Gate):
    """rule=both asks the expert in every state to know the discrepancy; rule=doubt only where the members disagree.
    The states in which the expert acts are labelled. The student is a network of its own beside the ensemble, so that
    what is saved, and what it costs to run it, are the same for every gate (the paper's novice is the members' mean)."""

    def __init__(self, config, policy, num_envs, seed):
        super().__init__(config, policy, num_envs, seed)
        self.ensemble = Ensemble(policy, config.members, seed)

    def choose(self, round_: int, view: View) -> Choice:
        doubt = self.ensemble.doubt(view.features, view.proprio)
        by_expert = doubt > self.config.doubt
        if self.config.rule == "both":
            by_expert |= view.discrepancy(np.ones(len(doubt), bool)) > self.config.threshold
        return Choice(by_expert, by_expert, doubt)

    def learn(self, round_, data, head):
        self.ensemble.fit(round_, self.config.updates, data)

    def _networks(self):
        return {f"member{m}": network for m, network in enumerate(self.ensemble.networks)}

    def state(self):
        return super().state() | joined(self._networks())

    def restore(self, tensors):
        super().restore(tensors)
        part(self._networks(), tensors)

"""EnsembleDAgger (Menda et al. 2019): the expert acts where the student is wrong, or where an ensemble disagrees."""

import numpy as np

from policies.dagger.gates.gate import Choice, Gate, View
from policies.dagger.gates.networks import Ensemble, restore_networks, states_of


class EnsembleGate(Gate):
    """rule=both asks the expert in every state, to know the discrepancy. rule=doubt asks it only where the members
    disagree. The states in which the expert acts are labelled.

    In the paper the student is the members' mean. Here it is a separate network, so that the saved policy and its cost
    are the same for every gate.
    """

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
        return super().state() | states_of(self._networks())

    def restore(self, tensors):
        super().restore(tensors)
        restore_networks(self._networks(), tensors)

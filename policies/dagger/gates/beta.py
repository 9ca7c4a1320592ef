"""Ross et al. 2011: the expert acts with probability beta and labels every state. beta = 0 is vanilla DAgger."""

import numpy as np

from policies.dagger.gates.gate import Choice, Gate, View


class BetaGate(Gate):
    """Draws who acts, for each step or for each episode."""

    def start(self, slots, dice, round_):
        self.expert_mode[slots] = dice < self.config.beta(round_)

    def choose(self, round_: int, view: View) -> Choice:
        beta = self.config.beta(round_)
        by_expert = view.dice < beta if self.config.per == "step" else self.expert_mode.copy()
        return Choice(by_expert, np.ones(len(by_expert), bool), np.full(len(by_expert), beta, np.float32))

"""ThriftyDAgger (Hoque et al. 2021b): a budget of calls, spent on states that are new or that look lost.

A state is new if the ensemble's doubt is above the (1 − budget / 2) quantile of the student's states. It looks lost if
a critic's chance of success for the student's action is below their budget / 2 quantile. The student gets the arm back
when the discrepancy is below `back` and the chance is above their budget quantile. The thresholds are set after each
round, on the newest states in which the student acted, as many as the round had.

The paper gives the arm back when the discrepancy is below its mean over the labels so far, and the chance is above the
median. Here a student fits its labels to 0.01 and is 0.05 away in new states, and the discounted chance passes the
median late in an episode. With the paper's rules the expert acted in 61 to 96 % of a round (recipes/LOG.md).
"""

import numpy as np
import torch
import torch.nn.functional as F

from policies.dagger.gates.ensemble import EnsembleGate
from policies.dagger.gates.gate import POLICY, Choice, View
from policies.dagger.gates.networks import Network, restore_networks, states_of


class ThriftyGate(EnsembleGate):
    """Novelty, risk, and a budget for both."""

    def __init__(self, config, policy, num_envs, seed):
        super().__init__(config, policy, num_envs, seed)
        self.critic = Network(policy, 1, (seed, "critic"), extra=policy.net.action.mean.numel())
        self.thresholds = {"new": np.inf, "lost": -np.inf, "well": np.inf}

    @torch.no_grad()
    def chance(self, features, proprio, actions) -> np.ndarray:
        """(N,) the critic's discounted chance of success after `actions` (N, A)."""
        return torch.sigmoid(self.critic(features, proprio, torch.as_tensor(actions)))[:, 0].numpy()

    def choose(self, round_: int, view: View) -> Choice:
        doubt = self.ensemble.doubt(view.features, view.proprio)
        chance = self.chance(view.features, view.proprio, view.student)
        limit = self.thresholds
        calls = ~self.expert_mode & ((doubt > limit["new"]) | (chance < limit["lost"]))
        keeps = self.expert_mode.copy()
        if keeps.any():
            near = view.discrepancy(keeps)[keeps] < self.config.back
            keeps[keeps] = ~(near & (chance[keeps] >= limit["well"]))
        self.expert_mode = keeps | calls
        return Choice(self.expert_mode.copy(), self.expert_mode.copy(), doubt)

    def learn(self, round_, data, head):
        super().learn(round_, data, head)
        self._learn_chances(round_, data)
        newest = data.column("round") == round_
        alone = torch.nonzero(data.column("actor") == POLICY)[:, 0]
        if len(alone):
            alone = alone[data.column("round")[alone].argsort(stable=True)][-int(newest.sum()) :]
        else:  # the first round: only the expert acted
            alone = torch.nonzero(newest)[:, 0]
        doubts, chances = [], []
        for rows in alone.split(1024):
            features, proprio, _ = data.batch(rows)
            doubts.append(self.ensemble.doubt(features, proprio))
            chances.append(self.chance(features, proprio, self.policy.act_on(features, proprio, head)))
        doubt, chance, budget = np.concatenate(doubts), np.concatenate(chances), self.config.budget
        self.thresholds = {
            "new": float(np.quantile(doubt, 1 - budget / 2)),  # half of the budget for each of two reasons
            "lost": float(np.quantile(chance, budget / 2)),
            "well": float(np.quantile(chance, budget)),
        }

    def _learn_chances(self, round_, data) -> None:
        """Regression on the episodes' outcomes, whoever acted. The paper's temporal differences under the student's own
        actions need far more updates to carry an outcome back through an episode (recipes/LOG.md)."""
        rows, values = data.outcomes(self.config.gamma)
        outcome, executed = torch.zeros(len(data)), data.column("executed")
        outcome[rows] = values

        def loss(indices):
            features, proprio, _ = data.batch(indices)
            seen = self.critic(features, proprio, executed[indices])[:, 0]
            return F.binary_cross_entropy_with_logits(seen, outcome[indices])

        self.critic.fit(round_, self.config.updates, rows, loss)

    def state(self):
        limits = torch.tensor([self.thresholds[k] for k in sorted(self.thresholds)], dtype=torch.float64)
        return super().state() | states_of({"critic": self.critic}) | {"thresholds": limits}

    def restore(self, tensors):
        super().restore(tensors)
        restore_networks({"critic": self.critic}, tensors)
        self.thresholds = dict(zip(sorted(self.thresholds), tensors["thresholds"].tolist()))

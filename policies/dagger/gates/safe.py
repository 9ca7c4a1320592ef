"""SafeDAgger (Zhang & Cho 2017) and LazyDAgger (Hoque et al. 2021): a classifier predicts where the student errs.

The classifier learns from labelled states whether the student's discrepancy exceeds `threshold`. For the newest round
it uses the discrepancy at the time of the visit, before the student learned from the state; for older rounds, the
present one. A share `audit` of the student's states is labelled at random: a classifier that only sees what it flags
never learns what it misses (ours).
"""

import numpy as np
import torch
import torch.nn.functional as F

from policies.dagger.gates.gate import Choice, Gate, View, discrepancy
from policies.dagger.gates.networks import Network, restore_networks, states_of


class SafeGate(Gate):
    """The expert acts and labels wherever the classifier predicts a discrepancy."""

    def __init__(self, config, policy, num_envs, seed):
        super().__init__(config, policy, num_envs, seed)
        self.network = Network(policy, 1, (seed, "safety"))

    @torch.no_grad()
    def risk(self, view: View) -> np.ndarray:
        """(N,) the probability that the discrepancy exceeds `threshold`."""
        return torch.sigmoid(self.network(view.features, view.proprio))[:, 0].numpy()

    def choose(self, round_: int, view: View) -> Choice:
        score = self.risk(view)
        by_expert = self.takes(score, view)
        return Choice(by_expert, by_expert | (view.dice < self.config.audit), score)

    def takes(self, score: np.ndarray, view: View) -> np.ndarray:
        """(N,) True where the expert acts, given the classifier's `score`."""
        return score > 0.5

    def learn(self, round_, data, head):
        rows = data.labelled()
        now = discrepancies(self.policy, head, data, rows)
        newest = (data.column("round")[rows] == round_).numpy() & (round_ > 0)
        then = discrepancy(data.column("policy")[rows].numpy(), data.column("expert")[rows].numpy())
        errs = torch.zeros(len(data))
        errs[rows] = torch.from_numpy((np.where(newest, then, now) > self.config.threshold).astype(np.float32))

        def loss(indices):
            features, proprio, _ = data.batch(indices)
            return F.binary_cross_entropy_with_logits(self.network(features, proprio)[:, 0], errs[indices])

        self.network.fit(round_, self.config.updates, rows, loss)

    def state(self):
        return super().state() | states_of({"safety": self.network})

    def restore(self, tensors):
        super().restore(tensors)
        restore_networks({"safety": self.network}, tensors)


class LazyGate(SafeGate):
    """As `SafeGate`, but the expert keeps the arm until the discrepancy is at most `back`. This way it takes over less
    often, for longer. The noise on the expert's actions is `dagger.noise_std`."""

    def takes(self, score, view):
        keeps = self.expert_mode.copy()
        if keeps.any():
            keeps[keeps] = view.discrepancy(keeps)[keeps] > self.config.back
        self.expert_mode = keeps | (~self.expert_mode & (score > 0.5))
        return self.expert_mode.copy()


@torch.no_grad()
def discrepancies(policy, head, data, rows) -> np.ndarray:
    """(M,) the discrepancy between `head` and the labels of the samples `rows` (M,)."""
    parts = [np.zeros(0, np.float32)]
    for chunk in rows.split(1024):
        features, proprio, expert = data.batch(chunk)
        parts.append(discrepancy(policy.act_on(features, proprio, head), expert.numpy()))
    return np.concatenate(parts)

"""Networks that a gate trains for its own decisions, each with the architecture of the policy's head."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from policies.bookkeeping.state import moments, restore_moments, under
from policies.dagger.buffer import Dataset
from policies.network.heads import make_head
from policies.policy import Policy
from policies.seeds import stream


class Network:
    """A separate head on the policy's normalised features and proprioception → (B, outputs). AdamW, constant rate."""

    def __init__(self, policy: Policy, outputs: int, key: tuple, *, extra: int = 0, lr: float = 1e-3):
        """`key` seeds the weights and the minibatches. `extra` is the number of additional inputs."""
        self.policy, self.key = policy, key
        net = policy.net
        torch.manual_seed(stream(*key, "weights")[0])
        pooling = policy.features.config.pooling
        self.head = make_head(
            policy.head_config, policy.feature_shape, net.proprio.mean.numel() + extra, outputs, pooling
        )
        self.optimizer = torch.optim.AdamW(self.head.parameters(), lr=lr, weight_decay=1e-2)
        self.head.eval()

    def __call__(self, features: Tensor, proprio: Tensor, extra: Tensor | None = None) -> Tensor:
        net = self.policy.net
        beside = net.proprio(proprio)
        beside = beside if extra is None else torch.cat([beside, extra], 1)
        return self.head(net.features(features.float()), beside)

    def fit(
        self, round_: int, updates: int, among: Tensor, loss: Callable[[Tensor], Tensor], batch_size: int = 256
    ) -> None:
        """Minimise `loss(indices)` in `updates` steps, on minibatches drawn from the indices `among` (M,)."""
        if not len(among):
            return
        rng = np.random.default_rng(stream(*self.key, "minibatches", round_))
        self.head.train()
        for rows in rng.integers(len(among), size=(updates, batch_size)):
            self.optimizer.zero_grad(set_to_none=True)
            loss(among[torch.from_numpy(rows)]).backward()
            torch.nn.utils.clip_grad_norm_(self.head.parameters(), 1.0)
            self.optimizer.step()
        self.head.eval()

    def state(self) -> dict[str, Tensor]:
        tensors = {f"net.{k}": v.detach().clone() for k, v in self.head.state_dict().items()}
        return tensors | {f"optimizer.{k}": v.detach().clone() for k, v in moments(self.optimizer).items()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        self.head.load_state_dict(under(tensors, "net."))
        restore_moments(self.optimizer, under(tensors, "optimizer."))


class Ensemble:
    """Students that differ in their initial weights and in their samples. They disagree where a state is new."""

    def __init__(self, policy: Policy, members: int, seed: int):
        actions = policy.net.action.mean.numel()
        self.policy = policy
        self.networks = [Network(policy, actions, (seed, "ensemble", m)) for m in range(members)]
        for network in self.networks:
            network.head.is_binary.copy_(policy.net.head.is_binary)

    @torch.no_grad()
    def doubt(self, features: Tensor, proprio: Tensor) -> np.ndarray:
        """(N,) standard deviation of the members' actions, as a root mean square over the components."""
        actions = torch.stack([self.policy.net.to_action(n(features, proprio)) for n in self.networks])
        return actions.var(0).mean(1).sqrt().numpy()

    def fit(self, round_: int, updates: int, data: Dataset) -> None:
        """Train each member on 63 % of the labelled samples: a bootstrap sample has as many different ones."""
        net = self.policy.net
        for m, network in enumerate(self.networks):
            among = data.labelled()
            among = among[(among * 2654435761 + m * 40503) % 1000 < 632]

            def loss(indices, network=network):
                features, proprio, expert = data.batch(indices)
                return network.head.loss(network(features, proprio), net.action(expert), expert)

            network.fit(round_, updates, among, loss)


def states_of(networks: dict[str, Network]) -> dict[str, Tensor]:
    """The states of several networks in one dict."""
    return {f"{name}.{k}": v for name, network in networks.items() for k, v in network.state().items()}


def restore_networks(networks: dict[str, Network], tensors: dict[str, Tensor]) -> None:
    """Restore what `states_of` returned."""
    for name, network in networks.items():
        network.restore(under(tensors, name + "."))

"""Gates: who acts in a step of DAgger, and which states the expert is asked about."""

from collections.abc import Callable

from policies.dagger.gates.beta import BetaGate
from policies.dagger.gates.config import GateConfig
from policies.dagger.gates.ensemble import EnsembleGate
from policies.dagger.gates.gate import Choice, Gate, View
from policies.dagger.gates.hg import HumanGate
from policies.dagger.gates.safe import LazyGate, SafeGate
from policies.dagger.gates.thrifty import ThriftyGate

__all__ = ["Choice", "Gate", "GateConfig", "View", "make_gate"]

KINDS: dict[str, Callable[..., Gate]] = {
    "beta": BetaGate,
    "safe": SafeGate,
    "lazy": LazyGate,
    "ensemble": EnsembleGate,
    "thrifty": ThriftyGate,
}


def make_gate(config: GateConfig, policy, num_envs: int, seed: int, person=None) -> Gate:
    """The gate that `config` names; `person` for one who sits at a keyboard."""
    if config.name == "hg":
        return HumanGate(config, policy, num_envs, seed, person)
    return KINDS[config.name](config, policy, num_envs, seed)

"""Gates: who acts in a step of DAgger, and which states the expert is asked about."""

from policies.gates.beta import BetaGate
from policies.gates.config import GateConfig
from policies.gates.ensemble import EnsembleGate
from policies.gates.gate import Choice, Gate, View
from policies.gates.hg import HumanGate
from policies.gates.safe import LazyGate, SafeGate
from policies.gates.thrifty import ThriftyGate

__all__ = ["Choice", "Gate", "GateConfig", "View", "make_gate"]

KINDS = {"beta": BetaGate, "safe": SafeGate, "lazy": LazyGate, "ensemble": EnsembleGate, "thrifty": ThriftyGate}


def make_gate(config: GateConfig, policy, num_envs: int, seed: int, person=None) -> Gate:
    """The gate that `config` names; `person` for one who sits at a keyboard."""
    if config.name == "hg":
        return HumanGate(config, policy, num_envs, seed, person)
    return KINDS[config.name](config, policy, num_envs, seed)

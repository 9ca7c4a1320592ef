"""Gates: who acts in a step of DAgger, and for which states the expert is asked.

On the arrow: `policies.dagger.collector` asks its gate in every step, and lets it learn after every round.
"""

from collections.abc import Callable

from policies.dagger.gates.beta import BetaGate
from policies.dagger.gates.config import GateConfig
from policies.dagger.gates.ensemble import EnsembleGate
from policies.dagger.gates.gate import Choice, Gate, View
from policies.dagger.gates.hg import HumanGate
from policies.dagger.gates.safe import LazyGate, SafeGate
from policies.dagger.gates.thrifty import ThriftyGate

__all__ = ["LEARNED", "Choice", "Gate", "GateConfig", "View", "make_gate"]

LEARNED = ("safe", "lazy", "ensemble", "thrifty")
"""Gates that train networks of their own on the policy's features."""

KINDS: dict[str, Callable[..., Gate]] = {
    "beta": BetaGate,
    "safe": SafeGate,
    "lazy": LazyGate,
    "ensemble": EnsembleGate,
    "thrifty": ThriftyGate,
}


def make_gate(config: GateConfig, policy, num_envs: int, seed: int, person=None) -> Gate:
    """The gate that `config` names. `person` is the one who sits at the keyboard, if there is one."""
    if config.name == "hg":
        return HumanGate(config, policy, num_envs, seed, person)
    return KINDS[config.name](config, policy, num_envs, seed)

"""From features and proprioception to actions: heads, normalisation, DAgger, experts, success statistics."""

import importlib

__all__ = ["ExpertPolicy", "Policy", "RandomPolicy", "load"]


def __getattr__(name: str):
    """Import what needs torch only when it is asked for (PEP 562). A simulator's process, which only labels, does not
    need torch."""
    if name in __all__:
        return getattr(importlib.import_module("policies.policy"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""From features and proprioception to actions: heads, normalisation, DAgger, experts, success statistics."""

import importlib

__all__ = ["ExpertPolicy", "Policy", "RandomPolicy", "load"]


def __getattr__(name: str):
    """What needs torch comes when it is asked for (PEP 562): a simulator's process, which labels, does without it."""
    if name in __all__:
        return getattr(importlib.import_module("policies.policy"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

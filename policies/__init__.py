"""From features and proprioception to actions: heads, normalisation, DAgger, experts, success statistics."""

from policies.policy import ExpertPolicy, Policy, RandomPolicy, load

__all__ = ["ExpertPolicy", "Policy", "RandomPolicy", "load"]

"""The trained part of a policy: pooling, normalisation, heads, the action's loss, a ResNet for end-to-end training.

On the arrow: features and proprioception → here → the action. `policies.policy.PolicyNet` puts the parts together.
"""

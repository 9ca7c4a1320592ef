"""The trained part of a policy: pooling, normalisation, heads, the action's loss, a ResNet for end-to-end training."""

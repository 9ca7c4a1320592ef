"""Tokenizers that their authors published, and a reader for the weights in foreign files that runs no code.

The package is called `foreign` and not `published`, so that the name `toto_robot.tokens.foreign.read_weights` stays.
"""

from toto_robot.tokens.foreign.weights import read_weights

__all__ = ["read_weights"]

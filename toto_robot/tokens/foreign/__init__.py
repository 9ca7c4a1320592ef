"""Tokenizers that their authors published, and reading the weights of foreign files without running any code.

The package is called `foreign` and not `published`, so that `toto_robot.tokens.foreign.read_weights` stays where it was.
"""

from toto_robot.tokens.foreign.weights import read_weights

__all__ = ["read_weights"]

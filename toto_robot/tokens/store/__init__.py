"""The token store: rows of codes on disk, how they are made from videos, and in which order a run reads them."""

from toto_robot.tokens.store.token_store import TokenStore

__all__ = ["TokenStore"]

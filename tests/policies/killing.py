"""A run that ends in the middle, as if the process had been killed."""

from contextlib import contextmanager

import pytest


class Killed(BaseException):
    """Nothing in the program catches it."""


@contextmanager
def killed_at(kind, method: str, number: int):
    """What runs inside ends when `kind.method` is called with `number`: an epoch, or a round."""
    real = getattr(kind, method)

    def dying(self, at, *rest):
        if at == number:
            raise Killed
        return real(self, at, *rest)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(kind, method, dying)
        yield

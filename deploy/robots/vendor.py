"""The clients of arms come as packages of their vendors. Each is imported only in the process that uses it: pylibfranka
and franky can't be in one process."""

import importlib

from toto_robot.ground.errors import UserError


def client(name: str, install: str):
    """The vendor's module `name`. If it can't be imported, a UserError says what to install."""
    try:
        return importlib.import_module(name)
    except Exception as error:  # a wheel for another C library raises exceptions of many types
        said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UserError(f"The client library {name} can't be imported ({said}). {install}") from error

"""Backends by name, and which of them can speak to which arm. A client is imported only in the process that uses it:
pylibfranka and franky can't share one."""

import importlib
from importlib.metadata import entry_points

from toto_robot.ground.errors import UserError

GROUP = "toto_robot.robots"
OURS = {
    "franky": "deploy.robots.franky_robot",
    "pylibfranka": "deploy.robots.pylibfranka_robot",
    "panda_py": "deploy.robots.panda_robot",
    "ros": "deploy.robots.ros_robot",
    "sim": "deploy.robots.sim_robot",
}
SPEAKS = {
    "franky": (
        {"fr3"},
        "franky-control's wheel speaks server version 10, which is the FR3's; franky builds for a Panda are "
        "made by robot server version, see its README",
    ),
    "pylibfranka": ({"fr3"}, "pylibfranka's wheel speaks server version 10, which is the FR3's"),
    "panda_py": (
        {"panda"},
        "panda-python's wheel on PyPI is built with libfranka 0.9.2, which speaks to the Panda only",
    ),
    "ros": ({"fr3", "panda"}, ""),
    "sim": ({"fr3", "panda"}, ""),
}
"""Arms that each of our backends can speak to, and why not the other."""


def names() -> list[str]:
    """Every backend, ours first."""
    return [*OURS, *sorted(entry.name for entry in entry_points(group=GROUP) if entry.name not in OURS)]


def check(backend: str, arm: str) -> None:
    """UserError for a backend that does not exist or can't speak to `arm`."""
    if backend not in names():
        raise UserError(f"--backend {backend!r} does not exist. What exists: {', '.join(names())}.")
    arms, reason = SPEAKS.get(backend, ({arm}, ""))
    if arm not in arms:
        fit = [name for name, (there, _) in SPEAKS.items() if arm in there]
        raise UserError(
            f"--backend {backend} can't drive --robot {arm}: {reason}. For {arm} there are: {', '.join(fit)}."
        )


def check_options(backend: str, options: dict) -> None:
    """UserError for an option that the backend doesn't have, or a value that is none; what another package's takes is its own
    affair."""
    if backend == "sim" and options:
        raise UserError(f"--option {sorted(options)[0]}: the backend sim has none.")
    if backend == "ros":
        from deploy.robots.ros_robot import settings

        settings(options)
    elif backend in OURS:
        from deploy.robots.libfranka import check_options as check_libfranka

        check_libfranka(options)


def module(backend: str):
    """The backend's module or object, with `make` and `make_gripper`."""
    if backend in OURS:
        return importlib.import_module(OURS[backend])
    return next(entry for entry in entry_points(group=GROUP) if entry.name == backend).load()


def client(name: str, install: str):
    """The vendor's module `name`; a UserError that says what to install where it can't be imported."""
    try:
        return importlib.import_module(name)
    except Exception as error:  # a wheel for another C library raises whatever it likes
        said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UserError(f"The client library {name} can't be imported ({said}). {install}") from error

"""Backends by name, and which arm each backend supports."""

import importlib
from importlib.metadata import entry_points
from typing import Any

from deploy.robots import libfranka, ros_robot
from toto_robot.ground.errors import UserError, unknown

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
        "franky-control's wheel has server version 10, which is the FR3's; for a Panda, franky is built by robot "
        "server version, see its README",
    ),
    "pylibfranka": ({"fr3"}, "pylibfranka's wheel has server version 10, which is the FR3's"),
    "panda_py": (
        {"panda"},
        "panda-python's wheel on PyPI has libfranka 0.9.2, which supports only the Panda",
    ),
    "ros": ({"fr3", "panda"}, ""),
    "sim": ({"fr3", "panda"}, ""),
}
"""The arms that each of our backends supports, and why it does not support the other."""


def names() -> list[str]:
    """Every backend, ours first."""
    return [*OURS, *sorted(entry.name for entry in entry_points(group=GROUP) if entry.name not in OURS)]


def check(backend: str, arm: str) -> None:
    """Raises UserError if the backend does not exist or does not support `arm`."""
    if backend not in names():
        raise unknown("--backend", backend, names())
    arms, reason = SPEAKS.get(backend, ({arm}, ""))
    if arm not in arms:
        fit = [name for name, (there, _) in SPEAKS.items() if arm in there]
        raise UserError(
            f"--backend {backend} can't drive --robot {arm}: {reason}. For {arm} there are: {', '.join(fit)}."
        )


def check_options(backend: str, options: dict) -> None:
    """Raises UserError for an option or a value that the backend does not have. Other packages check their own
    options."""
    if backend == "sim" and options:
        raise UserError(f"--option {sorted(options)[0]}: the backend sim has no options.")
    if backend == "ros":
        ros_robot.settings(options)
    elif backend in OURS:
        libfranka.check_options(options)


def module(backend: str) -> Any:
    """The backend's module or object, with `make` and `make_gripper`."""
    if backend in OURS:
        return importlib.import_module(OURS[backend])
    return next(entry for entry in entry_points(group=GROUP) if entry.name == backend).load()

"""Robots and tasks in MuJoCo behind Gymnasium: `envs.make("franka_pick")`, `envs.VectorEnv("franka_pick", 32)`."""

import os
import sys

if sys.platform == "linux" and not os.environ.get("DISPLAY"):
    os.environ.setdefault("MUJOCO_GL", "egl")  # must stand before mujoco is first imported

from envs.backends import BACKENDS, check, make_vec, names  # noqa: E402
from envs.errors import EnvError  # noqa: E402
from envs.registry import make, register_all  # noqa: E402
from envs.vector import VectorEnv  # noqa: E402

__all__ = ["BACKENDS", "EnvError", "VectorEnv", "check", "make", "make_vec", "names"]

register_all()

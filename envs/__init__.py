"""Robots and tasks in MuJoCo behind Gymnasium: `envs.make("franka_pick")`, `envs.VectorEnv("franka_pick", 32)`."""

import os
import sys

if sys.platform == "linux" and not os.environ.get("DISPLAY"):
    os.environ.setdefault("MUJOCO_GL", "egl")  # before mujoco is first imported

from envs.backends import BACKENDS, check, make, make_vec, names
from envs.errors import EnvError
from envs.vector import VectorEnv

__all__ = ["BACKENDS", "EnvError", "VectorEnv", "check", "make", "make_vec", "names"]

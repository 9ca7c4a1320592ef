"""The arms that --robot names, and their published limits."""

from envs.robots.franka import FR3_LIMITS, LIMITS as PANDA_LIMITS

LIMITS = {"fr3": FR3_LIMITS, "panda": PANDA_LIMITS}

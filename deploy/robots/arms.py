"""The arms that --robot names, and their published limits."""

from envs.robots.franka import FR3_LIMITS
from envs.robots.franka import LIMITS as PANDA_LIMITS

ROBOTS = {"fr3": "franka", "panda": "franka"}
"""Which robot of `envs.robots` each arm is to a policy. FR3 and Panda have the same links and joints, so a policy's numbers mean the
same angles on both; proprioception is scaled as in the scene of the policy, and the arm's own limits hold back what goes beyond."""
LIMITS = {"fr3": FR3_LIMITS, "panda": PANDA_LIMITS}

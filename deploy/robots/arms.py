"""The arms that --robot names, and their published limits."""

from envs.robots.franka import LIMITS as PANDA_LIMITS
from envs.robots.limits import JointLimits

FR3_LIMITS = JointLimits(
    q_min_rad=(-2.7437, -1.7837, -2.9007, -3.0421, -2.8065, 0.5445, -3.0159),
    q_max_rad=(2.7437, 1.7837, 2.9007, -0.1518, 2.8065, 4.5169, 3.0159),
    dq_max_rad_s=(2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26),
    ddq_max_rad_s2=(10,) * 7,
    dddq_max_rad_s3=(5000,) * 7,
    tau_max_nm=(87, 87, 87, 87, 12, 12, 12),
    dtau_max_nm_s=(1000,) * 7,
)
"""Franka's "Robot and interface specifications", and libfranka's rate_limiting.h."""

LIMITS = {"fr3": FR3_LIMITS, "panda": PANDA_LIMITS}

"""Robots by name."""

from envs.robots.franka import FRANKA
from envs.robots.kuka import KUKA, KUKA_GRIPPER

ROBOTS = {robot.name: robot for robot in (FRANKA, KUKA, KUKA_GRIPPER)}

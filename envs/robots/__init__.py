"""Robots by name."""

from envs.robots.franka import FRANKA

ROBOTS = {robot.name: robot for robot in (FRANKA,)}

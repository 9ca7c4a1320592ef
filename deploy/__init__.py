"""Policies on a real arm: the robot's backends, cameras, safety, the control loop, and an emulator of the arm's
controller.

The vendor's own clients connect to the emulator (`python -m deploy.emulator`).
"""

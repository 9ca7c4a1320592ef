"""Hostile policies, cameras and faults, drawn from a seed."""

import random

import numpy as np

from deploy.control.safety import Contact

KINDS = ("actions", "cameras", "faults")
PERIODS = 25


def action(draw: random.Random):
    """A hostile action. About a third of them can be sent."""
    kind = draw.randrange(9)
    if kind < 3:
        return np.array([draw.choice([-1.0, 1.0, draw.uniform(-1, 1)]) for _ in range(8)])
    if kind < 5:
        action = np.array([draw.uniform(-1, 1) for _ in range(8)])
        action[draw.randrange(8)] = draw.choice([np.nan, np.inf, -np.inf, 1.0000021, -7.0, 1e300])
        return action
    return [np.zeros(draw.randrange(20)), np.zeros((1, 8)), draw.choice(["up", {}, [], b"x", object]), None][kind - 5]


class Trouble:
    """The policy's actions and the camera's frames of one episode. `count` is the number of hostile actions."""

    def __init__(self, kind: str, seed):
        self.draw, self.kind, self.count = random.Random(f"{seed}"), kind, 0
        self.share, self.feels = self.draw.random(), random.Random(f"{seed}/touch")

    def policy(self, index: int):
        self.count += self.kind == "actions"
        if self.kind == "actions" and self.draw.random() < 0.7:
            return action(self.draw)
        return np.append(np.full(7, 0.2), self.draw.choice([-1.0, 1.0]))

    def touch(self) -> Contact:
        """The contact of the arm in a third of all states, up to twice the force that stops an arm."""
        if self.feels.random() < 2 / 3:
            return Contact()
        torques = [self.feels.choice([0.0, self.feels.uniform(-40, 40)]) for _ in range(7)]
        if self.feels.random() < 0.1:
            torques[0] = self.feels.choice([1e9, np.nan, np.inf])
        return Contact(self.feels.choice([self.feels.uniform(0, 2), np.nan, np.inf]), np.array(torques))

    def camera(self, reads: int):
        """The number of the frame: the next one, or with a fault no number, an older one, or always the same."""
        if self.kind != "cameras" or self.draw.random() < self.share:
            return reads
        return self.draw.choice([None, reads - self.draw.randrange(1, 9), 3])

    def fault(self) -> dict:
        """A fault for the emulator's console, and the period `at` which it comes."""
        return {
            "at": self.draw.randrange(1, 20),
            **self.draw.choice(
                [
                    {"name": "reflex"},
                    {"name": "reflex", "error": "cartesian_reflex"},
                    {"name": "user_stop"},
                    {"name": "tcp_close"},
                    {"name": "reflex", "error": "joint_velocity_violation"},
                    {"name": "reflex", "error": "power_limit_violation"},
                    {"name": "packet_loss", "share": self.draw.random(), "duration_ms": self.draw.randrange(10, 400)},
                    {"name": "udp_gap", "duration_ms": self.draw.randrange(50, 3000)},
                    {"name": "gripper_fail"},
                ]
            ),
        }

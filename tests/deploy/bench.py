"""The emulator's controller by itself, on a fake clock and an arm that follows exactly."""

import numpy as np

from deploy.emulator.controller import Command, Controller
from deploy.emulator.plant import Sensed
from deploy.emulator.wire import ERRORS, Control, Generator, MoveRequest, MoveStatus, RobotMode
from envs.robots.franka import ARM_LIMITS

Q = np.array([0.0, -0.1, 0.0, -1.5, 0.0, 1.5, 0.8])
POSITION = (Control.JOINT_IMPEDANCE, Generator.JOINT_POSITION)
VELOCITY = (Control.JOINT_IMPEDANCE, Generator.JOINT_VELOCITY)
TORQUE = (Control.EXTERNAL, Generator.NONE)


class Bench:
    """A controller whose arm is where it should be, unless a test says otherwise."""

    def __init__(self, arm="fr3", enforce_timing=True, q=Q):
        self.controller = Controller(ARM_LIMITS[arm], q, np.full(7, 50.0), enforce_timing)
        self.wrong = {}

    def move(self, control, generator, use_async=False, top=1.0):
        return self.controller.move(MoveRequest(control, generator, use_async, np.full(7, top)))

    def tick(self, command=None, lost=False):
        c, zeros = self.controller, np.zeros(7)
        sensed = Sensed(c.q_d.copy(), c.dq_d.copy(), zeros, zeros, np.zeros(6), zeros, np.zeros((6, 7)), np.eye(4))
        return c.tick(command, sensed._replace(**self.wrong), lambda ddq: ddq, lost)

    def positions(self, points):
        for q in points:
            self.tick(Command(q_rad=q))

    @property
    def errors(self):
        return [name for name, on in zip(ERRORS, self.controller.errors) if on]

    def assert_reflex(self, error):
        assert self.errors == [error]
        assert self.controller.violations == [error]
        assert self.controller.mode is RobotMode.REFLEX
        assert self.controller.ended is MoveStatus.REFLEX_ABORTED
        assert self.controller.last_motion_errors[ERRORS.index(error)]

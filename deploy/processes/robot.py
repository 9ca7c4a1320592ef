"""The process that owns the arm. It makes the client, the clock and the gate, and runs the loop
(deploy/processes/driver.py)."""

import gc
from dataclasses import dataclass

import numpy as np

from deploy.control import safety
from deploy.control.clock import Clock, OwnClock, WallClock
from deploy.control.gate import Gate
from deploy.control.machine import Event
from deploy.control.plan import Links, Plan
from deploy.endings import Ending
from deploy.processes.arm_loop import Scene
from deploy.processes.driver import Driver
from deploy.processes.gripper import RemoteGripper
from deploy.robots import registry
from deploy.robots.base import Address, RobotFault
from deploy.robots.sim_robot import SimGripper, SimRobot
from envs.robots.limits import JointLimits
from envs.robots.robot import Robot
from toto_robot.ground.errors import UserError


@dataclass
class RobotSpec:
    """Everything that this process needs."""

    backend: str
    address: Address
    lockstep: bool
    console: tuple[str, int] | None
    """The emulator's console, where the robot is emulated."""
    robot: Robot
    """The robot of the policy's scene."""
    limits: JointLimits
    """The arm's published limits."""
    speed: float
    workspace: safety.Workspace
    max_step_rad: float
    max_lead_rad: float
    plan: Plan


class SimScene:
    """The object and the score of `--backend sim`."""

    def __init__(self, robot: SimRobot):
        self.robot = robot

    def motion_begun(self) -> None:
        pass

    def place_object(self, seed: int) -> None:
        self.robot.place(seed)

    def done(self, applied: np.ndarray) -> bool:
        return self.robot.score(applied)

    def settle(self, hand) -> None:
        """Does nothing: the hand is part of the scene."""


def robot_main(spec: RobotSpec, hand_ends, links: Links, answer_s: float, stopped) -> None:
    """Runs the whole plan. The last message to the main process is ("end", the ending's name, why).

    `hand_ends`: state and orders of the gripper's process, or None for a hand that the robot's client serves.
    `answer_s`: the policy's time for an action in its warm-up.
    """
    ending, why = Ending.BUG, "the robot's process failed"
    robot = None
    try:
        robot = registry.module(spec.backend).make(spec.address)
        robot.connect()
        hand = SimGripper(robot) if hand_ends is None else RemoteGripper(*hand_ends)
        clock, scene = _clock_and_scene(spec, robot)
        driver = Driver(robot, hand, scene, clock, gate_of(spec), spec.plan, links, answer_s, stopped)
        gc.collect()
        gc.freeze()  # the collector no longer scans what exists now, so its pauses are short
        driver.event(Event.READY)
        now = driver.run()
        ending, why = now.ending or Ending.BUG, now.why
    except RobotFault as fault:
        ending, why = (Ending.USER_STOP if fault.event is Event.USER_STOP else Ending.NETWORK), str(fault)
    except UserError as error:
        ending, why = Ending.MISTAKE, str(error)
    finally:
        links.tell(("end", ending.name, why))
    if robot is not None:
        robot.disconnect()  # last, because a client may wait for an arm that does not answer any more


def gate_of(spec: RobotSpec) -> Gate:
    """The gate with the tighter limits of the scene, with which the policy was trained, and of the arm."""
    limits = safety.tighter(spec.robot.limits, spec.limits)
    envelope = safety.Envelope.of(spec.robot, spec.workspace)
    return Gate(
        spec.robot,
        limits,
        envelope,
        period_s=spec.plan.period_s,
        max_step_rad=spec.max_step_rad,
        max_lead_rad=spec.max_lead_rad,
        speed=spec.speed,
    )


def _clock_and_scene(spec: RobotSpec, robot) -> tuple[Clock, Scene | None]:
    if isinstance(robot, SimRobot):
        return (OwnClock(robot.time_s) if spec.lockstep else WallClock()), SimScene(robot)
    if spec.console is None:
        return WallClock(), None
    from deploy.processes.lockstep import EmulatorScene, GrantClock

    scene = EmulatorScene(*spec.console, spec.lockstep)
    return (GrantClock(*spec.console) if spec.lockstep else WallClock()), scene

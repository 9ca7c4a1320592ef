"""The process that owns the arm: makes the client, the clock, the gate, and runs the loop (deploy/processes/driver.py)."""

import gc
from dataclasses import dataclass

import numpy as np

from deploy.control import safety
from deploy.control.clock import OwnClock, WallClock
from deploy.control.gate import Gate
from deploy.control.machine import Event
from deploy.control.plan import Links, Plan
from deploy.endings import Ending
from deploy.processes.driver import Driver
from deploy.processes.gripper import RemoteGripper
from deploy.robots import registry
from deploy.robots.base import Address, RobotFault
from deploy.robots.sim_robot import SimGripper, SimRobot
from toto_robot.ground.errors import UserError


@dataclass
class RobotSpec:
    """Everything that this process needs to know."""

    backend: str
    address: Address
    lockstep: bool
    console: tuple[str, int] | None
    """The emulator's console, where the robot is emulated."""
    robot: object
    """envs.robots.Robot of the policy's scene."""
    limits: object
    """The arm's published ones."""
    speed: float
    workspace: safety.Workspace
    max_step_rad: float
    max_lead_rad: float
    plan: Plan


class SimScene:
    """The object and the score of `--backend sim`."""

    def __init__(self, robot: SimRobot):
        self.robot = robot

    def place_object(self, seed: int) -> None:
        self.robot.place(seed)

    def done(self, applied: np.ndarray) -> bool:
        return self.robot.score(applied)

    def settle(self, hand) -> None:
        """Nothing is under way."""


def robot_main(spec: RobotSpec, hand_ends, links: Links, answer_s: float, stopped) -> None:
    """Runs the whole plan; the last message to main is ("end", ending's name, why). `hand_ends`: the gripper process's
    state and orders, None for a hand that the robot's client serves; `answer_s`: what the policy took when it was warmed up."""
    ending, why = Ending.BUG, "the robot's process failed"
    robot = None
    try:
        robot = registry.module(spec.backend).make(spec.address)
        robot.connect()
        hand = SimGripper(robot) if hand_ends is None else RemoteGripper(*hand_ends)
        clock, scene = _clock_and_scene(spec, robot)
        driver = Driver(robot, hand, scene, clock, gate_of(spec), spec.plan, links, answer_s, stopped)
        gc.collect()
        gc.freeze()  # no pauses for what was made so far
        driver.event(Event.READY)
        now = driver.run()
        ending, why = now.ending, now.why
    except RobotFault as fault:
        ending, why = (Ending.USER_STOP if fault.event is Event.USER_STOP else Ending.NETWORK), str(fault)
    except UserError as error:
        ending, why = Ending.MISTAKE, str(error)
    finally:
        links.tell(("end", ending.name, why))
    if robot is not None:
        robot.disconnect()  # last: a client's destructor may wait for an arm that says nothing any more


def gate_of(spec: RobotSpec) -> Gate:
    """The gate with the tighter of the scene's limits (what the policy was trained with) and the arm's."""
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


def _clock_and_scene(spec: RobotSpec, robot):
    if isinstance(robot, SimRobot):
        return (OwnClock(robot.time_s) if spec.lockstep else WallClock()), SimScene(robot)
    if spec.console is None:
        return WallClock(), None
    from deploy.processes.lockstep import EmulatorScene, GrantClock

    scene = EmulatorScene(*spec.console, spec.lockstep)
    return (GrantClock(*spec.console) if spec.lockstep else WallClock()), scene

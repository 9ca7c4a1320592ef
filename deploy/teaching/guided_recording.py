"""`python -m demos.record robot=… source=guide`: makes a recorded set from the command's keys and a person's hands."""

import contextlib
import functools
import sys
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext

from demos import DemoSet, DemoWriter
from demos.recording.keyboard import Keyboard
from deploy.control.shared import Block
from deploy.endings import Ending
from deploy.processes import children
from deploy.processes.arm_watch import WatchedArm, watch_main
from deploy.processes.gripper import RemoteGripper, gripper_main
from deploy.robots import registry
from deploy.robots.base import Address, RobotFault
from deploy.session import parts, recording
from deploy.session.session import START_S
from deploy.teaching import on_arm
from deploy.teaching.guiding import Guide
from deploy.teaching.on_arm import ArmEnded, ArmKeys
from toto_robot.ground.errors import UserError


def record(keys: ArmKeys, env_name: str, out: str, episodes: int, resume: bool, source=None) -> dict:
    """Records until the set at `out` holds `episodes`. Returns what the command prints.

    `source` gives the keys, by default the terminal's. Raises UserError for what can't work, ArmEnded if the arm fails
    and CameraLost if the camera does.
    """
    if keys.backend == "sim" or keys.clock == "lockstep":
        raise UserError(
            "source=guide needs an arm that a person (or the emulator's console) can move in real time: leave out "
            "backend=sim and clock=lockstep."
        )
    env = on_arm.scene_of(env_name)
    say = lambda text: print(text, file=sys.stderr)
    asked = keys.settings("hand guiding")
    with contextlib.ExitStack() as stack:
        s = stack.enter_context(on_arm.emulated(replace(asked, clock="realtime") if asked.console is None else asked))
        made = parts.make(s, env)
        address = Address(s.robot_ip or "", s.robot, made.options)
        robot, hand = _clients(stack, made.context, s.backend, address, len(env.robot.arm_joints))
        camera = made.make_camera()
        camera.open()
        stack.callback(camera.close)
        notes = on_arm.notes(s, "guide")
        attributes = recording.attributes(env, made.camera, notes)
        source = source or Keyboard()
        stack.callback(source.close)
        say(
            f"The robot is EMULATED at {s.robot_ip}; its console's request `guide` plays the person."
            if s.emulated
            else f"REAL ROBOT at {s.robot_ip}. Nothing here moves it; you do."
        )
        with DemoWriter(out, attributes, resume=resume) as writer:
            before = writer.episodes
            keep = lambda data: writer.append(data, {"success": True, "index": writer.episodes})
            try:
                tried = Guide(robot, hand, camera, source, made.scale, made.max_step_rad, made.period_s, keep, say).run(
                    episodes - before
                )
            except RobotFault as fault:
                raise ArmEnded(Ending.NETWORK, f"{fault}; {writer.episodes - before} episodes were kept") from fault
    there = DemoSet(out)
    return {
        "out": out,
        "episodes": there.episodes,
        "successes": there.episodes,
        "steps": there.steps,
        "recorded": there.episodes - before,
        "attempts": tried,
        "emulated": s.emulated,
    }


def _clients(
    stack: contextlib.ExitStack, context: SpawnContext, backend: str, address: Address, joints: int
) -> tuple[WatchedArm, RemoteGripper]:
    """Arm and hand. The vendor's clients run in one process each, which ends with `stack`."""
    arm_state, hand_state = Block(context, 1 + 2 * joints), Block(context, 2)
    orders_here, orders_there = context.Pipe()
    arm, hand = (functools.partial(_make, backend, what, address) for what in ("make", "make_gripper"))
    reports = (
        _start(stack, context, "arm", watch_main, arm, arm_state),
        _start(stack, context, "gripper", gripper_main, hand, hand_state, orders_there),
    )
    return WatchedArm(arm_state, reports, joints), RemoteGripper(hand_state, orders_here)


def _make(backend: str, what: str, address: Address):
    return getattr(registry.module(backend), what)(address)


def _start(stack: contextlib.ExitStack, context: SpawnContext, name: str, target: Callable, *args) -> Connection:
    """Starts a process and waits until it is ready. Returns its report connection. Raises ArmEnded if it fails."""
    here, there = context.Pipe(duplex=False)
    process = children.start(context, name, target, *args, there)
    stack.callback(children.end, [process])
    there.close()
    try:
        kind, said = here.recv() if here.poll(START_S) else ("failed", f"no answer for {START_S} s")
    except EOFError:
        kind, said = "failed", "its process ended; the message is above"
    if kind == "refused":
        raise UserError(f"The {name} did not start: {said}")
    if kind != "ready":
        raise ArmEnded(Ending.NETWORK, f"the {name} did not start: {said}")
    return here

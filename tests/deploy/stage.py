"""The loop that owns the arm with everything around it in one process: a simulated arm, and threads that play the
camera and the policy. What a policy says and what a camera shows is the test's choice."""

import contextlib
import multiprocessing
import threading
import time
from dataclasses import dataclass, field

import numpy as np

import envs
from deploy.control import safety
from deploy.control.clock import OwnClock
from deploy.control.gate import Gate
from deploy.control.machine import Event, Rules
from deploy.control.plan import Links, Plan
from deploy.control.shared import FrameSlot, History
from deploy.processes.children import Stopped
from deploy.processes.driver import Driver
from deploy.processes.policy import Answer, LookRequest
from deploy.processes.robot import SimScene
from deploy.robots.sim_robot import SimGripper, SimRobot
from envs.robots.franka import ARM_LIMITS

GONE = object()
"""Stands for an action or an operator's answer of a process that was killed."""
CONTEXT = multiprocessing.get_context("spawn")


class Spy(SimRobot):
    """Remembers every set-point that it was sent."""

    def __init__(self):
        super().__init__("franka_cube")
        self.sent, self.starts, self.faults, self.recoveries = [], 0, {}, 0

    def start(self):
        self.starts += 1
        super().start()

    def act(self, q_d_rad):
        assert self.moving, "a set-point for an arm that is not under control"
        self.sent.append(np.array(q_d_rad))
        return super().act(q_d_rad)

    def serve(self):
        fault = self.faults.pop(self.time_ms, None)
        super().serve()
        if fault is not None:
            self.moving = False
            raise fault

    def recover(self):
        self.recoveries += 1


@dataclass
class Stage:
    """`policy(index)` gives an action, or None for silence; `camera(reads)` gives the frame's number for this read, or
    None for no new frame; `operator(message)` gives what the main process answers to a message, or None."""

    policy: object = lambda index: np.zeros(8)
    camera: object = lambda reads: reads
    operator: object = None
    seeds: tuple = (7,)
    periods: int = 10
    rules: Rules = field(default_factory=Rules)
    dry: bool = False
    look: object = None
    """`look(frames)` gives a LookAnswer to the frames of the preflight. Without it there is no request."""
    yes_look: bool = False
    robot: Spy = field(default_factory=Spy)
    speed: float = 1.0
    parts: object = None
    """Another arm: makes (robot, hand, scene, clock)."""

    def _parts(self):
        self.robot.connect()
        return self.robot, SimGripper(self.robot), SimScene(self.robot), OwnClock(self.robot.time_s)

    def run(self):
        """The last situation, and every message to the main process."""
        frames, history = FrameSlot(CONTEXT, (8, 8, 3)), History(CONTEXT, 7)
        orders, ends = threading.Semaphore(0), threading.Event()
        policy_here, policy_there = CONTEXT.Pipe()
        main_here, main_there = CONTEXT.Pipe()
        env = envs.make("franka_cube", render=False)
        protocol = env.protocol
        robot, hand, scene, clock = (self.parts or self._parts)()
        plan = Plan(
            list(self.seeds),
            self.periods,
            0.1,
            np.array(env.robot.q_home_rad),
            ARM_LIMITS["fr3"],
            0.5,
            dry=self.dry,
            rules=self.rules,
            look_frames=30 if self.look else 0,
            yes_look=self.yes_look,
        )
        gate = Gate(
            env.robot,
            safety.tighter(env.robot.limits, ARM_LIMITS["fr3"]),
            safety.Envelope.of(env.robot),
            period_s=0.1,
            max_step_rad=protocol.max_step_rad,
            max_lead_rad=protocol.max_lead_rad,
            speed=self.speed,
        )
        messages = []

        def camera():
            reads = 0
            while not ends.is_set():
                if not orders.acquire(timeout=0.05):
                    continue
                reads += 1
                number = self.camera(reads)
                if number is None:
                    frames.answered(reads)
                else:
                    same = number == frames.latest()[1]
                    frames.put(
                        np.zeros(frames.shape, np.uint8), frames.latest()[0] if same else clock.now_s(), number, reads
                    )

        def policy():
            while not ends.is_set():
                if policy_there.poll(0.05):
                    r = policy_there.recv()
                    if isinstance(r, LookRequest):
                        answer = self.look(r.frames)
                        if answer is GONE:
                            return policy_there.close()
                        policy_there.send(answer)
                        continue
                    action = self.policy(r.index)
                    if action is GONE:
                        return policy_there.close()
                    captured_s, sequence, _ = frames.latest()
                    policy_there.send(
                        Answer(
                            r.episode,
                            r.index,
                            action,
                            captured_s,
                            sequence,
                            r.asked_s,
                            0.0,
                            "silent" if action is None else "",
                        )
                    )

        def main():
            while not ends.is_set():
                if main_here.poll(0.05):
                    message = main_here.recv()
                    messages.append(message)
                    reply = self.operator(message) if self.operator else None
                    if reply is None and message[0] in ("checks", "armed"):
                        reply = ("go",) if message[0] == "checks" else ("confirmed",)
                    if reply is GONE:
                        messages.append(("last",))
                        return main_here.close()
                    if reply is not None:
                        main_here.send(reply)

        threads = [threading.Thread(target=t, daemon=True) for t in (camera, policy, main)]
        [t.start() for t in threads]
        driver = Driver(
            robot,
            hand,
            scene,
            clock,
            gate,
            plan,
            Links(main_there, policy_here, frames, history, orders),
            0.02,
            Stopped(),
        )
        try:
            driver.event(Event.READY)
            now = driver.run()
        finally:
            with contextlib.suppress(OSError):
                main_there.send(("last",))
            while not messages or messages[-1] != ("last",):
                time.sleep(1e-3)
            ends.set()
            [t.join() for t in threads]
        return now, messages[:-1]

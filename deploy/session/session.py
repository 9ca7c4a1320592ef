"""One deployment from start to end: the processes, the operator, the records, the result.

The main process holds no device. It starts the other processes, passes on the operator's answers, and ends all
processes. The process that owns the arm brings it to rest, also if the main process is gone
(deploy/processes/children.py).
"""

import contextlib
import functools
import time
from collections.abc import Callable
from dataclasses import asdict
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

import numpy as np

from deploy.control.machine import Event
from deploy.control.plan import Links, Period, Plan
from deploy.control.shared import Block, FrameSlot, History
from deploy.endings import Ending
from deploy.processes import children
from deploy.processes.camera import camera_main
from deploy.processes.gripper import gripper_main
from deploy.processes.policy import Answer, policy_main
from deploy.processes.robot import RobotSpec, robot_main
from deploy.robots import registry
from deploy.robots.base import Address, RobotFault
from deploy.session.panel import Panel
from deploy.session.parts import Parts
from deploy.session.report import Counts, Timings, outcome_line, status_line
from deploy.session.settings import Resolved
from envs.robots.franka import ARM_LIMITS
from toto_robot.ground.errors import UserError

LOOK_FRAMES = 30
"""About a second of frames. The policy compares them with its training pictures before anything moves."""
START_S = 120
"""The time in which a process must be ready. A large policy's weights come from a disk."""


class Recorder(Protocol):
    """What takes the steps, periods and episodes of a session (`recording.Recorder`, or another in its place)."""

    def step(self, answer: Answer, rgb: np.ndarray, proprio: np.ndarray) -> None: ...
    def period(self, period: Period) -> None: ...
    def episode(self, episode: int, seed: int, success: bool) -> None: ...
    def close(self) -> None: ...


class Session:
    """One run of a list of episodes, one seed each. `parts` is what the processes are made from."""

    def __init__(
        self, settings: Resolved, parts: Parts, seeds: list[int], panel: Panel, recorder: Recorder | None = None
    ):
        self.s, self.parts, self.seeds, self.panel, self.recorder = settings, parts, seeds, panel, recorder
        self.timings, self.counts = Timings(), Counts()
        self.outcomes: list[tuple[int, int, bool]] = []
        """(seed, steps, success) of each episode that ended."""
        self.state, self.inference_s, self.hz = "init", 0.0, 0.0
        self.period: Period | None = None
        """The newest control period."""
        self.ended = (0, 0)
        """(episode, steps) of the newest episode that ended."""
        self.ending: Ending | None = None
        self.why = ""
        self.look: str | None = None
        """What the policy says about the camera's pictures."""
        self.children: dict[str, BaseProcess] = {}
        self.camera_said = ""
        """The camera's newest reason for giving no frame."""
        self.reports: dict[str, Connection] = {}
        """Where the processes of camera, policy and gripper report."""
        self.robot, self._robot_end = parts.context.Pipe()
        """The connection to the robot's process, and the end that goes there."""
        self._links: Links | None = None
        """The links of the robot's process. A semaphore lives only as long as the process that made it keeps it."""
        self.questions: list[tuple[str, str]] = []
        """(kind, text) of the questions to the operator, oldest first. The first one has been put."""
        self.told_s = time.monotonic()

    def run(self) -> Ending:
        """Runs everything. Returns why it ended."""
        try:
            self._start()
            while self.ending is None:
                self._turn()
        except RobotFault as fault:  # a process did not start
            self.ending, self.why = Ending.NETWORK, str(fault)
        finally:
            children.end(list(self.children.values()))
            if self.recorder is not None:
                self.recorder.close()
        return self.ending

    # ------------------------------------------------------------------------------------------ starting

    def _start(self) -> None:
        c, parts, lockstep = self.parts.context, self.parts, self.s.clock == "lockstep"
        # What the processes share.
        frames, history = FrameSlot(c, parts.frame_shape), History(c, len(parts.robot.arm_joints))
        orders = c.Semaphore(0)
        policy_here, policy_there = c.Pipe()
        # Camera, policy and gripper start side by side. All must be ready before the robot's process is made.
        self._spawn("camera", camera_main, parts.make_camera, frames, orders, lockstep)
        self._spawn("policy", policy_main, parts.make_policy, parts.scale, frames, history, policy_there)
        hand = None
        if not self.s.simulated:
            width, (hand_here, hand_there) = Block(c, 2), c.Pipe()
            hand = width, hand_here
            self._spawn(
                "gripper",
                gripper_main,
                functools.partial(_make_gripper, self.s.backend, self._address()),
                width,
                hand_there,
            )
        ready = {name: self._ready(name) for name in list(self.children)}
        self.panel.say(f"camera: {ready['camera']}")
        self.panel.say(f"policy: {self.s.policy}, {1e3 * ready['policy']:.0f} ms an action")
        self._links = links = Links(self._robot_end, policy_here, frames, history, orders)
        self.children["robot"] = children.start(c, "robot", robot_main, self._spec(), hand, links, ready["policy"])

    def _spawn(self, name: str, target: Callable, *args) -> None:
        here, there = self.parts.context.Pipe(duplex=False)
        self.reports[name] = here
        self.children[name] = children.start(self.parts.context, name, target, *args, there)

    def _ready(self, name: str) -> Any:
        """The child's message when it is ready. Raises UserError if it can't do what was asked, RobotFault if the robot
        fails."""
        end = time.monotonic() + START_S
        while time.monotonic() < end and not self.panel.interrupts:
            if self.reports[name].poll(0.1):
                try:
                    kind, said = self.reports[name].recv()
                except EOFError:
                    break
                if kind == "ready":
                    return said
                why = f"The {name} did not start: {said}"
                raise RobotFault(Event.NETWORK, why) if kind == "failed" else UserError(why)
            if not self.children[name].is_alive() and not self.reports[name].poll():
                break
        if self.panel.interrupts:
            raise KeyboardInterrupt
        raise UserError(f"The {name}'s process ended or did not answer for {START_S} s; its messages are above.")

    def _address(self) -> Address:
        return Address(self.s.robot_ip or "", self.s.robot, self.parts.options)

    def _spec(self) -> RobotSpec:
        s, parts = self.s, self.parts
        plan = Plan(
            self.seeds,
            round(parts.horizon / s.speed_scale),
            parts.period_s,
            np.array(parts.robot.q_home_rad),
            ARM_LIMITS[s.robot],
            s.home_speed,
            dry=s.dry_run,
            rules=s.rules,
            look_frames=0 if s.policy == "scripted" else LOOK_FRAMES,
            yes_look=s.yes_look,
            camera_hz=parts.camera_hz if s.clock == "realtime" else None,
        )
        return RobotSpec(
            s.backend,
            self._address(),
            s.clock == "lockstep",
            s.console,
            parts.robot,
            ARM_LIMITS[s.robot],
            s.speed_scale,
            s.workspace,
            parts.max_step_rad,
            parts.max_lead_rad,
            plan,
        )

    # ------------------------------------------------------------------------------------------ running

    def _turn(self) -> None:
        """Handles everything that has come since the last turn."""
        wait([self.robot, *self.reports.values(), *(p.sentinel for p in self.children.values())], 0.1)
        # Reports first: a step has to be recorded before the period that applies it.
        for name in ("policy", "camera", "gripper"):
            self._listen(name)
        # Then the robot's messages: each has a method of its kind.
        while self.ending is None and self._has(self.robot):
            try:
                kind, *rest = self.robot.recv()
            except (EOFError, OSError):
                break
            getattr(self, f"_on_{kind}")(*rest)
        self._watch_children()
        self._operator()
        self.panel.show(
            status_line(
                self.state, len(self.outcomes), len(self.seeds), self.period, self.hz, self.counts, self.inference_s
            )
        )

    @staticmethod
    def _has(connection: Connection) -> bool:
        try:
            return connection.poll()
        except (OSError, EOFError):
            return False

    def _listen(self, name: str) -> None:
        while name in self.reports and self._has(self.reports[name]):
            try:
                said = self.reports[name].recv()
            except EOFError:
                del self.reports[name]
                return
            if name == "policy":
                answer, rgb, proprio = said
                self.inference_s = answer.inference_s
                # A busy policy takes a frame that came after the request.
                age_s = max(0.0, answer.asked_s - answer.captured_s)
                self.timings.add(camera_age=age_s, inference=answer.inference_s)
                if self.recorder is not None:
                    self.recorder.step(answer, rgb, proprio)
            elif name == "camera":  # its own words, once for each reason
                if said[1] != self.camera_said:
                    self.panel.say(f"camera: {said[1]}")
                self.camera_said = said[1]
            elif said[0] == "failed":
                self._tell("gripper_failed", said[1])

    def _tell(self, *message) -> None:
        with contextlib.suppress(OSError):  # it has ended; its last message says why
            self.robot.send(message)

    def _watch_children(self) -> None:
        if self.ending is not None:
            return
        if not self.children["robot"].is_alive() and not self._has(self.robot):
            self.ending, self.why = (
                Ending.NETWORK,
                "the robot's process died; an arm stops by itself when its client is gone",
            )
            if self.period is not None and self.period.episode == len(self.outcomes):  # an episode was running
                self.ended = self.period.episode, self.period.index + 1
                self._close(False)
        for name in ("policy", "camera", "gripper"):
            if name in self.children and not self.children[name].is_alive():
                self._listen(name)  # its last words
                del self.children[name]
                event = "gripper_failed" if name == "gripper" else f"{name}_died"
                own = f": {self.camera_said}" if name == "camera" and self.camera_said else ""
                self._tell(event, f"the {name}'s process ended{own}")

    def _operator(self) -> None:
        if self.panel.interrupts:
            self.panel.interrupts = 0
            self.panel.say("stopping …")
            self._tell("interrupted")
        answered, line = self.panel.reply() if self.questions else (False, None)
        if answered:
            self._answer(line)
            self._put()

    def _ask(self, kind: str, text: str) -> None:
        """Adds a question. There is one question at a time, so an answer is never taken for the answer to another."""
        self.questions.append((kind, text))
        if len(self.questions) == 1:
            self._put()

    def _put(self) -> None:
        """Puts the oldest question. A question that needs no person is answered at once."""
        while self.questions:
            kind, text = self.questions[0]
            if kind == "verdict" or not (self.s.yes or self.s.dry_run):
                return self._show(text, "y/n" if kind == "verdict" else "Enter: go on, n: end.")
            self._answer("")

    def _show(self, text: str, keys: str) -> None:
        self.panel.ask(f"{text} {keys}")

    def _answer(self, line: str | None) -> None:
        kind, _ = self.questions.pop(0)
        if kind == "verdict":
            self._close(line is not None and line.lower().startswith("y"))
        elif line is None or line.lower() in ("n", "no", "q"):
            self._tell("declined")
        else:
            self._tell("go" if kind == "home" else "confirmed")

    # ------------------------------------------------------------------------------------------ the robot's messages

    def _on_state(self, state: str, why: str, event: str) -> None:
        self.state = state
        if state == "hold":
            self.counts.holds += 1
        if state in ("hold", "stop", "fault"):
            self.panel.say(f"{state}: {why}")

    def _on_checks(self, rows: list[tuple[str, bool, str]]) -> None:
        for name, ok, said in rows:
            self.panel.say(f"{'ok  ' if ok else 'FAIL'} {name}: {said}")
            if name == "look":
                self.look = said
        if all(ok for _, ok, _ in rows):
            self._ask("home", "The arm will move to its home pose.")

    def _on_armed(self, episode: int) -> None:
        self._ask("start", f"Episode {episode + 1} of {len(self.seeds)}: put the object in place.")

    def _on_note(self, text: str) -> None:
        self.counts.recoveries += text.startswith("reflex")
        self.panel.say(text)

    def _on_refused(self, episode: int, index: int, why: str) -> None:
        self.counts.refused += 1
        if self.counts.refused <= 5:
            self.panel.say(f"refused: {why} (episode {episode + 1}, step {index}); not sent")

    def _on_period(self, period: Period) -> None:
        now = time.monotonic()
        self.hz, self.told_s = 1 / max(now - self.told_s, 1e-3), now
        self.period = period
        self.counts.periods += 1
        self.counts.missed += period.asked < 0
        self.counts.late += period.late
        self.counts.limited += bool(period.limited)
        self.timings.add(command=period.latency_s, period_late=period.lag_s)
        if self.recorder is not None:
            self.recorder.period(period)

    def _on_episode(self, episode: int, steps: int, success: bool | None) -> None:
        self.ended = episode, steps
        if success is None and self.s.dry_run:
            success = False
        if success is None:
            self._ask("verdict", f"Episode {episode + 1} ended after {steps} steps. Was it a success?")
        else:
            self._close(success)

    def _close(self, success: bool) -> None:
        episode, steps = self.ended
        self.outcomes.append((self.seeds[episode], steps, success))
        self.panel.say(outcome_line(episode + 1, *self.outcomes[-1]))
        if self.recorder is not None:
            self.recorder.episode(episode, self.seeds[episode], success)

    def _on_end(self, ending: str, why: str) -> None:
        self._listen("policy")
        # The last episode may still wait for its verdict. Without an answer it does not count as a success.
        while any(kind == "verdict" for kind, _ in self.questions):
            answered, line = (True, None) if self.panel.interrupts else self.panel.reply()
            if answered:
                self._answer(line)
            time.sleep(0.05)
        self.ending, self.why = Ending[ending], why

    def result(self) -> dict:
        """The keys of `toto_robot.evaluate`, then those of a deployment. Call it after `run`."""
        from policies.scoring.rollout import Episode, summarise

        ending = self.ending or Ending.BUG
        episodes = [Episode(seed, success, steps, 0.0) for seed, steps, success in self.outcomes]
        empty = {"episodes": 0, "successes": 0, "success": None, "wilson95": None, "mean_steps": None}
        counts = asdict(self.counts) | {"missed_share": round(self.counts.missed_share(), 4)}
        return (
            {"env": self.parts.env_name, "policy": self.s.policy}
            | (summarise(episodes) if episodes else empty)
            | {
                "ending": ending.name.lower(),
                "exit_code": ending.code,
                "why": self.why,
                "robot": self.s.robot,
                "backend": self.s.backend,
                "emulated": self.s.emulated,
                "clock": self.s.clock,
                "speed_scale": self.s.speed_scale,
                "dry_run": self.s.dry_run,
                "seeds": [seed for seed, _, _ in self.outcomes],
                "counts": counts,
                "timing": self.timings.summary(),
                "record": self.s.record,
                "look": self.look,
                "shift": self.s.shift,
            }
        )


def _make_gripper(backend: str, address: Address):
    return registry.module(backend).make_gripper(address)

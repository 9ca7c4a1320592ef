"""One deployment from start to end: the processes, the operator, the records, the result.

The main process holds no device. It starts the others, passes on what the operator says, and ends them all; the arm is
brought to rest by the process that owns it, also when this one is gone (deploy/processes/children.py).
"""

import contextlib
import functools
import multiprocessing
import time
from dataclasses import asdict
from multiprocessing.connection import wait

import numpy as np

from deploy.control.machine import Event
from deploy.control.plan import Links, Plan
from deploy.control.shared import Block, FrameSlot, History
from deploy.endings import Ending
from deploy.processes import children
from deploy.processes.camera import camera_main
from deploy.processes.gripper import gripper_main
from deploy.processes.policy import policy_main
from deploy.processes.robot import RobotSpec, robot_main
from deploy.robots import registry
from deploy.robots.base import Address, RobotFault
from deploy.session import recording
from deploy.session.panel import Panel
from deploy.session.report import Counts, Timings, outcome_line, status_line
from deploy.session.settings import Settings
from envs.robots.franka import ARM_LIMITS
from toto_robot.ground.errors import UserError

LOOK_FRAMES = 30
"""A second of frames that are compared with the policy's training pictures before anything moves."""
START_S = 120
"""What a process may take until it is ready: a large policy's weights come from a disk."""


class Session:
    """`parts` says how to make what the policy's and the camera's processes need (deploy/session/parts.py)."""

    def __init__(
        self, settings: Settings, parts, seeds: list[int], panel: Panel, recorder: recording.Recorder | None = None
    ):
        self.s, self.parts, self.seeds, self.panel, self.recorder = settings, parts, seeds, panel, recorder
        self.context = multiprocessing.get_context("spawn")
        self.timings, self.counts = Timings(), Counts()
        self.outcomes: list[tuple[int, int, bool]] = []
        """(seed, steps, success) of each episode that ended."""
        self.state, self.period, self.inference_s, self.hz = "init", None, 0.0, 0.0
        self.ending, self.why, self.look = None, "", None
        self.children: dict[str, multiprocessing.process.BaseProcess] = {}
        self.reports = {}
        self.questions: list[tuple[str, str]] = []
        """(kind, text) of what the operator is asked, oldest first; the first of them has been put."""
        self.told_s = time.monotonic()

    def run(self) -> Ending:
        """Everything; the way it ended."""
        try:
            self._start()
            while self.ending is None:
                self._turn()
        except RobotFault as fault:  # of a process that did not start
            self.ending, self.why = Ending.NETWORK, str(fault)
        finally:
            children.end(list(self.children.values()))
            if self.recorder is not None:
                self.recorder.close()
        return self.ending

    # ------------------------------------------------------------------------------------------ starting

    def _start(self) -> None:
        c, parts, lockstep = self.context, self.parts, self.s.clock == "lockstep"
        joints = len(parts.robot.arm_joints)
        frames, history = FrameSlot(c, parts.frame_shape), History(c, joints)
        orders = c.Semaphore(0)
        policy_here, policy_there = c.Pipe()
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
        self.robot, robot_there = c.Pipe()
        links = Links(robot_there, policy_here, frames, history, orders)
        self._kept = links  # a semaphore lives as long as its first owner keeps it
        self.children["robot"] = children.start(c, "robot", robot_main, self._spec(), hand, links, ready["policy"])

    def _spawn(self, name: str, target, *args) -> None:
        here, there = self.context.Pipe(duplex=False)
        self.reports[name] = here
        self.children[name] = children.start(self.context, name, target, *args, there)

    def _ready(self, name: str):
        """What the child says when it is ready. UserError for what can't be done as asked, RobotFault where the robot fails."""
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
        raise UserError(f"The {name}'s process ended or said nothing for {START_S} s; its messages are above.")

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
        """Everything that has come since the last turn."""
        wait([self.robot, *self.reports.values(), *(p.sentinel for p in self.children.values())], 0.1)
        for name in ("policy", "camera", "gripper"):
            self._listen(name)
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
    def _has(connection) -> bool:
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
                age_s = max(
                    0.0, answer.asked_s - answer.captured_s
                )  # a policy that was busy takes a frame that came later
                self.timings.add(camera_age=age_s, inference=answer.inference_s)
                if self.recorder is not None:
                    self.recorder.step(answer, rgb, proprio)
            elif said[0] == "failed":
                self._tell("gripper_failed", said[1])

    def _tell(self, *message) -> None:
        with contextlib.suppress(OSError):  # it has ended, and says why in its last message
            self.robot.send(message)

    def _watch_children(self) -> None:
        if self.ending is not None:
            return
        if not self.children["robot"].is_alive() and not self._has(self.robot):
            self.ending, self.why = (
                Ending.NETWORK,
                "the robot's process died; an arm stops by itself when its client is gone",
            )
            if self.period is not None and self.period.episode == len(
                self.outcomes
            ):  # it was in the middle of this one
                self.ended = self.period.episode, self.period.index + 1
                self._close(False)
        for name in ("policy", "camera", "gripper"):
            if name in self.children and not self.children[name].is_alive():
                del self.children[name]
                event = "gripper_failed" if name == "gripper" else f"{name}_died"
                self._tell(event, f"the {name}'s process ended")

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
        """One question at a time: an answer to one must never be taken for another's."""
        self.questions.append((kind, text))
        if len(self.questions) == 1:
            self._put()

    def _put(self) -> None:
        """The oldest question; what nobody has to be asked is answered at once."""
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
            self._close(bool(line) and line.lower().startswith("y"))
        elif line is None or line.lower() in ("n", "no", "q"):
            self._tell("declined")
        else:
            self._tell("go" if kind == "home" else "confirmed")

    # ------------------------------------------------------------------------------------------ what the robot's process says

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

    def _on_period(self, period) -> None:
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
        while any(kind == "verdict" for kind, _ in self.questions):  # the last episode's; nobody's word is no success
            answered, line = (True, None) if self.panel.interrupts else self.panel.reply()
            if answered:
                self._answer(line)
            time.sleep(0.05)
        self.ending, self.why = Ending[ending], why

    def result(self) -> dict:
        """The keys of `toto_robot.evaluate`, and what belongs to a deployment."""
        from policies.scoring.rollout import Episode, summarise

        episodes = [Episode(seed, success, steps, 0.0) for seed, steps, success in self.outcomes]
        empty = {"episodes": 0, "successes": 0, "success": None, "wilson95": None, "mean_steps": None}
        counts = asdict(self.counts) | {"missed_share": round(self.counts.missed_share(), 4)}
        return (
            {"env": self.parts.env_name, "policy": self.s.policy}
            | (summarise(episodes) if episodes else empty)
            | {
                "ending": self.ending.name.lower(),
                "exit_code": self.ending.code,
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

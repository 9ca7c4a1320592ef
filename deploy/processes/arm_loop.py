"""The base of the loop that owns the arm: events, servo periods, and what comes from the other processes.

deploy/processes/driver.py builds the states and the control periods on it.
"""

import time
from typing import Protocol

import numpy as np

from deploy.control import machine, safety
from deploy.control.clock import Clock
from deploy.control.gate import Gate
from deploy.control.lead import Lead
from deploy.control.machine import Event, Reaction
from deploy.control.plan import Links, Plan, heard
from deploy.endings import Ending
from deploy.processes.policy import Answer, LookAnswer
from deploy.robots.base import Gripper, Robot, RobotFault, RobotState

WALL_S = 30.0
"""In lockstep the robot's time stands still. This is the longest wait for an answer on the wall's clock."""
REST_S = 6.0
"""The longest time that a stop may take."""


class Scene(Protocol):
    """What a simulated arm has: it places the object, scores, and lets arm and hand settle."""

    def place_object(self, seed: int) -> None: ...
    def motion_begun(self) -> None: ...
    def done(self, applied: np.ndarray) -> bool: ...
    def settle(self, hand) -> None: ...


class ArmLoop:
    """One arm with everything around it. `scene` is None on a real arm. `answer_s` is the policy's time for an action
    in its warm-up."""

    def __init__(
        self,
        robot: Robot,
        hand: Gripper,
        scene: Scene | None,
        clock: Clock,
        gate: Gate,
        plan: Plan,
        links: Links,
        answer_s: float,
        stopped,
    ):
        self.robot, self.hand, self.scene, self.clock, self.gate = robot, hand, scene, clock, gate
        self.plan, self.links, self.lead, self.stopped = plan, links, Lead(answer_s, plan.period_s), stopped
        self.answer_s = answer_s
        self.now = machine.Situation()
        self._last: RobotState | None = None
        # The operator and the camera.
        self.allowed = False
        """Whether the operator has allowed the motion to the home pose."""
        self.look: LookAnswer | None = None
        """What the policy says about the camera's pictures."""
        self.asked_reads = 0
        """The number of the camera's read that was ordered last, in lockstep."""
        self.sequence = -1
        """The number of the newest frame that the machine knows."""
        # The episode.
        self.episode, self.index = -1, 0
        """The running episode, and its control period."""
        self.in_episode, self.success = False, False
        self.closed = False
        """The newest order to the gripper."""
        self.next_s: float | None = None
        """When the next control period is due; None before the first one."""
        # The policy's answers.
        self.asked = -1
        """The period for which an action was requested last."""
        self.waiting = False
        """Whether that request has no answer yet."""
        self.answer: Answer | None = None
        """The newest action that no period has used."""
        self.late = 0
        """Actions that were dropped since the last period."""

    @property
    def last(self) -> RobotState:
        """The newest state of the arm. It exists from the first servo period on."""
        if self._last is None:
            raise RuntimeError("the arm has not reported a state yet")
        return self._last

    def event(self, event: Event, why: str = "", captured_s: float = 0.0) -> None:
        """Reports an event to the state machine, and carries out its reactions."""
        before, rules, now_s = self.now.state, self.plan.rules, self.clock.now_s()
        self.now, reactions = machine.react(self.now, event, now_s, rules, captured_s=captured_s, why=why)
        after = self.now.state
        if after is not before:
            self.links.tell(("state", after.value, self.now.why, event.name))
        for reaction in reactions:
            # If a reaction meets a fault, the fault's own event has already done what follows, and the rest is dropped.
            if self.now.state is after:
                self._carry_out(reaction)

    def _carry_out(self, reaction: Reaction) -> None:
        if self.plan.dry and reaction is not Reaction.RECOVER:
            return
        try:
            if reaction is Reaction.START_MOTION:
                self._take_control()
            elif reaction is Reaction.STOP_MOTION:
                self._rest()
            else:
                self.robot.recover()
                self.event(Event.RECOVERED)
        except RobotFault as fault:
            failed = reaction is Reaction.RECOVER and fault.event not in (Event.USER_STOP, Event.NETWORK)
            self.event(Event.RECOVERY_FAILED if failed else fault.event, str(fault))

    def _take_control(self) -> None:
        self.robot.start()
        if self.scene is not None:
            self.scene.motion_begun()

    def _rest(self) -> None:
        """Brings the arm to rest and gives its control back."""
        if not self.robot.moving:
            return
        try:
            self.robot.stop()
            end_s, end = self.clock.now_s() + REST_S, time.monotonic() + WALL_S
            while self.robot.moving and self.clock.now_s() < end_s and time.monotonic() < end:
                if self._servo() is None and self.now.ending is Ending.NETWORK:
                    break  # the arm is gone, so there is nothing to wait for
            if self.robot.moving:
                raise RobotFault(Event.NETWORK, f"the arm did not come to rest within {REST_S} s")
        except RobotFault as fault:
            if fault.event is not Event.REFLEX:  # a reflex has stopped the arm too
                self.event(fault.event, str(fault))

    def _poll(self) -> None:
        """Turns everything that has come into events: messages of the main process, frames, answers, time."""
        if self.stopped:
            self.event(Event.INTERRUPTED)
        said, gone = heard(self.links.main)
        for kind, *rest in said + [("interrupted", "the main process has ended")] * gone:
            if kind == "go":
                self.allowed = True
            else:
                self.event(Event[kind.upper()], *rest)
        # A frame with a new number.
        captured_s, sequence, _ = self.links.frames.latest()
        if sequence != self.sequence:
            self.sequence = sequence
            self.event(Event.FRAME, captured_s=captured_s)
        # The policy's answers, and the time that has passed.
        answers, gone = heard(self.links.policy)
        for answer in answers:
            self._take(answer)
        self.event(Event.POLICY_DIED if gone else Event.TICK)

    def _take(self, answer: Answer | LookAnswer) -> None:
        """Takes an answer of the policy. An action that can't be sent is reported and dropped."""
        if isinstance(answer, LookAnswer):
            self.look = answer
            return
        if (answer.episode, answer.index) == (self.episode, self.asked):
            self.waiting = False
        self.lead.heard(self.clock.now_s() - answer.asked_s)
        if why := answer.error or safety.refuse_action(answer.action, self.gate.joints + 1):
            self.links.tell(("refused", answer.episode, answer.index, why))
        elif answer.episode == self.episode:
            self.answer = answer
            self.event(Event.ACTION)

    def _servo(self, ms: int = 1) -> RobotState | None:
        """Runs `ms` servo periods at once and handles what has come. A fault becomes an event, and the result is
        None."""
        try:
            self.clock.begin(ms)
            for _ in range(ms if self.robot.features.serves else 1):
                self.robot.serve()
            self.hand.serve()
            if self.robot.moving:
                self.clock.end()
                state = self._observe()
            else:
                # A client without control waits for the next state, and in lockstep no state comes after `end`.
                state = self._observe()
                self.clock.end()
        except RobotFault as fault:
            self.event(fault.event, str(fault))
            return None
        self._poll()
        return state

    def _observe(self) -> RobotState:
        """Reads the arm and adds its state to the history. Raises RobotFault for the user stop and outside the
        limits."""
        state = self.robot.observe()
        why = safety.refuse_state(state.q_rad, state.dq_rad_s, self.plan.limits)
        if state.mode == "user_stopped":
            raise RobotFault(Event.USER_STOP, "the user stop is pressed")
        if why and self.now.state in machine.MOVES:
            raise RobotFault(Event.LIMITS, why)
        self.links.history.add(self.clock.now_s(), state.q_rad, state.dq_rad_s, self.hand.observe().width_m)
        self._last = state
        return state

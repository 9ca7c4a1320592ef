"""The loop of the process that owns the arm. It does what the state machine says, one control period at a time.

All decisions are made elsewhere by pure code: `machine.react` says whether the arm may move, `gate.Gate` with which
set-points. This file carries them out with the clock, the arm, the hand, the newest frame, the policy's answers, and
the main process, which talks to the operator.
"""

import time

import numpy as np

from deploy.control import machine
from deploy.control.gate import Command
from deploy.control.machine import Event, State
from deploy.control.plan import Period
from deploy.processes import preflight
from deploy.processes.arm_loop import WALL_S, ArmLoop
from deploy.processes.policy import Answer, Request
from deploy.robots.base import RobotFault
from envs.robots.control import SERVO_DT_S

CATCH_UP = 4
"""The largest number of set-points, one each millisecond, by which the loop goes on at once."""


class Driver(ArmLoop):
    """The states of a run, and the control periods of an episode."""

    # ------------------------------------------------------------------------------------------ states

    def run(self) -> machine.Situation:
        """Runs until STOP or FAULT."""
        slices = {
            State.INIT: self.idle,
            State.PREFLIGHT: self._preflight,
            State.HOME: self._home,
            State.ARMED: self._armed,
            State.RUN: self._period,
            State.HOLD: self._period,
        }
        while True:
            # A state's method returns after a short time, or when the state has changed.
            if self.now.state in slices:
                slices[self.now.state]()
            # A reflex may be recovered once the arm is at rest. The episode that it broke is a failure.
            elif machine.recoverable(self.now, self.plan.rules):
                self.links.tell(("note", f"reflex: {self.now.why}; recovery {self.now.recoveries + 1}"))
                self.now, reactions = machine.recover(self.now, self.plan.rules)
                for reaction in reactions:
                    self._carry_out(reaction)
                self._close_episode(False)
            else:
                self._close_episode(False)
                return self.now

    def idle(self) -> None:
        """Lets 20 ms pass in which nothing moves."""
        self._servo(20)
        time.sleep(0.002 * self.clock.lockstep)

    def _preflight(self) -> None:
        """Runs the checks, then waits for the operator, then HOME follows. Nothing moves."""
        if self.episode + 1 >= len(self.plan.seeds):  # after the recovery from a reflex in the last episode
            return self.event(Event.FINISHED)
        self.allowed = False
        state = self._servo(20)
        rows = preflight.found(self, state) if state is not None else []
        if self.now.state is not State.PREFLIGHT:  # a fault came during the checks
            return
        self.links.tell(("checks", rows))
        bad = [f"{name}: {said}" for name, ok, said in rows if not ok]
        if bad:
            return self.event(Event.PREFLIGHT_FAILED, "; ".join(bad))
        while self.now.state is State.PREFLIGHT and not self.allowed:
            self.idle()
        self.event(Event.CHECKED)

    def _home(self) -> None:
        """Opens the hand, and goes to the home pose in the shortest time inside a share of the limits."""
        if not self.plan.dry:
            # The arm may have moved since the checks, so its way is judged again.
            way = preflight.path_home(self.last.q_rad, self.plan)
            clear, said = preflight.judge(way, self.last.q_rad, self.plan, self.gate.envelope)
            if not clear:
                return self.event(Event.LIMITS, f"the way home {said}")
            self.hand.command(False)
            for points in np.array_split(way, max(1, len(way) // 100)):
                if not self._stream(points, State.HOME):
                    return
            # One more second: the arm comes to rest and the hand opens.
            if not self._stream(np.tile(self.plan.home_rad, (1000, 1)), State.HOME):
                return
        self.event(Event.AT_HOME)

    def _armed(self) -> None:
        """Places the object in a simulated scene, then waits for the operator. At the end the episode has begun."""
        self.episode, self.index, self.answer, self.late, self.asked = self.episode + 1, 0, None, 0, -1
        self.success = False
        self._servo(20)
        try:
            if self.scene is not None:
                self.scene.place_object(self.plan.seeds[self.episode])
                self.scene.settle(self.hand)
                self.links.history.forget()  # arm and hand were put there, they did not move there
        except RobotFault as fault:
            return self.event(fault.event, str(fault))
        self._servo(20)
        self.links.tell(("armed", self.episode))
        while self.now.state is State.ARMED:
            self.idle()
        if self.now.state is not State.RUN:
            return
        self.gate.reset(self.last.q_rad)
        self.in_episode, self.closed, self.next_s = True, False, None
        self._ask()

    # ------------------------------------------------------------------------------------------ the control period

    def ask_camera(self) -> None:
        """Orders the next frame in lockstep. Otherwise the camera reads by itself."""
        if self.clock.lockstep:
            self.asked_reads = self.links.frames.latest()[2] + 1
            self.links.orders.release()

    def _ask(self) -> None:
        """Requests the action of the next period. In lockstep it waits for the answer, because time stands still."""
        if not self.clock.lockstep:
            return self._request(self.index)
        # First a new frame, then the action for it.
        self.asked, self.waiting = self.index, True
        self.ask_camera()
        end = time.monotonic() + WALL_S
        while self.links.frames.latest()[2] < self.asked_reads and self.now.state in machine.RUNNING:
            self._wait(end, Event.CAMERA_DIED, "the camera did not answer")
        self._request(self.index)
        while self.waiting and self.now.state in machine.RUNNING:
            self._wait(end, Event.POLICY_DIED, "the policy did not answer")

    def _request(self, index: int) -> None:
        self.asked, self.waiting = index, True
        try:
            self.links.policy.send(Request(self.episode, index, self.clock.now_s()))
        except OSError:
            self.event(Event.POLICY_DIED)

    def _wait(self, end: float, event: Event, why: str) -> None:
        if time.monotonic() > end:
            self.event(event, f"{why} for {WALL_S:g} s of the wall's time")
        self.links.policy.poll(0.001)
        self._poll()

    def _usable(self) -> Answer | None:
        """The newest action, unless its frame is too old. It is used once."""
        answer, self.answer = self.answer, None
        if answer is not None and self.clock.now_s() - answer.captured_s > self.plan.max_age_s:
            self.late += 1
            return None
        return answer

    def _period(self) -> None:
        """One control period: an action becomes set-points, the set-points go to the arm, and the period is
        reported."""
        # When it begins. A short delay is made up for, a longer one is not.
        start_s = self.clock.now_s()
        lag_s = 0.0 if self.next_s is None or self.clock.lockstep else max(0.0, start_s - self.next_s)
        due_s = start_s - (lag_s if lag_s < self.plan.period_s / 4 else 0.0)
        self.next_s = due_s + self.plan.period_s
        # Which set-points. In HOLD there is no action, and the arm slows down.
        answer = self._usable() if self.now.state is State.RUN else None
        if self.plan.dry:
            self.gate.reset(self.last.q_rad)
        q_d = self.gate.controller.limiter.q_rad.copy()
        command = self.gate.command(None if answer is None else answer.action, self.last.q_rad, self.last.contact)
        if command.breach:
            return self.event(Event.LIMITS, command.breach)
        # Sending them takes the whole period.
        state, q = self.now.state, self.last.q_rad
        self._send(command, due_s)
        self._after_motion(command)
        period = Period(
            self.episode,
            self.index,
            -1 if answer is None else answer.index,
            start_s,
            state.value,
            command.applied,
            q,
            q_d,
            self.hand.observe().width_m,
            command.limited,
            self.late,
            lag_s,
            float("nan") if answer is None else start_s - answer.captured_s,
            self.success,
        )
        self.links.tell(("period", period))
        self.index, self.late = self.index + 1, 0
        if self.now.state in machine.RUNNING:
            self._after_period()

    def _send(self, command: Command, due_s: float) -> None:
        if not self.plan.dry and command.close != self.closed:
            self.closed = command.close
            self.hand.command(command.close)
        self._stream(command.points_rad, *machine.RUNNING, start_s=due_s)

    def _after_period(self) -> None:
        if self.success or self.index >= self.plan.periods:
            return self._end_episode()
        if self.clock.lockstep:
            self._ask()

    def _stream(self, points: np.ndarray, *states: State, start_s: float | None = None) -> bool:
        """Sends set-points (N, J), one each servo period from `start_s` (by default now) on, while the machine is in
        one of `states`. Returns whether all were sent.

        On the wall's clock it sends the point that is due, but never goes on by more than `CATCH_UP` points at once. On
        a machine that is too slow the motion gets slower, not rougher.
        """
        start_s, sent = self.clock.now_s() if start_s is None else start_s, -1
        if self.plan.dry and self.clock.lockstep:
            return self._servo(len(points)) is not None
        # Whether nothing needs to be requested for the next period during this one.
        asked = self.clock.lockstep or State.RUN not in states or self.index + 1 >= self.plan.periods
        while self.now.state in states:
            # Which point is due. The last point keeps its full millisecond.
            due = sent + 1 if self.clock.lockstep else int((self.clock.now_s() - start_s) / SERVO_DT_S)
            if sent == len(points) - 1 and due > sent:
                return True
            due = min(due, sent + CATCH_UP, len(points) - 1)
            try:
                if not self.plan.dry and due > sent:
                    self.robot.act(points[due])
            except RobotFault as fault:
                self.event(fault.event, str(fault))
                return False
            sent = due
            self._servo()
            # The next action is requested late, so that its frame is new, but not too late.
            if not asked and (len(points) - due) * SERVO_DT_S <= self.lead.seconds:
                asked = True
                self._request(self.index + 1)
        return False

    def _after_motion(self, command: Command) -> None:
        """On a simulated arm: scores, and lets the hand settle for the next observation."""
        if self.scene is None:
            return
        try:
            self.success = self.scene.done(command.applied) or self.success
            self.scene.settle(self.hand)
            self._observe()
        except RobotFault as fault:
            self.event(fault.event, str(fault))

    def _end_episode(self) -> None:
        verdict = self.success if self.scene is not None else None
        last = self.episode + 1 >= len(self.plan.seeds)
        self._close_episode(verdict)
        if last and self.now.state in machine.RUNNING:
            self.event(Event.FINISHED)
        else:
            self.event(Event.EPISODE_OVER)

    def _close_episode(self, success: bool | None) -> None:
        """Reports the end of the running episode. An episode that a fault ended is a failure."""
        if self.in_episode:
            self.in_episode = False
            self.links.tell(("episode", self.episode, self.index, success))

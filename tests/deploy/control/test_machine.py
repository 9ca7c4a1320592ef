"""No order of events leads to motion in a state that forbids it."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from deploy.control import machine
from deploy.control.machine import Event, Reaction, Rules, Situation, State, react
from deploy.endings import Ending

RULES = Rules(max_recoveries=2)
ENDED = (State.STOP, State.FAULT)


def after(*events, rules=RULES, start=Situation()):
    """The situation after (event, time) or (event, time, captured) in turn."""
    now = start
    for event, time_s, *captured in events:
        now, _ = react(now, event, time_s, rules, captured_s=captured[0] if captured else 0.0)
    return now


RUNNING = after((Event.READY, 0), (Event.CHECKED, 0), (Event.AT_HOME, 0), (Event.CONFIRMED, 10.0))


def test_the_way_from_the_start_to_an_episode_and_back():
    assert RUNNING.state is State.RUN
    again = after((Event.EPISODE_OVER, 11), start=RUNNING)
    assert again.state is State.HOME
    done = after((Event.AT_HOME, 12), (Event.CONFIRMED, 13), (Event.FINISHED, 13.1), start=again)
    assert done.state is State.STOP and done.ending is Ending.DONE


def test_a_silent_policy_holds_the_arm_after_200_ms_and_stops_it_after_a_second():
    frames = [(Event.FRAME, 10 + i / 20, 10 + i / 20) for i in range(30)]
    assert after(*frames[:4], (Event.TICK, 10.19), start=RUNNING).state is State.RUN
    assert after(*frames[:5], (Event.TICK, 10.21), start=RUNNING).state is State.HOLD
    assert after(*frames[:20], (Event.TICK, 10.99), start=RUNNING).state is State.HOLD
    ended = after(*frames[:21], (Event.TICK, 11.01), start=RUNNING)
    assert ended.state is State.STOP and ended.ending is Ending.POLICY


def test_an_action_and_a_fresh_frame_together_end_a_hold():
    held = after((Event.TICK, 10.5), start=RUNNING)
    assert held.state is State.HOLD
    assert after((Event.ACTION, 10.5), start=held).state is State.HOLD
    assert after((Event.FRAME, 10.5, 10.5), start=held).state is State.HOLD
    assert after((Event.ACTION, 10.5), (Event.FRAME, 10.5, 10.5), start=held).state is State.RUN


def test_a_late_frame_and_a_number_that_stands_still_both_hold():
    actions = [(Event.ACTION, 10 + i / 20) for i in range(6)]
    late = after(*actions, (Event.FRAME, 10.25, 10.01), start=RUNNING)
    assert late.state is State.HOLD and "frame" in late.why
    assert after(*actions, (Event.TICK, 10.25), start=RUNNING).state is State.HOLD
    actions = [(Event.ACTION, 10 + i / 20) for i in range(120)]
    assert after(*actions, start=RUNNING).ending is Ending.CAMERA


@pytest.mark.parametrize(
    "event", [Event.USER_STOP, Event.NETWORK, Event.LIMITS, Event.GRIPPER_FAILED, Event.ROBOT_FAILED]
)
def test_only_a_reflex_is_ever_recovered(event):
    ended = after((event, 10.1), start=RUNNING)
    assert ended.state is State.FAULT and not machine.recoverable(ended, RULES)
    assert after((Event.RECOVERED, 10.2), (Event.CHECKED, 10.2), (Event.READY, 10.3), start=ended) == ended


def test_a_reflex_is_recovered_as_often_as_allowed_and_then_waits_for_a_person():
    now = RUNNING
    for count in range(RULES.max_recoveries):
        now = after((Event.REFLEX, 11), start=now)
        assert machine.recoverable(now, RULES)
        now, reactions = machine.recover(now, RULES)
        assert reactions == [Reaction.RECOVER] and now.recoveries == count + 1
        assert not machine.recoverable(now, RULES)  # asked once
        now = after((Event.RECOVERED, 12), start=now)
        assert now.state is State.PREFLIGHT  # and the operator confirms again
        now = after((Event.CHECKED, 12), (Event.AT_HOME, 12), (Event.CONFIRMED, 12), start=now)
    now = after((Event.REFLEX, 13), start=now)
    assert now.ending is Ending.REFLEX and not machine.recoverable(now, RULES)
    assert after((Event.RECOVERED, 14), start=now).state is State.FAULT


def test_a_user_stop_during_a_recovery_is_not_cleared():
    now, _ = machine.recover(after((Event.REFLEX, 11), start=RUNNING), RULES)
    now = after((Event.USER_STOP, 11.1), (Event.RECOVERED, 11.2), start=now)
    assert now.state is State.FAULT and now.ending is Ending.USER_STOP


def test_exit_codes_are_one_for_each_class():
    assert len({e.code for e in Ending}) == len(Ending)
    ends = set(machine.FAULTS.values()) | set(machine.STOPS.values())
    assert ends | {Ending.REFLEX, Ending.BUG, Ending.MISTAKE} == set(Ending)


class AnyOrder(RuleBasedStateMachine):
    """A model of the arm. It is under control between START_MOTION and STOP_MOTION, and a fault ends the control."""

    @initialize()
    def begin(self):
        self.now, self.time, self.controlled, self.confirmed, self.user_stopped = Situation(), 0.0, False, False, False

    def _take(self, now, reactions, event):
        before, self.now = self.now, now
        for reaction in reactions:
            if reaction is Reaction.START_MOTION:
                assert now.state in machine.MOVES
                self.controlled = True
            elif reaction is Reaction.STOP_MOTION:
                self.controlled = False
            else:
                assert not self.user_stopped and now.ending is Ending.REFLEX
        if now.state is State.RUN and before.state is State.ARMED:
            assert event is Event.CONFIRMED
        if before.state in ENDED and now.state not in ENDED:
            assert event is Event.RECOVERED and before.ending is Ending.REFLEX and before.recovering
        if event is Event.USER_STOP:
            self.user_stopped = True

    @rule(event=st.sampled_from(Event), wait_s=st.floats(0, 2), age_s=st.floats(0, 3))
    def anything(self, event, wait_s, age_s):
        self.time += wait_s
        self._take(*react(self.now, event, self.time, RULES, captured_s=self.time - age_s), event)

    @rule(wait_s=st.floats(0, 0.15))
    def a_good_tenth_of_a_second(self, wait_s):
        self.time += wait_s
        for event in (Event.ACTION, Event.FRAME):
            self._take(*react(self.now, event, self.time, RULES, captured_s=self.time), event)

    @rule()
    def forward(self):
        for event in (Event.READY, Event.CHECKED, Event.AT_HOME, Event.CONFIRMED):
            self._take(*react(self.now, event, self.time, RULES), event)

    @rule()
    def recovery(self):
        self._take(*machine.recover(self.now, RULES), None)

    @invariant()
    def the_arm_is_under_control_in_the_states_that_move_and_in_no_other(self):
        assert self.controlled == (self.now.state in machine.MOVES)

    @invariant()
    def an_end_has_a_reason(self):
        assert (self.now.state in ENDED) == (self.now.ending is not None)
        assert self.now.state not in ENDED or self.now.why

    @invariant()
    def a_user_stop_stays(self):
        assert not self.user_stopped or self.now.ending is Ending.USER_STOP or self.now.state is State.FAULT

    @invariant()
    def no_more_recoveries_than_allowed(self):
        assert self.now.recoveries <= RULES.max_recoveries


AnyOrder.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAnyOrder = AnyOrder.TestCase

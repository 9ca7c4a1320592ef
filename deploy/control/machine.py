"""The state machine of a deployment, as a pure function: from an event and its time to the next state and the
reactions.

    INIT ─▶ PREFLIGHT ─▶ HOME ─▶ ARMED ─▶ RUN ◀─▶ HOLD        any state ─▶ STOP | FAULT
                ▲          ▲               │
                └ recovery └── next episode┘

The arm may move only in HOME, RUN and HOLD; in HOLD it slows down inside its limits and holds. Nothing here reads a
clock, sends anything or waits. The process that owns the robot reports the events and carries out the reactions.
"""

import enum
from dataclasses import dataclass, replace

from deploy.endings import Ending


class State(enum.Enum):
    INIT = "init"
    PREFLIGHT = "preflight"
    HOME = "home"
    ARMED = "armed"
    RUN = "run"
    HOLD = "hold"
    STOP = "stop"
    FAULT = "fault"


MOVES = frozenset({State.HOME, State.RUN, State.HOLD})
"""States in which set-points may be sent."""
RUNNING = frozenset({State.RUN, State.HOLD})


class Event(enum.Enum):
    READY = "every process is up and the policy is warm"
    CHECKED = "every check before motion passed"
    AT_HOME = "the arm is at its home pose"
    CONFIRMED = "the operator confirmed"
    ACTION = "a valid action came from the policy"
    FRAME = "a frame with a new sequence number came; `captured_s` is its time"
    TICK = "time has passed"
    EPISODE_OVER = "the episode ended and another follows"
    FINISHED = "the last episode ended"
    REFLEX = "the arm's reflex stopped it"
    RECOVERED = "the arm took the recovery"
    PREFLIGHT_FAILED = "a check before motion failed"
    RECOVERY_FAILED = "the arm refused the recovery"
    USER_STOP = "the user stop is pressed"
    NETWORK = "the connection to the robot is lost"
    LIMITS = "the arm, or a command for it, is outside the limits"
    ROBOT_FAILED = "the arm or its client failed in a way that this program doesn't know"
    GRIPPER_FAILED = "the gripper failed"
    POLICY_DIED = "the policy's process ended"
    CAMERA_DIED = "the camera's process ended"
    DECLINED = "the operator did not confirm"
    INTERRUPTED = "the operator stopped the program"


class Reaction(enum.Enum):
    START_MOTION = "take control of the arm, at rest where it is"
    STOP_MOTION = "bring the arm to rest and give control back"
    RECOVER = "ask the arm for its automatic error recovery"


@dataclass(frozen=True)
class Rules:
    """Times in seconds."""

    policy_hold_s: float = 0.2
    """Time without an action after which the arm holds."""
    policy_stop_s: float = 1.0
    """Time without an action after which the run stops."""
    camera_hold_s: float = 0.2
    """Age of the newest frame, and time without a new sequence number, after which the arm holds."""
    camera_stop_s: float = 5.0
    """The same, after which the run stops."""
    max_recoveries: int = 1
    """Number of reflexes in one run that are recovered without a person."""


@dataclass(frozen=True)
class Situation:
    """The machine's memory."""

    state: State = State.INIT
    action_s: float = 0.0
    """When the last valid action came."""
    frame_s: float = 0.0
    """When the last new sequence number came."""
    captured_s: float = 0.0
    """When the newest frame was captured."""
    recoveries: int = 0
    recovering: bool = False
    """Whether the arm was asked for its recovery and has not answered yet."""
    ending: Ending | None = None
    """Set in STOP and FAULT."""
    why: str = ""


FAULTS = {
    Event.USER_STOP: Ending.USER_STOP,
    Event.NETWORK: Ending.NETWORK,
    Event.LIMITS: Ending.LIMITS,
    Event.GRIPPER_FAILED: Ending.GRIPPER,
    Event.PREFLIGHT_FAILED: Ending.PREFLIGHT,
    Event.RECOVERY_FAILED: Ending.REFLEX,
    Event.ROBOT_FAILED: Ending.ROBOT,
}
STOPS = {
    Event.INTERRUPTED: Ending.INTERRUPTED,
    Event.DECLINED: Ending.DECLINED,
    Event.FINISHED: Ending.DONE,
    Event.POLICY_DIED: Ending.POLICY,
    Event.CAMERA_DIED: Ending.CAMERA,
}
FORWARD = {
    (State.INIT, Event.READY): State.PREFLIGHT,
    (State.PREFLIGHT, Event.CHECKED): State.HOME,
    (State.HOME, Event.AT_HOME): State.ARMED,
    (State.ARMED, Event.CONFIRMED): State.RUN,
    (State.RUN, Event.EPISODE_OVER): State.HOME,
    (State.HOLD, Event.EPISODE_OVER): State.HOME,
}


def react(
    now: Situation, event: Event, time_s: float, rules: Rules, *, captured_s: float = 0.0, why: str = ""
) -> tuple[Situation, list[Reaction]]:
    """The situation after `event` at `time_s`, and the reactions in their order. An event without a meaning in the
    present state changes nothing."""
    if now.state in (State.STOP, State.FAULT):
        return _after_the_end(now, event)
    why = why or event.value
    if event in FAULTS:
        return _end(now, State.FAULT, FAULTS[event], why)
    if event in STOPS:
        return _end(now, State.STOP, STOPS[event], why)
    if event is Event.REFLEX:
        return _end(now, State.FAULT, Ending.REFLEX, why)
    if event is Event.ACTION:
        now = replace(now, action_s=time_s)
    elif event is Event.FRAME:
        now = replace(now, frame_s=time_s, captured_s=captured_s)
    if (now.state, event) in FORWARD:
        return _forward(now, FORWARD[now.state, event], time_s)
    return _watch(now, time_s, rules) if now.state in RUNNING else (now, [])


def recoverable(now: Situation, rules: Rules) -> bool:
    """Whether the arm may be asked for its recovery: only after a reflex, and not more often than the rules allow."""
    waits = now.state is State.FAULT and now.ending is Ending.REFLEX and not now.recovering
    return waits and now.recoveries < rules.max_recoveries


def recover(now: Situation, rules: Rules) -> tuple[Situation, list[Reaction]]:
    """Counts a recovery and asks the arm for it, or changes nothing if it is not allowed. Call it when the arm is at
    rest."""
    if not recoverable(now, rules):
        return now, []
    return replace(now, recoveries=now.recoveries + 1, recovering=True), [Reaction.RECOVER]


def _after_the_end(now: Situation, event: Event) -> tuple[Situation, list[Reaction]]:
    if event is Event.USER_STOP and now.ending is not Ending.USER_STOP:  # after it a reflex is not recovered any more
        return replace(now, state=State.FAULT, ending=Ending.USER_STOP, why=event.value), []
    if now.state is State.FAULT and now.ending is Ending.REFLEX:
        if event is Event.RECOVERED and now.recovering:
            return replace(now, state=State.PREFLIGHT, recovering=False, ending=None, why=""), []
        if event in STOPS or event in FAULTS:
            ending = {**STOPS, **FAULTS}[event]
            return replace(now, recovering=False, ending=ending, why=f"{event.value}, after: {now.why}"), []
    return now, []


def _end(now: Situation, state: State, ending: Ending, why: str) -> tuple[Situation, list[Reaction]]:
    reactions = [Reaction.STOP_MOTION] if now.state in MOVES else []
    return replace(now, state=state, ending=ending, why=why), reactions


def _forward(now: Situation, state: State, time_s: float) -> tuple[Situation, list[Reaction]]:
    reactions = [Reaction.STOP_MOTION] if now.state in MOVES else []
    reactions += [Reaction.START_MOTION] if state in MOVES else []
    if state is State.RUN:  # from now on silence counts
        now = replace(now, action_s=time_s, frame_s=time_s, captured_s=time_s)
    return replace(now, state=state), reactions


def _watch(now: Situation, time_s: float, rules: Rules) -> tuple[Situation, list[Reaction]]:
    silent = time_s - now.action_s
    blind = max(time_s - now.frame_s, time_s - now.captured_s)
    if blind > rules.camera_stop_s:
        return _end(now, State.STOP, Ending.CAMERA, f"no fresh frame for {blind:.1f} s")
    if silent > rules.policy_stop_s:
        return _end(now, State.STOP, Ending.POLICY, f"no action from the policy for {silent:.1f} s")
    if blind > rules.camera_hold_s:
        return replace(now, state=State.HOLD, why=f"no fresh frame for {blind:.2f} s"), []
    if silent > rules.policy_hold_s:
        return replace(now, state=State.HOLD, why=f"no action from the policy for {silent:.2f} s"), []
    return replace(now, state=State.RUN, why=""), []

"""Experts: privileged, memoryless, and able to label any state the student reaches.

An expert sees the simulator's true state. It is a continuous function of that state, without phases or counters,
because a student that sees one frame can only imitate what one frame can tell: a state machine would label the same
picture in two ways. `LearnedExpert` is a policy that reinforcement learning made, with the same two properties.
"""

from policies.experts.cabinet import ScriptedCabinet
from policies.experts.hand_cabinet import HandCabinet
from policies.experts.hand_move import HandMove
from policies.experts.hand_pick import HandPick
from policies.experts.hand_reach import HandReach
from policies.experts.learned import LearnedExpert
from policies.experts.lift import ScriptedLift
from policies.experts.move import ScriptedMove
from policies.experts.pick import ScriptedPick
from policies.experts.reach import ScriptedReach

__all__ = [
    "HandCabinet",
    "HandMove",
    "HandPick",
    "HandReach",
    "LearnedExpert",
    "ScriptedCabinet",
    "ScriptedLift",
    "ScriptedMove",
    "ScriptedPick",
    "ScriptedReach",
]

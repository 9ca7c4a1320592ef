"""Experts: they see the true state, have no memory, and can label any state that the student reaches.

An expert is a continuous function of the simulator's true state, without phases or counters. A student that sees one
frame can only imitate what one frame shows, and a state machine would label the same picture in two ways.
`LearnedExpert` is a policy from reinforcement learning, with the same two properties.

On the arrow: the simulator's processes call `label(env)`, and DAgger stores the label with the frame's features.
"""

from policies.experts.cabinet import ScriptedCabinet
from policies.experts.hand_cabinet import HandCabinet
from policies.experts.hand_move import HandMove
from policies.experts.hand_pick import HandPick
from policies.experts.hand_reach import HandReach
from policies.experts.hidden import ScriptedHidden
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
    "ScriptedHidden",
    "ScriptedLift",
    "ScriptedMove",
    "ScriptedPick",
    "ScriptedReach",
]

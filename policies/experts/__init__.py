"""Scripted experts: privileged, memoryless, and able to label any state the student reaches.

An expert sees the simulator's true state. It is a continuous function of that state, without phases or counters,
because a student that sees one frame can only imitate what one frame can tell: a state machine would label the same
picture in two ways.
"""

from policies.experts.cabinet import ScriptedCabinet
from policies.experts.hand_pick import HandPick
from policies.experts.lift import ScriptedLift
from policies.experts.move import ScriptedMove
from policies.experts.pick import ScriptedPick
from policies.experts.reach import ScriptedReach

__all__ = ["HandPick", "ScriptedCabinet", "ScriptedLift", "ScriptedMove", "ScriptedPick", "ScriptedReach"]

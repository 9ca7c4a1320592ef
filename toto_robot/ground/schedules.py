"""Learning rates as pure functions of the step, so that a resumed run needs no scheduler state.

On the arrow: every trainer (policies, experts, tokenizers, pre-training) takes its learning rate from here.
"""

import math


def half_cosine(done: float, of: float = 1.0) -> float:
    """From 1 at the start down to 0 when `done` reaches `of`, along half a cosine."""
    return 0.5 * (1 + math.cos(math.pi * done / of))


def learning_rate(step: int, *, peak: float, warmup_steps: int, steps: int, final: float) -> float:
    """The rate of step `step` (counted from 0): linear to `peak`, then half a cosine down to `peak · final`."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    along = min(1.0, (step - warmup_steps) / max(1, steps - 1 - warmup_steps))
    return peak * (final + (1 - final) * half_cosine(along))


def overlapping_rate(step: int, *, peak: float, warmup_steps: int, steps: int, final: float) -> float:
    """As `learning_rate`, but the cosine already falls during the warm-up: the two factors are multiplied. Policies are
    trained with this one."""
    warm = min(1.0, (step + 1) / max(1, warmup_steps))
    return peak * warm * (final + (1 - final) * half_cosine(step, max(1, steps)))

"""The learning rate: a pure function of the step, so a resumed run needs no scheduler's state."""

import math


def learning_rate(step: int, *, peak: float, warmup_steps: int, steps: int, final: float) -> float:
    """The rate of step `step` (counted from 0): linear to `peak`, then half a cosine down to `peak · final`."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    along = min(1.0, (step - warmup_steps) / max(1, steps - 1 - warmup_steps))
    return peak * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * along)))

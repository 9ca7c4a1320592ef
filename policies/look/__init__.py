"""Does the camera see what the policy knows? Statistics of the training pictures, compared with live frames.

On the arrow: training writes the statistics into the policy's folder, and `deploy` compares a camera's frames with
them.
"""

from policies.look.rows import Rows, measure
from policies.look.training_look import DOUBTFUL, FAR, FRAMES, IN, OUT, UNKNOWN, UNSURE, TrainingLook, Verdict, unknown

__all__ = [
    "DOUBTFUL",
    "FAR",
    "FRAMES",
    "IN",
    "OUT",
    "UNKNOWN",
    "UNSURE",
    "Rows",
    "TrainingLook",
    "Verdict",
    "measure",
    "unknown",
]

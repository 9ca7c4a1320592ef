"""Does the camera see what the policy knows? Statistics of the training pictures, and the comparison of live frames with them."""

from policies.look.rows import Rows, measure
from policies.look.training_look import DOUBTFUL, FRAMES, IN, OUT, UNKNOWN, TrainingLook, Verdict, unknown

__all__ = ["DOUBTFUL", "FRAMES", "IN", "OUT", "UNKNOWN", "Rows", "TrainingLook", "Verdict", "measure", "unknown"]

"""The expert of the task cabinet."""

import numpy as np

from policies.experts.motion import Scripted


class ScriptedCabinet(Scripted):
    pass

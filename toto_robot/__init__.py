"""Toto: pre-training on the visual tokens of video, and frozen features for robot policies."""

import os

from toto_robot.ground import amx

# OpenMP threads that wait for each other spin for well under a millisecond and then sleep, unless the user has said
# otherwise. By default they spin longer than the gaps between operations in a loop that also waits for simulator
# workers, and on two cores take the time that those need: the encoder ran 3 to 16 times slower. Without any spinning
# the student's updates take 1.5 times as long. It must be set before torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")
amx.keep_off_if_broken()


def __getattr__(name: str):
    """Import `toto_robot.load_encoder` at first use, so that a command without a model starts without torch."""
    if name == "load_encoder":
        from toto_robot.features.encoder import load_encoder

        return load_encoder
    raise AttributeError(f"module 'toto_robot' has no attribute {name!r}")

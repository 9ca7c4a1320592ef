"""Toto: pre-training on the visual tokens of video, and frozen features for robot policies."""

import os

from toto_robot.ground import amx, gymnasium_ids, siblings

# By default OpenMP threads that wait spin for longer than the gaps between operations. In a loop that also waits for
# simulator workers on two cores, they take the time that the workers need: the encoder ran 3 to 16 times slower.
# Without any spinning the student's updates take 1.5 times as long. With this count threads spin for well under a
# millisecond and then sleep. It must be set before torch is loaded. A setting of the user is kept.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")
amx.keep_off_if_broken()
siblings.refuse_shadows()
gymnasium_ids.register()


def __getattr__(name: str):
    """Import `toto_robot.load_encoder` at first use, so that a command without a model starts without torch."""
    if name == "load_encoder":
        from toto_robot.features.encoder import load_encoder

        return load_encoder
    raise AttributeError(f"module 'toto_robot' has no attribute {name!r}")

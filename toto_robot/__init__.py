"""Toto: pre-training on the visual tokens of video, and frozen features for robot policies."""

import os

# OpenMP threads that wait for each other sleep instead of spinning, unless the user has said otherwise. On two cores
# that other processes (simulator workers, another run) also use, spinning makes the encoder 3 to 16 times slower
# (medians of 5 and 15 against 81 and 47 frames/s). It must be set before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def __getattr__(name: str):
    """`toto_robot.load_encoder`, imported when first asked for: a door that needs no model starts without torch."""
    if name == "load_encoder":
        from toto_robot.features.encoder import load_encoder

        return load_encoder
    raise AttributeError(f"module 'toto_robot' has no attribute {name!r}")

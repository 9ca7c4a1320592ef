"""Toto: pre-training on the visual tokens of video, and frozen features for robot policies."""


def __getattr__(name: str):
    """`toto_robot.load_encoder`, imported when first asked for: a door that needs no model starts without torch."""
    if name == "load_encoder":
        from toto_robot.features.encoder import load_encoder

        return load_encoder
    raise AttributeError(f"module 'toto_robot' has no attribute {name!r}")

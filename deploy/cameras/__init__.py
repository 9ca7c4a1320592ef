"""Cameras by name: `make(CameraConfig(kind="opencv", device="0"))`.

A package adds a camera through the entry-point group `toto_robot.cameras`: a callable that takes a `CameraConfig` and
gives a `Camera`, under the name of its kind.
"""

from deploy.cameras.base import Camera, CameraConfig, CameraError, CameraFeatures, CameraLost, Frame, read_config
from deploy.cameras.registry import make, names

__all__ = [
    "Camera",
    "CameraConfig",
    "CameraError",
    "CameraFeatures",
    "CameraLost",
    "Frame",
    "make",
    "names",
    "read_config",
]

"""The cameras by name. Each is imported when it is made, so its library is not needed for the others."""

import importlib
from importlib.metadata import entry_points

from deploy.cameras.base import Camera, CameraConfig, CameraError
from deploy.cameras.faulty import FaultyCamera
from toto_robot.ground.errors import unknown

GROUP = "toto_robot.cameras"
OURS = {
    "realsense": "deploy.cameras.realsense_camera:RealsenseCamera",
    "opencv": "deploy.cameras.opencv_camera:OpencvCamera",
    "video": "deploy.cameras.video_camera:VideoCamera",
    "mujoco": "deploy.cameras.mujoco_camera:MujocoCamera",
}


def names() -> list[str]:
    """Every kind of camera, ours first."""
    return [*OURS, *sorted(entry.name for entry in entry_points(group=GROUP) if entry.name not in OURS)]


def make(config: CameraConfig) -> Camera:
    """The camera of `config`, not yet open, with its faults. Raises CameraError for a kind that does not exist."""
    if config.kind in OURS:
        module, _, name = OURS[config.kind].partition(":")
        camera = getattr(importlib.import_module(module), name)(config)
    else:
        found = [entry for entry in entry_points(group=GROUP) if entry.name == config.kind]
        if not found:
            raise unknown("kind of camera", config.kind, names(), error=CameraError)
        camera = found[0].load()(config)
    return FaultyCamera(camera, config.faults) if config.faults else camera

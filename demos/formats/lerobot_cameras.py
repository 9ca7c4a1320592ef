"""The cameras of a LeRobot set: those that can be read here, and the frames of an episode.

Depth maps and cameras without a decoder are left out and named. `cameras=` chooses among the others.
"""

from pathlib import Path

import numpy as np

from demos.errors import DemoError
from demos.formats import lerobot_files as files
from demos.formats import lerobot_parquet as tables
from demos.formats.lerobot_parquet import IMAGES
from demos.formats.source import Imported, Options, key_name, left_out, picture_shape
from demos.formats.video import has_decoder, read_span

KINDS = ("image", "video")


class Cameras:
    """The cameras that are imported: `shapes` maps a feature's name to (height, width) in pixels."""

    def __init__(self, path: Path, info: dict, features: dict[str, dict], source: Imported, options: Options):
        self.path, self.info, self.features = path, info, features
        self.shapes: dict[str, tuple[int, int]] = {}
        for name, feature in features.items():
            if feature["dtype"] not in KINDS:
                continue
            shape = picture_shape(feature["shape"])
            if reason := _not_rgb(feature, shape):
                source.drop(name, reason)
            elif shape is not None:
                self.shapes[name] = shape[:2]
        named = {name: key_name(camera(name)) for name in self.shapes}
        self._remove(left_out(source, named, options, str(path)))

    def _remove(self, names: set[str]) -> None:
        self.shapes = {name: shape for name, shape in self.shapes.items() if name not in names}

    @property
    def videos(self) -> list[str]:
        """Those whose frames lie in video files."""
        return [name for name in self.shapes if self.features[name]["dtype"] == "video"]

    @property
    def pictures(self) -> list[str]:
        """Those whose frames are pictures in the tables."""
        return [name for name in self.shapes if self.features[name]["dtype"] == "image"]

    def drop_unreadable(self, row: dict, source: Imported) -> None:
        """Leave out the cameras whose codec has no decoder here, judged by the episode `row`."""
        for name in self.videos:
            if not has_decoder(files.video_place(self.path, self.info, name, row)[0]):
                source.drop(name, "this build of PyAV has no decoder for its video")
                self._remove({name})

    def frames(self, name: str, row: dict, table, fps: float) -> np.ndarray:
        """The frames of an episode, uint8 (T, H, W, 3)."""
        where = f"{self.path}, episode {row['episode_index']}"
        try:
            if name in self.videos:
                file, start_s = files.video_place(self.path, self.info, name, row)
                frames = read_span(file, start_s, fps, row["length"])
            else:
                frames = tables.pictures(table[name], where)
        except DemoError as error:
            others = ",".join(key_name(camera(other)) for other in self.shapes if other != name)
            raise DemoError(f"{error}" + (f", or leave this camera out: cameras=[{others}]" * bool(others))) from error
        if frames.shape[1:] != (*self.shapes[name], 3):
            raise DemoError(f"{where}: expected {name} of shape {(*self.shapes[name], 3)}, got {frames.shape[1:]}")
        return frames


def camera(name: str) -> str:
    """The camera's name without LeRobot's prefix."""
    return name.removeprefix(IMAGES) if name.startswith(IMAGES) else name.removeprefix("observation.")


def _not_rgb(feature: dict, shape: tuple[int, int, int] | None) -> str:
    """Why a camera can't be one here; empty if it can."""
    if shape is None:
        return f"its shape {list(feature['shape'])} is not that of pictures"
    if shape[2] == 1:
        return "pictures with 1 channel (depth, infrared); a camera has 3 here"
    infos = [feature.get(key) for key in ("info", "video_info")]
    depth = any(isinstance(said, dict) and said.get("video.is_depth_map") for said in infos)
    return "a depth map; a camera has colours here" if depth else ""

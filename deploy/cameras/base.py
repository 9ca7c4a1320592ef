"""What every camera gives: one square RGB frame, when it was taken, and its number.

    camera = make(CameraConfig(kind="opencv", device="/dev/video0", crop="lower"))
    camera.features            # known before the device is touched
    with camera:
        frame = camera.read(timeout_s=0.5)

`read` gives the newest frame and never the same one twice, except where the source itself repeats one: a number that
stands still is how a loop tells a frozen camera. Frames come cropped and resized as `config` says (by
`toto_robot.video`, as everywhere), so a policy sees from a lens what it saw in training.
"""

import threading
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Protocol

import numpy as np

from deploy.cameras.intrinsics import CROPS, Intrinsics
from toto_robot.ground.errors import UserError
from toto_robot.ground.strict import read_yaml
from toto_robot.video.frames import check_frames, resize_center_crop


class CameraError(UserError):
    """A camera that can't be opened or read as asked; the message says what exists and what to do."""


class CameraLost(CameraError):
    """A camera that worked and gives nothing any more: unplugged, at its end, or no new frame within the timeout."""


@dataclass(frozen=True)
class Frame:
    """One picture."""

    rgb: np.ndarray
    """uint8 (H, W, 3)."""
    captured_s: float
    """When it was taken, on `time.monotonic` (in lockstep: on the emulated robot's clock)."""
    sequence: int
    """Counts frames of the source, dropped ones too; never goes back."""


@dataclass
class CameraConfig:
    """One camera, as a YAML file or the command line describes it."""

    kind: str = "mujoco"
    """Which backend: realsense, opencv, video, mujoco, or one that a package adds."""
    name: str = "wrist"
    """What it is called in recordings, and in a simulated scene."""
    device: str = ""
    """realsense: serial number (empty: the only one); opencv: index or path; video: file; mujoco: IP[:PORT] of the
    emulator's console."""
    width: int = 640
    """Pixels asked of the sensor."""
    height: int = 480
    """Pixels asked of the sensor."""
    fps: float = 30.0
    """Frames a second asked of the sensor; a video file keeps its own."""
    crop: str = "center"
    """center: the square in the middle; lower: MVP's, 448 of 480 rows from the bottom."""
    size: int = 128
    """Pixels on the side of the frames that come out."""
    intrinsics: Intrinsics | None = None
    """Of the sensor's whole picture; None where unknown (a RealSense tells its own)."""
    faults: list[str] = field(default_factory=list)
    """For tests: what goes wrong and when, e.g. [freeze@20-40]; see `faulty`."""

    def __post_init__(self) -> None:
        if self.crop not in CROPS:
            raise CameraError(f"crop={self.crop!r} does not exist; there are: {', '.join(CROPS)}")
        if min(self.width, self.height, self.size) < 8 or not 0 < self.fps <= 1000:
            raise CameraError(
                "expected width, height and size of at least 8 pixels and fps from above 0 to 1000, got "
                f"{self.width}, {self.height}, {self.size} and {self.fps}"
            )
        if isinstance(self.intrinsics, dict):
            self.intrinsics = _from_dict(Intrinsics, self.intrinsics, "intrinsics")
        inner = self.intrinsics
        if inner and (inner.width, inner.height) != (self.width, self.height):
            raise CameraError(
                f"the intrinsics are for {inner.width}×{inner.height} pixels and the camera is asked for "
                f"{self.width}×{self.height}; calibrate at the size that is used"
            )

    def picture(self, rgb: np.ndarray) -> np.ndarray:
        """The sensor's picture uint8 (H, W, 3), cropped and resized to (size, size, 3)."""
        check_frames(rgb, what=f"camera {self.name}")
        return resize_center_crop(CROPS[self.crop](rgb), self.size)


def read_config(path) -> CameraConfig:
    """The camera that a YAML file describes: keys of `CameraConfig`. CameraError for what is not one."""
    path = Path(path)
    try:
        values = read_yaml(path)
    except UserError as error:
        raise CameraError(f"can't read the camera file {path}: {error}") from error
    return _from_dict(CameraConfig, values, str(path))


def _from_dict(kind: type, values, where: str):
    keys = [f.name for f in fields(kind)]
    wrong = sorted(set(values) - set(keys)) if isinstance(values, dict) else [type(values).__name__]
    if wrong:
        raise CameraError(f"{where}: expected the keys {', '.join(keys)}, got {', '.join(map(str, wrong))}")
    try:
        return kind(**values)
    except TypeError as error:
        raise CameraError(f"{where}: {error}; it takes {', '.join(keys)}") from error


@dataclass(frozen=True)
class CameraFeatures:
    """What is known of a camera before it is opened."""

    name: str
    kind: str
    shape: tuple[int, int, int]
    """(H, W, 3) of its frames."""
    fps: float
    physical: bool
    """Whether a sensor's noise makes two equal frames in a row a sign of a stuck camera."""


class Camera(Protocol):
    """A source of frames. `features` holds before `open`; `open` raises CameraError and `read` CameraLost."""

    features: CameraFeatures
    intrinsics: Intrinsics | None
    """Of the frames that `read` gives; None where unknown."""

    def open(self) -> None: ...

    def read(self, timeout_s: float) -> Frame:
        """The newest frame; waits for one that it has not given yet."""

    def close(self) -> None: ...


class BaseCamera:
    """What the backends share: config, features, and closing at the end of a `with`."""

    physical = True

    def __init__(self, config: CameraConfig):
        self.config = config
        self.features = CameraFeatures(
            config.name, config.kind, (config.size, config.size, 3), config.fps, self.physical
        )
        self.intrinsics = config.intrinsics and config.intrinsics.cropped(config.crop, config.size)

    def __enter__(self):
        self.open()
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def error(self, text: str, kind: type[CameraError] = CameraError) -> CameraError:
        device = f" ({self.config.device})" if self.config.device else ""
        return kind(f"camera {self.config.name}, {self.config.kind}{device}: {text}")


class Newest:
    """One place between a reader thread and `read`: a newer frame replaces an older one."""

    def __init__(self):
        self._changed, self._frame, self._end = threading.Condition(), None, None

    def put(self, frame) -> None:
        """`frame`: anything; `take` gives it once."""
        with self._changed:
            self._frame = frame
            self._changed.notify_all()

    def end(self, reason: str) -> None:
        """Nothing more will come."""
        with self._changed:
            self._end = reason
            self._changed.notify_all()

    def take(self, timeout_s: float):
        """The newest frame that was not taken yet; LookupError with the reason where none comes."""
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None or self._end is not None, timeout_s)
            frame, self._frame = self._frame, None
            if frame is None:
                raise LookupError(self._end or f"no new frame within {timeout_s:g} s")
            return frame

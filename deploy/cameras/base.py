"""What every camera gives: a square RGB frame, its time, and its number.

    camera = make(CameraConfig(kind="opencv", device="/dev/video0", crop="lower"))
    camera.features            # known before the device is touched
    with camera:
        frame = camera.read(timeout_s=0.5)

`read` gives the newest frame, and never the same one twice unless the source itself repeats one. A loop recognises a
frozen camera by a number that does not change. `config` says how frames are cropped and resized (with
`toto_robot.video`, as everywhere), so a policy sees through a lens what it saw in training.
"""

import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from deploy.cameras.intrinsics import CROPS, Intrinsics
from toto_robot.ground.errors import UserError, unknown
from toto_robot.ground.strict import read_yaml
from toto_robot.video.frames import check_frames, resize_center_crop


class CameraError(UserError):
    """A camera can't be opened or read as asked. The message says what exists and what to do."""


class CameraLost(CameraError):
    """A camera that worked gives nothing any more: it is unplugged, at its end, or has no new frame within the
    timeout."""


@dataclass(frozen=True)
class Frame:
    """One picture."""

    rgb: np.ndarray
    """uint8 (H, W, 3)."""
    captured_s: float
    """The time of its capture, on `time.monotonic` (in lockstep: on the emulated robot's clock)."""
    sequence: int
    """The number of the frame. It counts dropped frames too and never goes back."""


@dataclass
class CameraConfig:
    """One camera, as a YAML file or the command line describes it."""

    kind: str = "mujoco"
    """The backend: realsense, opencv, video, mujoco, or one that a package adds."""
    name: str = "wrist"
    """Its name in recordings, and in a simulated scene."""
    device: str = ""
    """realsense: serial number (empty for the only one); opencv: index or path; video: file; mujoco: IP[:PORT] of the
    emulator's console."""
    width: int = 640
    """Width of the sensor's picture, pixels."""
    height: int = 480
    """Height of the sensor's picture, pixels."""
    fps: float = 30.0
    """Frames a second of the sensor. A video file keeps its own rate."""
    fourcc: str = ""
    """opencv: the pixel format that a USB camera sends, e.g. MJPG or YUYV; empty for the driver's choice. Many cameras
    give full rate at full size only as MJPG."""
    crop: str = "center"
    """center: the square in the middle; lower: MVP's, 448 of 480 rows from the bottom."""
    size: int = 128
    """Side of the resulting frames, pixels."""
    intrinsics: Intrinsics | None = None
    """The lens of the sensor's whole picture; None if it is unknown. A RealSense reports its own."""
    faults: list[str] = field(default_factory=list)
    """For tests: the faults and their times, e.g. [freeze@20-40]; see `faulty`."""

    def __post_init__(self) -> None:
        if self.crop not in CROPS:
            raise unknown("crop", self.crop, CROPS, error=CameraError)
        if min(self.width, self.height, self.size) < 8 or not 0 < self.fps <= 1000:
            raise CameraError(
                "expected width, height and size of at least 8 pixels and fps from above 0 to 1000, got "
                f"{self.width}, {self.height}, {self.size} and {self.fps}"
            )
        if self.fourcc and (len(self.fourcc) != 4 or not self.fourcc.isascii()):
            raise CameraError(f"fourcc: expected four characters such as MJPG or YUYV, got {self.fourcc!r}")
        if self.fourcc and self.kind != "opencv":
            raise CameraError(f"fourcc={self.fourcc}: only kind opencv has one, got kind {self.kind}; leave it out")
        if isinstance(self.intrinsics, dict):
            self.intrinsics = _from_dict(Intrinsics, self.intrinsics, "intrinsics")
        inner = self.intrinsics
        if inner and (inner.width, inner.height) != (self.width, self.height):
            raise CameraError(
                f"the intrinsics are for {inner.width}×{inner.height} pixels and the camera is asked for "
                f"{self.width}×{self.height}; calibrate at the size that you use"
            )

    def picture(self, rgb: np.ndarray) -> np.ndarray:
        """The sensor's picture uint8 (H, W, 3), cropped and resized to (size, size, 3)."""
        check_frames(rgb, what=f"camera {self.name}")
        return resize_center_crop(CROPS[self.crop](rgb), self.size)


def read_config(path) -> CameraConfig:
    """The camera in a YAML file with the keys of `CameraConfig`. Raises CameraError for a wrong file."""
    path = Path(path)
    try:
        values = read_yaml(path)
    except UserError as error:
        raise CameraError(f"can't read the camera file {path}: {error}") from error
    return _from_dict(CameraConfig, values, str(path))


Kind = TypeVar("Kind", CameraConfig, Intrinsics)


def _from_dict(kind: type[Kind], values: Any, where: str) -> Kind:
    """A dataclass from a dict with its keys. Raises CameraError for wrong keys or values."""
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
    """What is known about a camera before it is opened."""

    name: str
    kind: str
    shape: tuple[int, int, int]
    """(H, W, 3) of its frames."""
    fps: float
    physical: bool
    """Whether it has a sensor. The sensor's noise makes frames differ, so two equal frames mean that the camera is
    stuck."""


class Camera(Protocol):
    """A source of frames. `features` is valid before `open`. `open` raises CameraError, `read` raises CameraLost."""

    features: CameraFeatures

    @property
    def intrinsics(self) -> Intrinsics | None:
        """The lens of the frames that `read` gives; None if it is unknown."""

    def open(self) -> None: ...

    def read(self, timeout_s: float) -> Frame:
        """The newest frame. It waits for a frame that it has not given yet."""

    def close(self) -> None: ...


class BaseCamera(ABC):
    """The base of the backends: config and features. As a context it opens the camera, and closes it at the end."""

    physical = True
    intrinsics: Intrinsics | None
    """The lens of the frames that `read` gives; None if it is unknown."""

    def __init__(self, config: CameraConfig):
        self.config = config
        self.features = CameraFeatures(
            config.name, config.kind, (config.size, config.size, 3), config.fps, self.physical
        )
        self.intrinsics = config.intrinsics and config.intrinsics.cropped(config.crop, config.size)

    @abstractmethod
    def open(self) -> None:
        """Opens the device. Raises CameraError."""

    @abstractmethod
    def read(self, timeout_s: float) -> Frame:
        """The newest frame. Raises CameraLost."""

    @abstractmethod
    def close(self) -> None:
        """Closes the device; safe to call twice, and before `open`."""

    def __enter__(self):
        self.open()
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def error(self, text: str, kind: type[CameraError] = CameraError) -> CameraError:
        """An error that names this camera."""
        device = f" ({self.config.device})" if self.config.device else ""
        return kind(f"camera {self.config.name}, {self.config.kind}{device}: {text}")


class Newest:
    """The newest frame between a reader thread and `read`. A newer frame replaces an older one."""

    def __init__(self):
        self._changed = threading.Condition()
        self._frame: Any = None
        self._end: str | None = None

    def put(self, frame) -> None:
        """Sets the newest frame, which may be of any type. `take` gives it once."""
        with self._changed:
            self._frame = frame
            self._changed.notify_all()

    def end(self, reason: str) -> None:
        """Records why no more frames will come."""
        with self._changed:
            self._end = reason
            self._changed.notify_all()

    def take(self, timeout_s: float):
        """The newest frame that was not taken yet. Raises LookupError with the reason if none comes."""
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None or self._end is not None, timeout_s)
            frame, self._frame = self._frame, None
            if frame is None:
                raise LookupError(self._end or f"no new frame within {timeout_s:g} s")
            return frame

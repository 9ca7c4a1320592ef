"""What every format is read into and written from: attributes, a stream of episodes, and a report of the losses."""

import contextlib
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from demos.errors import DemoError
from demos.store import schema
from toto_robot.ground.errors import UserError, unknown

CAMERA = schema.CAMERA
STEP_DTYPES = {name: np.dtype(key.dtype) for name, key in schema.KEYS.items()}
"""The type as which each key of an episode is imported; the cameras' `rgb_NAME` are uint8 (T, H, W, 3)."""
SIDECAR = "toto_robot"
"""The name under which an export keeps our own attributes, so that a later import is complete."""
ROBOT_STATE = re.compile(
    r"(robot\d+_)?(state|proprio|agent_pos|joint_(pos|vel)|eef_(pos|quat)|ee_(pos|quat)|pose"
    r"|gripper(_(pos|vel|qpos|qvel))?)"
)
"""Names of observations of the robot itself. They become proprio unless `proprio=` names others."""

CHANNELS = (1, 3, 4)
"""Numbers of channels of a picture: grey or depth, RGB, and RGB with transparency."""

Episode = dict[str, np.ndarray]


@dataclass
class Options:
    """The options of readers and writers; each uses those that concern it."""

    hz: float | None = None
    """Control rate of the source in Hz, if its files do not say it."""
    proprio: tuple[str, ...] = ()
    """Observations that become proprio, in this order; empty for those of the robot itself."""
    cameras: tuple[str, ...] = ()
    """Cameras that are imported, by their name here or there; empty for all that can be read."""
    images: str = "png"
    """How LeRobot frames are stored: png, av1 or h264."""
    crf: int | None = None
    """Quality of av1 and h264, 0 is the best; None means 30 for av1, as LeRobot has it, and 18 for h264."""


@dataclass
class Report:
    """What an export kept, dropped and changed."""

    episodes: int = 0
    steps: int = 0
    kept: dict[str, str] = field(default_factory=dict)
    """Our key → its name there."""
    dropped: list[dict] = field(default_factory=list)
    """{what, why}."""
    changed: list[dict] = field(default_factory=list)
    """{what, how}: kept, but not bit for bit."""


@dataclass
class Imported:
    """A set of demonstrations as a stream."""

    attrs: dict
    """Attributes of our own store. `tasks` and `episode_tasks` name the task of each episode, if it is known."""
    read: Callable[[bool], Iterator[tuple[Episode, dict]]]
    """read(images) → (episode, meta) in order, from the start each time. Without images none has to be decoded."""
    dropped: list[dict] = field(default_factory=list)
    """{what, why} for each part of the source that is not kept; complete once the episodes have been read."""
    facts: dict = field(default_factory=dict)
    """Findings and changes on the way, for the report."""

    def episodes(self, images: bool = True) -> Iterator[tuple[Episode, dict]]:
        """The episodes, each with arrays (T, ...), and their meta: seed, success, task, as far as they are known."""
        return self.read(images)

    def drop(self, what: str, why: str) -> None:
        """Note that `what` is not kept. A second note about it is ignored."""
        if not any(entry["what"] == what for entry in self.dropped):
            self.dropped.append({"what": what, "why": why})


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """What a damaged set makes a reader raise becomes one DemoError that names the set."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        text = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        raise DemoError(f"{path} can't be read ({text}); it is damaged, download it again") from error


def guarded(source: Imported, path: Path) -> Imported:
    """The set at `path`, whose episodes raise nothing but DemoError when they are read."""

    def read(images: bool) -> Iterator[tuple[Episode, dict]]:
        episodes = source.read(images)
        while True:
            with reading(path):
                pair = next(episodes, None)
            if pair is None:
                return
            yield pair

    return replace(source, read=read)


def foreign_attributes(
    *, cameras: dict[str, tuple[int, int]], action_names: list[str], meaning: str, robot: str = "", **more
) -> dict:
    """Attributes of a foreign set. `cameras` maps a name to (height, width) in pixels; intrinsics are unknown (None).

    What `schema.attributes` names goes there, other names of `more` (`tasks`, `episode_tasks`) are added as they are.
    """
    named = inspect.signature(schema.attributes).parameters
    unknown = {"fovy_deg": None, "fx": None, "fy": None, "cx": None, "cy": None}
    return schema.attributes(
        robot=robot,
        cameras={name: {"width": w, "height": h, **unknown} for name, (h, w) in cameras.items()},
        action={"names": action_names, "meaning": meaning, "low": None, "high": None},
        versions={},
        **{name: value for name, value in more.items() if name in named},
    ) | {name: value for name, value in more.items() if name not in named}


def need_hz(found: float | None, options: Options, where: str, hint: str = "") -> float:
    """The control rate in Hz: that of the user, or else that of the files. DemoError if both are missing."""
    rate = options.hz or found
    if not rate or rate <= 0:
        raise DemoError(f"{where} does not say its control rate{hint}; give hz=RATE, in steps a second")
    return float(rate)


def suggested_hz(positions_rad: list[np.ndarray], speeds_rad_s: list[np.ndarray]) -> float | None:
    """The control rate that joint positions and velocities suggest: the slope of velocities over position changes."""
    moved_speed = square = 0.0
    for position, velocity in zip(positions_rad, speeds_rad_s):
        speed = (velocity[1:].astype(np.float64) + velocity[:-1]) / 2
        moved_speed += float((np.diff(position.astype(np.float64), axis=0) * speed).sum())
        square += float((speed**2).sum())
    return square / moved_speed if moved_speed > 0 else None


def key_name(name: str) -> str:
    """A foreign name in the form of the store: lower-case letters, digits and _."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "unnamed"


def indexed(name: str, count: int) -> list[str]:
    """Names of the columns of one observation: name for one column, otherwise name.0, name.1 and so on."""
    return [name] if count == 1 else [f"{name}.{i}" for i in range(count)]


def grouped(names: list[str]) -> list[tuple[str, int]]:
    """The inverse of `indexed` over many observations, as (name, columns); [] if the names are not of that kind."""
    groups: list[tuple[str, int]] = []
    for name in names:
        base, dot, at = name.rpartition(".")
        if dot and at.isdigit():
            if at == "0":
                groups.append((base, 1))
            elif groups and groups[-1] == (base, int(at)):
                groups[-1] = (base, int(at) + 1)
            else:
                return []
        else:
            groups.append((name, 1))
    sound = [c for name, count in groups for c in indexed(name, count)] == list(names)
    unique = len({name for name, _ in groups}) == len(groups)
    return groups if sound and unique and all("/" not in n for n, _ in groups) else []


def choose_proprio(observations: dict[str, int], options: Options, where: str) -> list[str]:
    """The low-dimensional observations (name → columns) that become proprio."""
    if unknown := [name for name in options.proprio if name not in observations]:
        raise DemoError(f"proprio={unknown[0]}: {where} has {', '.join(observations) or 'no such observations'}")
    return list(options.proprio) or [name for name in observations if ROBOT_STATE.fullmatch(name)]


def choose_cameras(found: dict[str, str], options: Options, where: str) -> list[str]:
    """The cameras that are imported, of `found` (name there → name here). DemoError lists what exists."""
    there = {name: name for name in found} | {short: name for name, short in found.items()}
    if wrong := [name for name in options.cameras if name not in there]:
        raise unknown(f"camera of {where}:", wrong[0], found.values(), "cameras=[NAME,…] chooses.", DemoError)
    chosen = {there[name] for name in options.cameras}
    return [name for name in found if not options.cameras or name in chosen]


def left_out(source: Imported, pictures: dict[str, str], options: Options, where: str) -> set[str]:
    """The cameras (names there) that `cameras=` leaves out. They are noted, and their attributes are removed."""
    gone = set(pictures) - set(choose_cameras(pictures, options, where))
    for name in sorted(gone):
        source.drop(name, "cameras= leaves it out")
    if cameras := source.attrs.get("cameras"):
        source.attrs["cameras"] = {n: said for n, said in cameras.items() if n not in {pictures[g] for g in gone}}
    return gone


def picture_shape(shape: tuple[int, ...]) -> tuple[int, int, int] | None:
    """(height, width, channels) of pictures of this shape, channels last or first; None if it is not a picture's."""
    if len(shape) != 3 or not all(n > 0 for n in shape):
        return None
    if shape[2] in CHANNELS:
        return shape[0], shape[1], shape[2]
    return (shape[1], shape[2], shape[0]) if shape[0] in CHANNELS else None


def channels_last(frames: np.ndarray) -> np.ndarray:
    """Pictures (T, H, W, C) or (T, C, H, W) as (T, H, W, C)."""
    first = frames.shape[3] not in CHANNELS and frames.shape[1] in CHANNELS
    return np.ascontiguousarray(np.moveaxis(frames, 1, 3)) if first else frames


def with_range(source: Imported) -> Imported:
    """Fill in `low` and `high` of the actions from the data, if the source has no bounds."""
    action = source.attrs["action"]
    if action.get("low") is not None:
        return source
    low, high = None, None
    for episode, _ in source.episodes(images=False):
        lowest, highest = episode["action"].min(0), episode["action"].max(0)
        low = lowest if low is None else np.minimum(low, lowest)
        high = highest if high is None else np.maximum(high, highest)
    if low is not None and high is not None:
        source.attrs["action"] = {**action, "low": [float(v) for v in low], "high": [float(v) for v in high]}
        source.facts["action_range"] = "low and high are the extremes in the data"
    return source


def check_keys(episode: Episode, keys: set[str], at: int) -> None:
    """DemoError unless episode number `at` has the `keys` of episode 0. An empty set of `keys` fits every episode."""
    if keys and set(episode) != keys:
        odd = sorted(set(episode) ^ keys)[0]
        has = "has" if odd in episode else "lacks"
        raise DemoError(f"episode {at} {has} {odd}, unlike episode 0; an export needs the same keys in all episodes")


def check_steps(episode: Episode, where: str) -> int:
    """The number of steps; DemoError unless every array has it and it is above 0."""
    lengths = {key: len(value) for key, value in episode.items()}
    if not lengths.get("action") or len(set(lengths.values())) != 1:
        raise DemoError(f"{where}: expected one length above 0 for all arrays, got {lengths}; the file is damaged")
    return lengths["action"]

"""Convert demonstrations between our store and the layouts of other projects.

    python -m demos.convert runs/pick.zarr exported to=lerobot images=av1
    python -m demos.convert berkeley_rpt/0.1.0 pick.zarr to=zarr to_hz=10
    python -m demos.convert franka_fr3_stack stack.zarr to=zarr hz=20 robot=fr3 'names=[x,y,z,qw,qx,qy,qz,gripper]'

The content of SRC tells its format: our store, a LeRobotDataset v2.0, v2.1 or v3.0, robomimic HDF5 (a file, or a folder
of files), a zarr replay buffer of Diffusion Policy, or RLDS episodes in TFRecord shards (import only). LeRobot v2 keeps
a file for each episode, so a part of a set can be imported, and the report names the rest. DST appears when it is
whole, or not at all. PNG, HDF5 and zarr keep every number. AV1 and H.264 change the pictures, and the report says by
how much.

The last line is JSON: from, to, path, episodes, steps, kept (our key: its name there), dropped (what, why), changed
(what, how), facts (findings, for example which gripper value means open).
"""

import contextlib
import dataclasses
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from demos.errors import DemoError
from demos.formats.foreign_set import FORMATS, detect, module_of, prepared, read_checked
from demos.formats.source import Imported, Options
from toto_robot import command
from toto_robot.ground import atomic
from toto_robot.ground.errors import UserError, unknown
from toto_robot.ground.foreign import MOST_GB, allowing
from toto_robot.ground.places import place_error
from toto_robot.ground.screen import Bar

TARGETS = ("lerobot", "robomimic", "diffusion_policy", "zarr")
IMAGES = ("png", "av1", "h264")


@dataclass
class ConvertConfig:
    """What is converted, and what its files do not say."""

    src: str = "???"
    """The demonstrations."""
    dst: str = "???"
    """Where the new set goes: a folder, for robomimic a file."""
    to: str = "???"
    """lerobot, robomimic, diffusion_policy or zarr (our store)."""
    images: str = "png"
    """How LeRobot frames are stored: png (lossless), av1 (LeRobot's default) or h264."""
    crf: int | None = None
    """Quality of av1 and h264, 0 best; null for 30 (av1) or 18 (h264)."""
    hz: float | None = None
    """Control rate of the source in steps a second, if its files do not say it."""
    to_hz: float | None = None
    """A lower rate in steps a second: every k-th observation, and the sum of the increments between."""
    deltas: int | None = None
    """For to_hz: how many leading entries of an action are increments; null if the source is ours or a known one."""
    proprio: list[str] = field(default_factory=list)
    """Observations that become proprio, in this order; [] for those with the name of a robot's own state."""
    cameras: list[str] = field(default_factory=list)
    """Cameras to import, by their names; [] for all. Depth pictures and what can't be read are left out and named."""
    robot: str | None = None
    """The robot (franka, fr3, widowx), if the files do not say it or are wrong."""
    names: list[str] = field(default_factory=list)
    """Names of the actions, in their order; [] for the names in the files."""
    units: list[str] = field(default_factory=list)
    """Units of the actions, in their order: rad, m, rad/s, m/s, or 1 for a number without a unit; [] if unknown."""
    drop_padding: bool = True
    """Drop the repeated last step of MVP and RPT episodes."""
    drop_episodes: str = "none"
    """none: refuse a set with a number that is not finite. bad: leave out the episodes that hold one, and name them."""
    max_gb: float = MOST_GB
    """Most gigabytes of one column of one episode. A file that declares more is refused before it is read."""
    gripper: str = "auto"
    """auto: make +1 open and -1 closed in published sets, whatever each task means by them; keep: leave the numbers."""
    overwrite: bool = False
    """Replace DST if it is a set of demonstrations."""

    def __post_init__(self) -> None:
        for key, options in (
            ("to", TARGETS),
            ("images", IMAGES),
            ("gripper", ("auto", "keep")),
            ("drop_episodes", ("none", "bad")),
        ):
            if getattr(self, key) not in (*options, "???"):
                raise unknown(key, getattr(self, key), options)
        for key in ("hz", "to_hz"):
            if (value := getattr(self, key)) is not None and not value > 0:
                raise DemoError(f"{key}={value}: expected steps a second above 0")
        if not self.max_gb > 0:
            raise DemoError(f"max_gb={self.max_gb}: expected gigabytes above 0")


def main(cfg: ConvertConfig) -> dict:
    with allowing(cfg.max_gb):
        return _convert(cfg)


def _convert(cfg: ConvertConfig) -> dict:
    src, dst = Path(cfg.src), Path(cfg.dst)
    kind = detect(src)
    options = Options(hz=cfg.hz, proprio=tuple(cfg.proprio), cameras=tuple(cfg.cameras), images=cfg.images, crf=cfg.crf)
    if os.path.realpath(dst) == os.path.realpath(src):
        raise DemoError(f"{dst} is the source itself; give another destination")
    if dst.exists() and not cfg.overwrite:
        raise DemoError(f"{dst} exists; give another destination, or overwrite=true to replace it")
    if dst.exists() and not any(module_of(name).looks(dst) for name in FORMATS):
        raise DemoError(
            f"{dst} is not a set of demonstrations, and overwrite=true replaces nothing else; give another destination"
        )
    source = prepared(
        read_checked(src, kind, options, cfg.drop_episodes == "bad"),
        drop_padding=cfg.drop_padding,
        align_gripper=cfg.gripper == "auto",
        to_hz=cfg.to_hz,
        deltas=cfg.deltas,
        robot=cfg.robot,
        names=cfg.names,
        units=cfg.units,
    )
    if missing := source.facts.get("missing"):
        print(f"{src} is not complete: {missing}. The others are converted.", file=sys.stderr)
    with staged(dst) as temporary:
        report = module_of(cfg.to).write(_counted(source), temporary, options)
    return {
        "from": kind,
        "to": cfg.to,
        "path": str(dst),
        "episodes": report.episodes,
        "steps": report.steps,
        "kept": report.kept,
        "dropped": [*source.dropped, *report.dropped],
        "changed": report.changed,
        "facts": source.facts,
    }


@contextlib.contextmanager
def staged(dst: Path) -> Iterator[Path]:
    """Yield a free path beside `dst`. What is written there becomes `dst` at the end, or is removed on an error.

    A kill leaves only a hidden `.NAME.*.tmp` beside `dst`.
    """
    try:
        dst.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=dst.parent, prefix=f".{dst.name}.", suffix=".tmp"))
    except OSError as error:
        raise DemoError(f"{dst} can't be written ({error.strerror}); give another destination") from error
    try:
        new = folder / dst.name
        with atomic.named_as(new, dst):
            yield new
        if dst.exists() and dst.is_dir() != new.is_dir():
            os.rename(dst, folder / "replaced")
        if new.is_dir():
            atomic.put_in_place(new, dst)
        else:
            with open(new, "rb") as file:
                os.fsync(file.fileno())
            os.replace(new, dst)
    except UserError:
        raise
    except Exception as error:
        if place := place_error(error, dst):
            raise DemoError(str(place)) from error
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _counted(source: Imported) -> Imported:
    """The source, with its progress on stderr."""

    def read(images: bool) -> Iterator:
        if not images:
            yield from source.read(images)
            return
        with Bar("converting", None) as bar:
            for at, pair in enumerate(source.read(images), start=1):
                yield pair
                bar.at(at, f"{at} episodes", line=f"{at} episodes")

    return dataclasses.replace(source, read=read)


if __name__ == "__main__":
    command.run(main, ConvertConfig, "convert", positional=("src", "dst"))

"""From the folder of a data set to a Source. The layout of the folder is detected.

`open_source("PATH")` detects the layout; `open_source("kinetics:PATH")` forces one. A layout is a function that looks
for evidence and a function that reads. Nothing is parsed but suffixes of files, JSON, CSV, tar headers and Parquet.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from toto_robot.ground.errors import UserError, unknown
from toto_robot.video import archives, datasets, episodes
from toto_robot.video.items import IMAGE_SUFFIXES, VIDEO_SUFFIXES, Item, Source, media, one_file, walk

PEEK = 1000  # files looked at to recognise a layout


@dataclass(frozen=True)
class Layout:
    looks: Callable[[Path, list[str]], str | None]
    """(folder, names of its first files) → evidence for this layout, or None."""
    read: Callable[..., tuple[list[Item], list[dict]]]
    """(folder, split=, camera=) → items and missing entries. Raises UserError."""
    means: str
    """One phrase for messages."""


def read_folder(root: Path, **_) -> tuple[list[Item], list[dict]]:
    """Any folder of videos and pictures, or one file."""
    return ([one_file(root)] if root.is_file() else media(root, ("video", "image"))), []


LAYOUTS = {
    "imagenet": Layout(
        datasets.looks_imagenet,
        datasets.imagenet,
        "class folders n01440764/*.JPEG, alone or in train/, or ILSVRC/Data/CLS-LOC/",
    ),
    "kinetics": Layout(
        datasets.looks_kinetics, datasets.kinetics, "ID_000010_000020.mp4 in class folders, or beside CVDF's train.csv"
    ),
    "ego4d": Layout(
        datasets.looks_ego4d,
        datasets.ego4d,
        "ego4d.json with [v2/]full_scale, video_540ss or clips, files named by uid",
    ),
    "epic": Layout(datasets.looks_epic, datasets.epic, "P01/videos/P01_01.MP4 or P01/P01_01.MP4"),
    "howto100m": Layout(datasets.looks_howto100m, datasets.howto100m, "HowTo100M_v1.csv with videos named by video_id"),
    "webdataset": Layout(archives.looks, archives.webdataset, "uncompressed .tar files with videos or pictures inside"),
    "lerobot": Layout(episodes.looks, episodes.lerobot, "meta/info.json of a LeRobot data set, 2.0, 2.1 or 3.0"),
    "folder": Layout(lambda root, names: None, read_folder, "videos and pictures at any depth"),
}


def open_source(spec: str, split: str = "train", camera: str = "") -> Source:
    """The source at `PATH` or `kind:PATH`. `split` and `camera` choose a part, if the layout has them (TokenizeConfig).

    Raises UserError if there is no such path, the kind is unknown, the layout can't be detected or read, or nothing is
    there to read.
    """
    kind, path = _kind_and_path(spec)
    path = path.absolute()  # the process that reads the items may work in another folder
    if not path.exists():
        raise UserError(
            f"no such folder: {path}. Give a folder that holds videos ({', '.join(VIDEO_SUFFIXES)}) or a data set."
        )
    kind = kind or detect(path)
    items, missing = LAYOUTS[kind].read(path, split=split, camera=camera)
    if not items:
        more = f"; {len(missing)} are listed and missing, the first: {missing[0]['source']}" if missing else ""
        raise UserError(
            f"no videos in {path}, read as {kind}: expected {LAYOUTS[kind].means}; found {_found(path)}"
            f"{more}. Force another layout with KIND:{path}, where KIND is one of {', '.join(LAYOUTS)}."
        )
    return Source(kind, spec, items, missing)


def _kind_and_path(spec: str) -> tuple[str, Path]:
    kind, colon, rest = spec.partition(":")
    if not colon or "/" in kind or Path(spec).exists():
        return "", Path(spec)
    if kind not in LAYOUTS:
        raise unknown(f"layout in source={spec}:", kind, LAYOUTS)
    return kind, Path(rest)


def detect(path: Path) -> str:
    """The layout of a folder: the one with evidence, or `folder`. Raises UserError if several have evidence."""
    if path.is_file():
        return "webdataset" if path.suffix.lower() == ".tar" else "folder"
    names = [Path(entry.path).relative_to(path).as_posix() for entry in islice(walk(path), PEEK)]
    evidence = {kind: found for kind, layout in LAYOUTS.items() if (found := layout.looks(path, names))}
    if len(evidence) > 1:
        said = ", ".join(f"{kind} ({found})" for kind, found in evidence.items())
        raise UserError(f"{path} looks like several layouts: {said}; choose with source=KIND:{path}.")
    return next(iter(evidence), "folder")


def _found(path: Path) -> str:
    if path.is_file():
        return f"a file {path.name}"
    counts: dict[str, int] = {}
    for entry in islice(walk(path), PEEK):
        suffix = Path(entry.name).suffix.lower() or "no suffix"
        counts[suffix] = counts.get(suffix, 0) + 1
    readable = f"(readable: {', '.join(VIDEO_SUFFIXES + IMAGE_SUFFIXES)})"
    return f"{', '.join(f'{n} × {suffix}' for suffix, n in sorted(counts.items())) or 'no files'} {readable}"

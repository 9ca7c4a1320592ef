"""The data sets of the paper's mixture (Sec. 3.3) and EPIC-Kitchens, each in the layouts of its downloads.

Each has two functions: `looks_*` finds evidence for it in a folder, and another one reads it. If the list of a data set
names a file that the folder does not hold, the file is returned as missing.
"""

import csv
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from toto_robot.ground.errors import UserError, unknown
from toto_robot.ground.foreign import read_json
from toto_robot.video.items import Item, media

SPLITS = {"train": ("train",), "val": ("val", "validate", "validation", "valid"), "test": ("test",)}
WNID = "n" + "[0-9]" * 8
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
KINETICS_CLIP = re.compile(r"[\w-]{11}_\d{6}_\d{6}\.\w+")
EPIC_VIDEO = re.compile(r"P\d\d_\d{2,3}")
EGO4D_FOLDERS = ("full_scale", "video_540ss", "clips")
Read = tuple[list[Item], list[dict]]


def looks_imagenet(root: Path, names: list[str]) -> str | None:
    """A synset's folder, or the flat validation pictures."""
    base = _imagenet_base(root)
    for pattern in (f"{WNID}/*", f"train/{WNID}/*", "val/ILSVRC2012_val_*", "ILSVRC2012_val_*"):
        if found := next(base.glob(pattern), None):
            return found.relative_to(root).as_posix()
    return None


def imagenet(root: Path, *, split: str, **_) -> Read:
    """ImageNet pictures: class folders (also ImageNet-21k), train and val, or the whole ILSVRC tree."""
    base = _imagenet_base(root)
    return [item for folder in _split_folders(base, split) for item in media(root, ("image",), folder)], []


def _imagenet_base(root: Path) -> Path:
    return next((root / inner for inner in ("ILSVRC/Data/CLS-LOC", "Data/CLS-LOC") if (root / inner).is_dir()), root)


def looks_kinetics(root: Path, names: list[str]) -> str | None:
    """CVDF's csv, or clips named ID_start_end."""
    if lists := _lists(root, "youtube_id"):
        return lists[0].relative_to(root).as_posix()
    return next((name for name in names if KINETICS_CLIP.fullmatch(PurePosixPath(name).name)), None)


def kinetics(root: Path, *, split: str, **_) -> Read:
    """Kinetics-400/600/700: class folders (in train/, val/, test/ or not), or CVDF's csv beside clips at any depth.

    With a csv, the rows of the split are the data set. A clip is called ID_start_end.mp4 (six digits) or ID.mp4.
    """
    lists = _lists(root, "youtube_id")
    if not lists:
        return [item for folder in _split_folders(root, split) for item in media(root, ("video",), folder)], []
    wanted: dict[str, tuple[str, tuple[str, ...]]] = {}
    for path in lists:
        for row in _rows(path):
            if split == "all" or (row.get("split") or path.stem).strip().lower() in SPLITS[split]:
                name = row["youtube_id"].strip()
                try:
                    clip = f"{name}_{int(float(row['time_start'])):06d}_{int(float(row['time_end'])):06d}"
                except (KeyError, TypeError, ValueError):
                    clip = name
                wanted[clip] = (path.name, (clip, name))
    return _listed(media(root, ("video",)), wanted, root)


def looks_howto100m(root: Path, names: list[str]) -> str | None:
    """The released csv."""
    return next((p.name for p in _lists(root, "video_id") if p.name.lower().startswith("howto100m")), None)


def howto100m(root: Path, **_) -> Read:
    """HowTo100M: a csv with a column video_id (HowTo100M_v1.csv), and videos named by it at any depth."""
    lists = _lists(root, "video_id")
    if not lists:
        raise UserError(
            f"There is no list of HowTo100M in {root}: expected a .csv with a column video_id, such as "
            f"HowTo100M_v1.csv. Without one, use source=folder:{root}."
        )
    return _listed(media(root, ("video",)), _video_ids(lists), root)


def looks_epic(root: Path, names: list[str]) -> str | None:
    """A participant's video."""
    for inner in ("", "EPIC-KITCHENS/", "videos/train/"):
        for pattern in ("P[0-9][0-9]/videos/P[0-9][0-9]_*.*", "P[0-9][0-9]/P[0-9][0-9]_*.*"):
            if found := next((p for p in root.glob(inner + pattern) if p.suffix.lower() == ".mp4"), None):
                return found.relative_to(root).as_posix()
    return None


def epic(root: Path, **_) -> Read:
    """EPIC-Kitchens-55 and -100: P01/videos/P01_01.MP4 or P01/P01_01.MP4 at any depth. Extracted frames are ignored.

    If EPIC_*_video_info.csv is beside them, the videos that it names and the folder lacks are returned as missing.
    """
    found = [item for item in media(root, ("video",)) if EPIC_VIDEO.fullmatch(PurePosixPath(item.name).stem)]
    wanted = _video_ids(_lists(root, "video_id"))
    return _listed(found, wanted, root) if wanted else (found, [])


def looks_ego4d(root: Path, names: list[str]) -> str | None:
    """Its metadata, or one of its folders with files named by uid."""
    if found := _ego4d_json(root):
        return found.name
    folder = next((f for f in _ego4d_folders(root) if any(UUID.fullmatch(p.stem) for p in f.glob("*.mp4"))), None)
    return f"{folder.relative_to(root).as_posix()}/UID.mp4" if folder else None


def ego4d(root: Path, **_) -> Read:
    """Ego4D: the videos (or clips) in one of its folders. If ego4d.json is there, only those that it lists.

    `root` is the output folder of the download, its v1 or v2, or one of full_scale, video_540ss, clips. These three
    show the same seconds, so the user must choose if there is more than one of them below `root`.
    """
    folders = _ego4d_folders(root)
    if len(folders) != 1:
        said = ", ".join(f.relative_to(root).as_posix() for f in folders) or "none of them"
        example = folders[0] if folders else root / "v2/full_scale"
        raise UserError(
            f"{root} as Ego4D: expected one of {', '.join(EGO4D_FOLDERS)} (in it, in v1/ or in v2/), "
            f"found {said}; give the one to read, for example source=ego4d:{example}."
        )
    found = [item for item in media(root, ("video",), folders[0]) if UUID.fullmatch(PurePosixPath(item.name).stem)]
    metadata = _ego4d_json(root)
    if metadata is None:
        return found, []
    try:
        videos = read_json(metadata)["videos"]
        uids = (
            [clip["clip_uid"] for v in videos for clip in v.get("clips") or []]
            if folders[0].name == "clips"
            else [v["video_uid"] for v in videos]
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{metadata} is not Ego4D's metadata ({type(error).__name__}: {error}). Download it again, or "
            "move it away to read every file that is named by a uid."
        ) from error
    return _listed(found, {uid: (metadata.name, (uid,)) for uid in uids if uid}, root)


def _ego4d_folders(root: Path) -> list[Path]:
    if root.name in EGO4D_FOLDERS:
        return [root]
    return [f for version in ("", "v1", "v2") for name in EGO4D_FOLDERS if (f := root / version / name).is_dir()]


def _ego4d_json(root: Path) -> Path | None:
    above = [root.parent, root.parent.parent] if root.name in EGO4D_FOLDERS else []
    places = [place / "ego4d.json" for place in (root, root / "v2", root / "v1", *above)]
    return next((place for place in places if place.is_file()), None)


def _split_folders(base: Path, split: str) -> list[Path]:
    """The folder of the split, or all of them. `base` itself if the layout has no folders for splits."""
    exist = {name: base / alias for name, aliases in SPLITS.items() for alias in aliases if (base / alias).is_dir()}
    if split == "all" or not exist:
        return list(exist.values()) or [base]
    if split not in exist:
        raise unknown(f"split of {base}:", split, exist, "Give one of them, or all.")
    return [exist[split]]


def _lists(root: Path, column: str) -> list[Path]:
    """The csv files with this column, in the folder of the data set or in its annotations/."""
    return [p for p in sorted([*root.glob("*.csv"), *root.glob("annotations/*.csv")]) if column in _header(p)]


def _header(path: Path) -> list[str]:
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
        return next(csv.reader(file), [])


def _rows(path: Path) -> Iterable[dict]:
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
        yield from csv.DictReader(file)


def _video_ids(lists: list[Path]) -> dict[str, tuple[str, tuple[str, ...]]]:
    ids = ((path.name, row["video_id"].strip()) for path in lists for row in _rows(path))
    return {video_id: (where, (video_id,)) for where, video_id in ids}


def _listed(found: list[Item], wanted: dict[str, tuple[str, tuple[str, ...]]], root: Path) -> Read:
    """The found items that a list names, and the ones that it names and the folder lacks.

    `wanted`: id → (name of the list, the file stems that stand for the id).
    """
    stems: dict[str, Item] = {}
    for item in found:
        stems.setdefault(PurePosixPath(item.name).stem, item)
    items, missing = {}, []
    for name, (where, accepted) in wanted.items():
        match = next((stems[stem] for stem in accepted if stem in stems), None)
        if match:
            items[match.name] = match
        else:
            stem = " or ".join(dict.fromkeys(accepted))
            missing.append({"source": name, "reason": f"{where} lists it, and no video in {root} is named {stem}"})
    return [items[name] for name in sorted(items)], missing

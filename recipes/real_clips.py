"""Sorts a folder of real clips into OUT/train/REPOSITORY and OUT/held_out/REPOSITORY, as links.

    python recipes/real_clips.py VIDEO_FOLDER OUT

Whole repositories are held out, never single clips. So no scene is on both sides. A `sources.csv` (columns file and
repository) beside the clips says where each clip comes from. A clip that it does not name belongs to its folder.
"""

import csv
import sys
from pathlib import Path

HELD_OUT = ("UT-Austin-RPL/MUTEX", "real-stanford/universal_manipulation_interface")
VIDEOS = {".mp4", ".mkv", ".webm", ".mov", ".avi", ".gif"}


def repositories(folder: Path) -> dict[Path, str]:
    """Repository of each clip below `folder`."""
    named = {}
    for table in folder.rglob("sources.csv"):
        with open(table, newline="", encoding="utf-8") as file:
            named |= {table.parent / row["file"]: row["repository"] for row in csv.DictReader(file)}
    clips = sorted(path for path in folder.rglob("*") if path.suffix.lower() in VIDEOS)
    return {path: named.get(path, path.parent.name) for path in clips}


def main(folder: str, out: str) -> None:
    for clip, repository in repositories(Path(folder).resolve()).items():
        side = "held_out" if repository in HELD_OUT else "train"
        link = Path(out) / side / repository.replace("/", "_") / clip.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(clip)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The camera videos of a LeRobot data set: a file for each episode (2.0, 2.1), or spans of shared files (3.0).

It reads only meta/info.json, and for 3.0 meta/episodes/**.parquet. An episode is one item, so a row of the token store
never spans two episodes.
"""

from pathlib import Path, PurePosixPath

from toto_robot.ground.errors import UserError, unknown
from toto_robot.ground.foreign import check_bytes, check_inside, most_bytes, read_json, within_memory
from toto_robot.ground.strict import check_regular
from toto_robot.video.items import Item

INFO = "meta/info.json"


def looks(root: Path, names: list[str]) -> str | None:
    """Its info file."""
    return INFO if (root / INFO).is_file() else None


def lerobot(root: Path, *, camera: str, **_) -> tuple[list[Item], list[dict]]:
    """Each episode of each camera (or of the camera called `camera`), and the episodes whose file is missing.

    Depth maps are not cameras here.
    """
    if not (root / INFO).is_file():
        raise UserError(f"There is no {INFO} in {root}. Expected the folder of a LeRobot data set.")
    check_inside(root)
    try:
        info = read_json(root / INFO)
        version, template, features = str(info["codebase_version"]), info["video_path"], dict(info["features"])
        cameras = [key for key, feature in features.items() if feature["dtype"] == "video" and not _is_depth(feature)]
        total, chunk = int(info["total_episodes"]), int(info.get("chunks_size", 1000))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{root / INFO} is not a LeRobot info file ({type(error).__name__}: {error}).") from error
    if not cameras:
        raise UserError(
            f"{root} stores no video (its features: {', '.join(features)}). Pictures inside Parquet are not read."
        )
    if camera and camera not in cameras:
        raise unknown(f"camera of {root}:", camera, cameras, "Give one of them, or nothing for all.")
    chosen = [camera] if camera else cameras
    if version.startswith("v3"):
        places = _shared_files(root, chosen)
    elif version.startswith("v2"):
        places = [
            (key, episode, {"episode_chunk": episode // chunk, "episode_index": episode}, None)
            for key in chosen
            for episode in range(total)
        ]
    else:
        raise UserError(f"{root} has version {version} of LeRobot. The versions that can be read: v2.0, v2.1, v3.0.")
    return _items(root, template, places)


def _is_depth(feature: dict) -> bool:
    """Whether a camera gives distances and not colours."""
    said = [feature.get(key) or {} for key in ("info", "video_info")]
    return 1 in feature["shape"][::2] or any(dict(info).get("video.is_depth_map") for info in said)


def _shared_files(root: Path, cameras: list[str]) -> list[tuple]:
    """(camera, episode, fields of the path, span in seconds) of every episode in version 3.0."""
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise UserError(
            f"{root} is a LeRobot 3.0 data set and lists its episodes in Parquet: pip install pyarrow."
        ) from None
    from pyarrow import ArrowException

    places, parts = [], ("chunk_index", "file_index", "from_timestamp", "to_timestamp")
    for path in sorted(root.glob("meta/episodes/**/*.parquet")):
        columns = {key: ["episode_index", *(f"videos/{key}/{part}" for part in parts)] for key in cameras}
        check_regular(path)
        try:
            opened = parquet.ParquetFile(path)
            check_bytes(8 * len(columns) * len(parts) * opened.metadata.num_rows, f"{path}")
            with within_memory(most_bytes()):
                table = opened.read(columns=sorted({c for names in columns.values() for c in names})).to_pydict()
            for key, names in columns.items():
                for episode, chunk, file, start_s, stop_s in zip(*(table[name] for name in names), strict=True):
                    fields = {"chunk_index": chunk, "file_index": file}
                    places.append((key, episode, fields, (float(start_s), float(stop_s))))
        except (ArrowException, KeyError, TypeError, ValueError, OSError) as error:
            raise UserError(f"{path} is not a list of LeRobot episodes ({type(error).__name__}: {error})") from error
    return places


def _items(root: Path, template: str, places: list[tuple]) -> tuple[list[Item], list[dict]]:
    """The items of the episodes whose file exists, and the missing ones."""
    items, missing = [], []
    for key, episode, fields, span_s in places:
        try:
            relative = PurePosixPath(template.format(video_key=key, **fields))
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise UserError(f"{root / INFO}: video_path {template!r} has an unknown field ({error}).") from error
        if relative.is_absolute() or ".." in relative.parts:
            raise UserError(f"{root / INFO}: video_path {template!r} leads out of the data set.")
        # The last part is the episode for every camera, so that all of them fall on one side of the held-out split.
        name = f"{relative}/episode_{episode:06d}" if span_s else str(relative)
        path = root / relative
        if path.is_file():
            stat = path.stat()
            items.append(Item(name, "video", stat.st_size, stat.st_mtime_ns, str(path), span_s=span_s))
        else:
            missing.append({"source": name, "reason": f"{INFO} names it, but there is no {path}"})
    return sorted(items, key=lambda item: item.name), missing

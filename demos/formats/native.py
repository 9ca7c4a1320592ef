"""Our own store as a format among the others: `demos.store` read as a stream, or written from one."""

import json
from collections.abc import Iterator
from pathlib import Path

from demos.errors import DemoError
from demos.formats.source import FORMAT, Episode, Imported, Options, Report, check_steps

META = ("seed", "success")


def looks(path: Path) -> bool:
    """Whether it is a zarr 3 group that says it is ours."""
    try:
        return json.loads((path / "zarr.json").read_text())["attributes"]["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError):
        return False


def read(path: Path, options: Options) -> Imported:
    """All that a set holds."""
    from demos.store import DemoSet

    demos = DemoSet(path)
    attrs, names = dict(demos.attrs), [name for name in META if _has_meta(demos, name)]
    metas = {name: demos.meta(name) for name in names}
    tasks = attrs.get("episode_tasks") or []

    def episodes(images: bool) -> Iterator[tuple[Episode, dict]]:
        keys = [key for key in demos.keys if images or not key.startswith("rgb_")]
        for at in range(len(demos.lengths)):
            meta = {name: _plain(values[at]) for name, values in metas.items()}
            yield demos.episode(at, keys), meta | ({"task": tasks[at]} if at < len(tasks) else {})

    return Imported(attrs, episodes)


def write(source: Imported, path: Path, options: Options) -> Report:
    """Write a set of ours at `path`. An unknown seed is -1; an unknown success is false, and the report says so."""
    from demos.store import DemoWriter

    report, unknown = Report(), 0
    with DemoWriter(path, source.attrs) as writer:
        for episode, meta in source.episodes():
            length = check_steps(episode, f"episode {report.episodes}")
            unknown += "success" not in meta
            writer.append(episode, {"seed": int(meta.get("seed", -1)), "success": bool(meta.get("success", False)), "length": length})
            report.episodes, report.steps = report.episodes + 1, report.steps + length
            report.kept |= {key: key for key in episode}
    if not report.episodes:
        raise DemoError("there is no episode to import")
    if unknown:
        report.changed.append({"what": "success", "how": f"not known for {unknown} episodes, and stored as false"})
    return report


def _has_meta(demos, name: str) -> bool:
    try:
        demos.meta(name)
    except (KeyError, DemoError):
        return False
    return True


def _plain(value):
    return value.item() if hasattr(value, "item") else value

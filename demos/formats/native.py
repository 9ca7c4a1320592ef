"""Our own store as one of the formats: a `DemoSet` read as a stream of episodes, or written from one."""

from collections.abc import Iterator
from pathlib import Path

from demos.errors import DemoError
from demos.formats.source import CAMERA, Episode, Imported, Options, Report, check_steps, left_out
from demos.store import schema
from demos.store.demo_set import DemoSet, DemoWriter
from toto_robot.ground.foreign import read_json

DERIVED = ("length", "index")  # the store counts these itself


def looks(path: Path) -> bool:
    """Whether `path` is a zarr 3 group with the attribute format of our store."""
    try:
        return read_json(path / "zarr.json")["attributes"]["format"] == schema.FORMAT
    except (OSError, ValueError, KeyError, TypeError):
        return False


def read(path: Path, options: Options) -> Imported:
    """Everything that the set at `path` holds."""
    demos = DemoSet(path)
    attrs, metas = dict(demos.attrs), {name: demos.meta(name) for name in demos.meta_names if name not in DERIVED}
    tasks = attrs.get("episode_tasks") or []
    if options.proprio:
        raise DemoError(
            f"proprio= chooses among the observations of another format; {path} is a set of ours, and its proprio "
            "was chosen when it was made. Leave proprio= out, or import the original again with it."
        )

    cameras = [key for key in demos.keys if key.startswith(CAMERA)]
    source = Imported(attrs, lambda images: iter(()))
    gone = left_out(source, {key: key.removeprefix(CAMERA) for key in cameras}, options, str(path))

    def episodes(images: bool) -> Iterator[tuple[Episode, dict]]:
        keys = [key for key in demos.keys if key not in gone and (images or key not in cameras)]
        for at in range(demos.episodes):
            meta = {name: values[at].item() for name, values in metas.items()}
            yield demos.episode(at, keys), meta | ({"task": tasks[at]} if at < len(tasks) else {})

    source.read = episodes
    return source


def write(source: Imported, path: Path, options: Options) -> Report:
    """Write a set of our own format at `path`.

    A number that only some episodes have is 0 for the others, and the report says so.
    """
    known: dict[str, int] = {}
    for _, meta in source.episodes(images=False):
        for name in meta:
            known[name] = known.get(name, 0) + 1
    known.pop("task", None)
    report = Report()
    with DemoWriter(path, schema.current(source.attrs)) as writer:
        for episode, meta in source.episodes():
            length = check_steps(episode, f"episode {report.episodes}")
            writer.append(episode, {name: meta.get(name, 0) for name in known if name not in DERIVED})
            report.episodes, report.steps = report.episodes + 1, report.steps + length
            report.kept |= {key: key for key in episode}
    if not report.episodes:
        raise DemoError("there is no episode to import")
    report.changed += [
        {"what": name, "how": f"known for {count} of {report.episodes} episodes, and 0 for the others"}
        for name, count in known.items()
        if count < report.episodes
    ]
    return report

"""Every number of an imported set is finite, or the import says where it is not.

`checked` reads all numbers once, before anything is computed from them. `drop_episodes=bad` leaves episodes out.
"""

import dataclasses
import sys
from collections.abc import Iterator

from demos.errors import DemoError
from demos.formats.source import CAMERA, Episode, Imported
from toto_robot.ground.finite import first_not_finite

OWN_STATES = ("protocol_state", "task_state")
"""States of our own environments. They may hold numbers that are not finite."""


def checked(source: Imported, where: str, drop: bool, spared: tuple[str, ...] = ()) -> Imported:
    """The set without the episodes that hold a number that is not finite. DemoError names the first one unless `drop`.

    Columns in `spared` are not looked at.
    """
    names = {"action": source.attrs["action"].get("names"), "proprio": source.attrs.get("proprio_names")}
    bad, count = {}, 0
    for at, (episode, _) in enumerate(source.read(False)):
        columns = {k: v for k, v in episode.items() if not k.startswith(CAMERA) and k not in spared}
        count = at + 1
        if found := first_not_finite(columns, names):
            bad[at] = found
    if not bad:
        return source
    first, numbers = next(iter(bad.items())), ", ".join(map(str, bad))
    told = (
        f"{where}: episode {first[0]}, {first[1]}; expected a finite number. {len(bad)} of {count} episodes hold such"
    )
    if not drop or len(bad) == count:
        remedy = "" if len(bad) == count else "leave them out by drop_episodes=bad, or "
        raise DemoError(f"{told} numbers ({numbers}): {remedy}repair the recording")
    print(f"{told} numbers and are left out: {numbers}.", file=sys.stderr)
    for at, found in bad.items():
        source.drop(f"episode {at}", f"{found}: not a finite number")
    source.facts["dropped_episodes"] = list(bad)

    def read(images: bool) -> Iterator[tuple[Episode, dict]]:
        return (pair for at, pair in enumerate(source.read(images)) if at not in bad)

    attrs = source.attrs
    if tasks := attrs.get("episode_tasks"):  # the list follows the episodes that stay
        attrs = attrs | {"episode_tasks": [task for at, task in enumerate(tasks) if at not in bad]}
    return dataclasses.replace(source, attrs=attrs, read=read)

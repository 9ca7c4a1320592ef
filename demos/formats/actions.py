"""Corrections to the actions of published demonstrations, before a policy learns from them.

The MVP and RPT sets (github.com/ir413/rlds_dataset_builder) store q[t+1] - q[t] and the next gripper state, computed
from recorded states. So the last step has no successor and repeats itself (a zero increment: padding). A change of rate
must sum increments, not pick some. The gripper is written as `1 - x`, and x means open in some recordings and closed in
others. Each function takes an `Imported` and returns one that makes its correction while episodes are read.
"""

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from demos.errors import DemoError
from demos.formats.source import Episode, Imported

OPENS = "+1 opens, -1 closes"
AGREE = 0.9  # share of the episodes of a task that must begin with the same gripper value
TWO = 0.9  # share of the gripper values that must lie near its two ends


def drop_padding(source: Imported) -> Imported:
    """Drop the last step of each episode if its increments are all zero; its reward goes to the step before."""
    action = source.attrs["action"]
    if action.get("padding") != "last step":
        return source
    deltas = action["deltas"]

    def read(images: bool) -> Iterator[tuple[Episode, dict]]:
        count = 0
        for total, (episode, meta) in enumerate(source.read(images), start=1):
            if len(episode["action"]) > 1 and not episode["action"][-1, :deltas].any():
                count += 1
                episode = _cut(episode, len(episode["action"]) - 1)
            source.facts["padding"] = (
                f"the last step was a zero increment, and was dropped, in {count} of {total} episodes"
            )
            yield episode, meta

    attrs = source.attrs | {"action": action | {"padding": "dropped"}}
    return dataclasses.replace(source, attrs=attrs, read=read)


def subsample(source: Imported, hz: float, deltas: int | None = None) -> Imported:
    """The episodes at `hz`, a whole fraction of the source's rate: every k-th observation, the sum of k increments.

    The first `deltas` entries of an action are increments and are summed. None takes the number from the set, or from
    names d_JOINT as our environments have them. The other entries are states: the last of k is kept. Rewards are
    summed. Steps at the end that do not fill a group of k are dropped and counted.
    """
    ratio = source.attrs["control_hz"] / hz
    k = round(ratio)
    if k < 1 or abs(ratio - k) > 1e-6:
        raise DemoError(
            f"to_hz={hz:g} is not a whole fraction of the source's {source.attrs['control_hz']:g} Hz; "
            f"give that rate divided by 1, 2, 3 and so on"
        )
    if k == 1:
        return source
    action = source.attrs["action"]
    width = len(action["names"])
    if deltas is None:
        named = sum(1 for _ in itertools.takewhile(lambda name: name.startswith("d_"), action["names"]))
        deltas = action.get("deltas", named or None)
    if deltas is None or not 0 <= deltas <= width:
        raise DemoError(
            f"to_hz={hz:g}: expected deltas= from 0 to {width}, the number of leading action entries that are "
            f"increments of one step and must be summed (0 where actions are absolute); got {deltas}"
        )

    more = {}
    if tasks := source.attrs.get("episode_tasks"):  # the list follows the episodes that stay
        long = [len(episode["action"]) >= k for episode, _ in source.read(False)]
        more["episode_tasks"] = [task for task, enough in zip(tasks, long) if enough]

    def read(images: bool) -> Iterator[tuple[Episode, dict]]:
        tail = lost = 0
        for episode, meta in source.read(images):
            length = len(episode["action"])
            groups = length // k
            tail += length % k
            lost += groups == 0
            source.facts["subsampled"] = (
                f"{k} steps to one, {deltas} of {width} action entries summed; {tail} steps at the "
                f"ends of episodes did not fill a group, {lost} episodes were shorter than one"
            )
            if groups:
                yield _every(episode, k, groups, deltas), meta

    attrs = source.attrs | more | {"control_hz": hz, "action": action | {"low": None, "high": None}}
    return dataclasses.replace(source, attrs=attrs, read=read)


def align_gripper(source: Imported) -> Imported:
    """Make +1 an open gripper and -1 a closed one, in the command and in a proprio entry named gripper.

    An arm begins a task with its gripper open, so the value with which most episodes of a task begin is the open one,
    whatever a description says. A task whose episodes disagree follows the others. The numbers stay as they are if no
    task decides, or if there are not two values.
    """
    action, names = source.attrs["action"], source.attrs["proprio_names"]
    if not isinstance(action.get("gripper"), int):
        return source
    places = {"command": ("action", action["gripper"])}
    if "gripper" in names:
        places["state"] = ("proprio", names.index("gripper"))
    firsts: dict[str, dict[str, list[float]]] = {what: defaultdict(list) for what in places}
    values: dict[str, list[np.ndarray]] = {what: [] for what in places}
    for episode, meta in source.read(False):
        for what, (key, at) in places.items():
            firsts[what][meta.get("task", "")].append(float(episode[key][0, at]))
            values[what].append(episode[key][:, at])
    found = {what: _polarity(firsts[what], np.concatenate(values[what])) for what in places if values[what]}
    source.facts["gripper"] = {what: said for what, (_, said) in found.items()}
    turns = {what: opens for what, (opens, _) in found.items() if opens}

    def read(images: bool) -> Iterator[tuple[Episode, dict]]:
        for episode, meta in source.read(images):
            for what, (low, high, tasks) in turns.items():
                key, at = places[what]
                turned = episode[key].copy()
                scaled = 2 * (turned[:, at] - low) / (high - low) - 1
                turned[:, at] = scaled if tasks[meta.get("task", "")] == high else -scaled
                episode = episode | {key: turned}
            yield episode, meta

    new = {"gripper": OPENS, "low": None, "high": None} if "command" in turns else {"gripper": "as recorded"}
    return dataclasses.replace(source, attrs=source.attrs | {"action": action | new}, read=read)


def described(source: Imported, robot: str | None, names: list[str], units: list[str]) -> Imported:
    """Add what the user says about the robot and the A actions. `names` and `units` are [] if the user gives none."""
    action, attrs = dict(source.attrs["action"]), dict(source.attrs)
    for key, values in (("names", names), ("units", units)):
        if not values:
            continue
        width = len(action["names"])
        if len(values) != width or key == "names" and len(set(values)) != width:
            raise DemoError(
                f"{key}={','.join(values)}: expected {width}, one for each action ({', '.join(action['names'])})"
                + (", and each once" if key == "names" else "")
                + f"; got {len(values)}"
            )
        action[key] = list(values)
    if robot:
        attrs["robot"] = robot
    return dataclasses.replace(source, attrs=attrs | {"action": action})


def check_increments(source: Imported) -> None:
    """Note the largest difference, in rad, between the first action entries and the increments of the joints."""
    deltas, names = source.attrs["action"].get("deltas"), source.attrs["proprio_names"]
    joints = [f"joint_pos.{i}" for i in range(deltas or 0)]
    if not deltas or not set(joints) <= set(names):
        return
    at, worst = [names.index(joint) for joint in joints], 0.0
    for episode, _ in source.read(False):
        if len(episode["action"]) > 1:
            moved = np.diff(episode["proprio"][:, at].astype(np.float64), axis=0)
            worst = max(worst, float(np.abs(moved - episode["action"][:-1, :deltas]).max()))
    source.facts["increments"] = f"actions and recorded joints differ by at most {worst:.2g} rad"


def _polarity(firsts: dict[str, list[float]], values: np.ndarray) -> tuple[tuple | None, dict]:
    """((low, high, task → open value) or None, what was found), from the first values of each task and all values."""
    if not len(values) or values.min() == values.max():
        return None, {"kept": "the gripper never moves, so open and closed cannot be told apart"}
    low, high = float(values.min()), float(values.max())
    ends = float(np.mean((values < low + 0.1 * (high - low)) | (values > high - 0.1 * (high - low))))
    if ends < TWO:
        return None, {"kept": f"not a command of two values: {1 - ends:.0%} lie between {low:g} and {high:g}"}
    votes = {task: float(np.mean([first > (low + high) / 2 for first in starts])) for task, starts in firsts.items()}
    decided = {task: high if share >= AGREE else low for task, share in votes.items() if not 1 - AGREE < share < AGREE}
    if not decided:
        return None, {"kept": "episodes of one task begin with both values, so open and closed cannot be told apart"}
    weights = {end: sum(len(firsts[task]) for task, value in decided.items() if value == end) for end in (low, high)}
    usual = max(weights, key=lambda end: weights[end])
    tasks = {task: decided.get(task, usual) for task in firsts}
    said = {
        task: {
            "open_was": tasks[task],
            "episodes": len(firsts[task]),
            "first_high": round(votes[task], 3),
            **({} if task in decided else {"undecided": "follows the other tasks"}),
        }
        for task in firsts
    }
    return (low, high, tasks), {"now": OPENS, "tasks": said}


def _cut(episode: Episode, length: int) -> Episode:
    kept = {key: value[:length] for key, value in episode.items()}
    return _with_reward(kept, episode, length)


def _every(episode: Episode, k: int, groups: int, deltas: int) -> Episode:
    kept = {key: value[: groups * k : k] for key, value in episode.items()}
    for key in ("action", "action_applied"):
        if key in episode:
            blocks = episode[key][: groups * k].reshape(groups, k, -1)
            summed = blocks[:, :, :deltas].astype(np.float64).sum(1).astype(blocks.dtype)
            kept[key] = np.concatenate([summed, blocks[:, -1, deltas:]], 1)
    if "reward" in episode:
        kept["reward"] = episode["reward"][: groups * k].reshape(groups, k).sum(1)
    if "success" in episode:
        kept["success"] = np.any(episode["success"][: groups * k].reshape(groups, k), axis=1)
    return _with_reward(kept, episode, groups * k)


def _with_reward(kept: Episode, episode: Episode, used: int) -> Episode:
    """Give the reward and success of the steps from `used` on to the last step that is kept."""
    for key, join in (("reward", np.sum), ("success", np.any)):
        if key in episode and used < len(episode[key]):
            kept[key] = kept[key].copy()
            kept[key][-1] = join([kept[key][-1], *episode[key][used:]])
    return kept

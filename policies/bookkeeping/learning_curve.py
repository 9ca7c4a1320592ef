"""The picture of a run: success, held-out error, and the reward or the loss, against environment steps or updates.

On the arrow: `policies.bookkeeping.screen` draws it from the rows of metrics.jsonl.
"""

from pathlib import Path

AXES = {"env_steps": "environment steps", "updates": "updates"}
"""What progress is counted in → its name on the axis."""
SUCCESS = (
    ("student_success", "training episodes that the student drove (newest 100)", "-"),
    ("eval_success", "unseen seeds", "o-"),
)
HELD_OUT_PREFIX = "held_out/"
"""Start of a row's keys that hold the held-out error of one action, in the action's unit."""
GUESSES = (("held_out_mean_action", "mean action"), ("held_out_previous_action", "previous action"))
FEW = 8
"""Up to this many actions, their names are printed in full size."""


def dimensions(row: dict) -> dict[str, float]:
    """Name → held-out error of each action in a row of metrics.jsonl."""
    return {key.removeprefix(HELD_OUT_PREFIX): value for key, value in row.items() if key.startswith(HELD_OUT_PREFIX)}


def learning_curve(rows: list[dict], path: Path, title: str = "", axis: str = "env_steps") -> None:
    """Write a PNG with one panel for each quantity in the rows."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    held = any("held_out_error" in row for row in rows)
    panels = [_success] if not held or any(_points(rows, axis, key) for key, *_ in SUCCESS) else []
    panels += [draw_held_out, draw_each] if held else []
    panels.append(_reward if _points(rows, axis, "episode_reward") else _loss)
    figure, all_axes = plt.subplots(len(panels), 1, figsize=(6, 3 * len(panels)), sharex=True, layout="constrained")
    for axes, panel in zip(all_axes, panels):
        panel(axes, rows, axis)
        axes.grid(alpha=0.3)
    all_axes[0].set(title=title)
    all_axes[-1].set(xlabel=AXES[axis])
    temporary = path.with_suffix(".tmp.png")
    figure.savefig(temporary, dpi=110)
    plt.close(figure)
    temporary.replace(path)


def _points(rows: list[dict], axis: str, key: str) -> list[tuple[float, float]]:
    return [(row[axis], row[key]) for row in rows if row.get(key) is not None]


def _success(axes, rows: list[dict], axis: str) -> None:
    for key, label, style in SUCCESS:
        if points := _points(rows, axis, key):
            x, y = zip(*points)
            axes.plot(x, [100 * share for share in y], style, label=label)
            axes.legend(loc="lower right", fontsize=8)
    axes.set(ylabel="success (%)", ylim=(-2, 102))


def draw_held_out(axes, rows: list[dict], axis: str) -> None:
    """Draw the error of all actions together, with the smallest one marked, and the guesses that a policy must beat."""
    points = _points(rows, axis, "held_out_error")
    axes.plot(*zip(*points), "o-", ms=3, color="C0", label="policy")
    x, y = min(points, key=lambda point: point[1])
    axes.plot([x], [y], "*", ms=12, color="C0", label="smallest")
    for (key, label), colour in zip(GUESSES, ("C7", "C1")):
        if guess := _points(rows, axis, key):
            axes.axhline(guess[-1][1], ls="--", color=colour, label=label)
    axes.set(ylabel="held-out error (std)", ylim=(0, None))
    axes.legend(fontsize=8)


def draw_each(axes, rows: list[dict], axis: str) -> None:
    """Draw each action's error in its own unit. The axis is logarithmic because units differ."""
    names = list(dimensions(rows[-1]))
    for i, name in enumerate(names):
        points = [(x, value) for x, value in _points(rows, axis, HELD_OUT_PREFIX + name) if value > 0]
        axes.plot(
            *(zip(*points) if points else ([], [])),
            color=f"C{i % 10}",
            ls=("-", "--", ":")[i // 10 % 3],
            lw=1.2,
            label=name,
        )
    axes.set(ylabel="held-out error, each action", yscale="log")
    axes.legend(fontsize=7 if len(names) <= FEW else 5, loc="center left", bbox_to_anchor=(1, 0.5))


def _reward(axes, rows: list[dict], axis: str) -> None:
    axes.plot(*zip(*_points(rows, axis, "episode_reward")))
    axes.set(ylabel="reward of an episode (newest 100)")


def _loss(axes, rows: list[dict], axis: str) -> None:
    axes.plot([row[axis] for row in rows], [row["loss"] for row in rows], label="learned from")
    if points := _points(rows, axis, "held_out_loss"):
        axes.plot(*zip(*points), label="held out")
        axes.legend(fontsize=8)
    axes.set(ylabel="loss", yscale="log")

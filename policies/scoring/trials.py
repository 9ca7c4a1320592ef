"""The paper's evaluation on the robot: 16 trials with varied position and orientation (Toto Sec. 4.6, RPT).

Neither paper publishes the poses. Ours come from 512 seeds of the evaluation range, which are never trained on. The
object's positions are divided into a 4×4 grid, with equally many starts in each row and column, and its orientations
into 16 parts of a full turn. Each cell gets one trial and one of the parts, in a fixed pattern with all four quarters
of the turn in every row and column. Among the seeds whose object lies in the cell, the trial is the one nearest to the
cell's middle and to the part's angle. Thus a trial is an ordinary episode, the 16 trials are the same for every policy,
and they cover the range evenly.
"""

from dataclasses import dataclass

import numpy as np

import envs
from policies.seeds import evaluation_seeds
from toto_robot.ground.errors import UserError

TRIALS, SIDE, CANDIDATES = 16, 4, 512
QUARTER = np.array([[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]])
PATTERN = 4 * QUARTER + np.array([[0, 1, 2, 3], [2, 3, 0, 1], [3, 2, 1, 0], [1, 0, 3, 2]])
"""The sixteenth of the turn of each cell (two orthogonal Latin squares): all four quarters in every row and column."""


@dataclass
class Trial:
    """One start."""

    seed: int
    x_m: float
    y_m: float
    yaw_rad: float


def trials16(env: str, seed: int) -> list[Trial]:
    """The 16 trials of environment `env` for the evaluation seed `seed`, by rows of x and then y."""
    seeds = evaluation_seeds(seed, CANDIDATES)
    return [Trial(seeds[i], *map(float, pose)) for i, pose in choose(poses(env, seeds))]


def report(scored: dict, seeds: list[int]) -> dict:
    """The keys of a result that describe the trials `seeds`. `scored` comes from `rollout.summarise`."""
    return {
        "protocol": "trials16",
        "trials": f"{scored['successes']}/{scored['episodes']}",
        "trials_successes": scored["successes"],
        "trials_wilson95": scored["wilson95"],
        "trials_seeds": seeds,
    }


def poses(env: str, seeds: list[int]) -> np.ndarray:
    """x, y (m) and yaw (rad) of the object at the start of each seed's episode, (N, 3), world frame."""
    world = envs.make(env, render=False)
    if "object" not in {world.model.body(i).name for i in range(world.model.nbody)}:
        raise UserError(f"protocol=trials16 varies the pose of an object, but env={env} has none. Leave it out.")
    out = np.zeros((len(seeds), 3))
    for i, seed in enumerate(seeds):
        world.reset(seed=seed)
        body = world.data.body("object")
        out[i] = *body.xpos[:2], np.arctan2(body.xmat[3], body.xmat[0])
    return out


def choose(poses: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """(index, pose) of the start that is chosen for each cell of the grid, from poses (N, 3)."""
    cells, middle = np.zeros((2, len(poses)), int), np.zeros((2, len(poses)))
    for axis in range(2):
        rank = poses[:, axis].argsort(kind="stable").argsort() / len(poses) * SIDE
        cells[axis], middle[axis] = rank.astype(int), np.abs(rank % 1 - 0.5)
    out = []
    for row in range(SIDE):
        for column in range(SIDE):
            inside = np.flatnonzero((cells[0] == row) & (cells[1] == column))
            wanted = -np.pi + (PATTERN[row, column] + 0.5) * 2 * np.pi / TRIALS
            off = np.abs((poses[inside, 2] - wanted + np.pi) % (2 * np.pi) - np.pi) / np.pi
            best = inside[np.argmin(4 * off + middle[:, inside].sum(0))]
            out.append((int(best), poses[best]))
    return out

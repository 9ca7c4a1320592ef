import numpy as np
import pytest

from policies.scoring.trials import PATTERN, choose, trials16
from policies.seeds import EVALUATION


def test_the_sixteen_trials_cover_every_cell_and_every_part_of_the_turn():
    rng = np.random.default_rng(0)
    poses = np.stack([rng.uniform(0.4, 0.6, 512), rng.uniform(-0.2, 0.2, 512), rng.uniform(-np.pi, np.pi, 512)], 1)
    chosen = np.array([pose for _, pose in choose(poses)])
    cells = {(int((x - 0.4) / 0.05), int((y + 0.2) / 0.1)) for x, y, _ in chosen}
    assert len(cells) >= 15  # the edges are quantiles of the starts, not of the range
    turns = np.sort(chosen[:, 2])
    assert len({i for i, _ in choose(poses)}) == 16 and np.diff(turns).max() < 3 * 2 * np.pi / 16


def test_every_row_and_column_of_the_pattern_has_all_four_quarters_of_the_turn():
    assert sorted(PATTERN.flat) == list(range(16))
    for line in (*PATTERN, *PATTERN.T):
        assert set(line // 4) == set(range(4))


@pytest.mark.parametrize("env", ["franka_pick", "franka_pick_pixmc"])
def test_trials_are_the_same_each_time_and_never_trained_on(env):
    one, two = trials16(env, 12345), trials16(env, 12345)
    assert one == two and all(t.seed in EVALUATION for t in one)
    assert len({t.seed for t in one}) == 16
    xs, ys = ([getattr(t, k) for t in one] for k in ("x_m", "y_m"))
    assert max(xs) - min(xs) > 0.12 and max(ys) - min(ys) > 0.24
    assert xs[0] < xs[-1]

"""Small sets to test with."""

import numpy as np

from demos.store import schema


def attrs(**changes) -> dict:
    action = dict(names=["x", "y"], meaning="for tests", low=-1.0, high=1.0)
    more = {key: changes.pop(key) for key in ("episode_tasks",) if key in changes}
    return schema.attributes(**dict(control_hz=20, action=action, robot="none") | changes) | more


def episode(seed: int, length: int = 11) -> dict[str, np.ndarray]:
    """Random content that is easy to recognise, with small pictures."""
    rng = np.random.default_rng(seed)
    return {
        "rgb_wrist": rng.integers(0, 256, (length, 8, 8, 3), dtype=np.uint8),
        "action": rng.uniform(-1, 1, (length, 2)).astype(np.float32),
        "success": np.arange(length) == length - 1,
        "timestamp_s": np.arange(length) / 20,
    }


def assert_same(got: dict, want: dict) -> None:
    assert set(got) == set(want)
    for key, value in want.items():
        np.testing.assert_array_equal(got[key], value, err_msg=key)
        assert got[key].dtype == value.dtype

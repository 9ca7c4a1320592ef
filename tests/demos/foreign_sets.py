"""Sets to convert: ours in memory, drawn by hypothesis, and TFRecord episodes as TFDS writes them."""

import json
import os
import struct
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from demos.formats.source import Imported, foreign_attributes, indexed
from demos.formats.tfrecord import write_records

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("SHARED_DATA", ROOT.parent / "shared/data")) / "robot"
"""Real recordings; tests that need them skip where they are not."""
OPTIONAL = (
    "reward",
    "success",
    "timestamp_s",
    "sim_state",
    "protocol_state",
    "task_state",
    "action_applied",
    "proprio",
)
CAMERAS = {"wrist": (16, 18)}


def episode(rng, length, keys=OPTIONAL, cameras=CAMERAS, actions=3, proprio=5, smooth=False):
    """One episode of every key; `smooth` pictures are ones that a video codec keeps well."""
    found = {"action": rng.uniform(-1, 1, (length, actions)).astype(np.float32)}
    for camera, (height, width) in cameras.items():
        if smooth:
            y, x = np.mgrid[:height, :width]
            frames = [
                np.stack([100 + 60 * np.sin(x / 9 + t / 3), 128 + 50 * np.cos(y / 8), x + y + t], 2)
                for t in range(length)
            ]
            found[f"rgb_{camera}"] = np.clip(np.stack(frames), 0, 255).astype(np.uint8)
        else:
            found[f"rgb_{camera}"] = rng.integers(0, 256, (length, height, width, 3), dtype=np.uint8)
    more = {
        "reward": rng.normal(size=length).astype(np.float32),
        "success": np.arange(length) == length - 1,
        "timestamp_s": np.cumsum(rng.uniform(0.01, 0.09, length)),
        "sim_state": rng.normal(size=(length, 7)),
        "protocol_state": rng.normal(size=(length, 2)),
        "task_state": rng.normal(size=(length, 1)),
        "action_applied": rng.normal(size=(length, actions)).astype(np.float32),
        "proprio": rng.normal(size=(length, proprio)).astype(np.float32),
    }
    return found | {key: value for key, value in more.items() if key in keys}


def make(episodes, names=None, metas=None, **more):
    """An Imported of episodes in memory, with the attributes that our store would have."""
    first = episodes[0]
    width = first["proprio"].shape[1] if "proprio" in first else 0
    attrs = foreign_attributes(
        env="franka_pick",
        robot="franka",
        control_hz=20.0,
        meaning="joint increments, then the gripper",
        cameras={k.removeprefix("rgb_"): v.shape[1:3] for k, v in first.items() if k.startswith("rgb_")},
        action_names=indexed("d", first["action"].shape[1]),
        proprio_names=names or indexed("proprio", width),
        **more,
    )
    attrs["action"] |= {"low": [-1.0] * first["action"].shape[1], "high": [1.0] * first["action"].shape[1]}
    metas = metas or [{"seed": 2**40 + i, "success": i % 2 == 0} for i in range(len(episodes))]

    def read(images):
        for data, meta in zip(episodes, metas):
            yield {k: v for k, v in data.items() if images or not k.startswith("rgb_")}, dict(meta)

    return Imported(attrs, read)


@st.composite
def sets(draw, even=False):
    """Small sets of ours: any number of episodes, any optional keys, any number of cameras of any size."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    side = st.integers(8, 12).map(lambda n: n * 2) if even else st.integers(1, 9)
    cameras = draw(st.dictionaries(st.sampled_from(["wrist", "front", "left_2"]), st.tuples(side, side), max_size=2))
    keys = draw(st.sets(st.sampled_from(OPTIONAL)))
    actions, proprio = draw(st.integers(1, 8)), draw(st.integers(1, 9))
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=3))
    episodes = [episode(rng, n, keys, cameras, actions, proprio) for n in lengths]
    names = ["joint_pos.0", *indexed("joint_vel", proprio - 1)] if draw(st.booleans()) and proprio > 2 else None
    return make(episodes, names)


def assert_same(got, want, close=()):
    """Both sets have the same attributes and, bit for bit but for `close` pictures, the same episodes."""
    assert got.attrs == want.attrs
    pairs = list(zip(got.episodes(), want.episodes(), strict=True))
    for (a, meta_a), (b, meta_b) in pairs:
        assert meta_a == meta_b
        assert set(a) == set(b)
        for key in b:
            assert a[key].dtype == b[key].dtype and a[key].shape == b[key].shape, key
            if key not in close:
                np.testing.assert_array_equal(a[key], b[key], err_msg=key)
    without = [set(a) for a, _ in got.episodes(images=False)]
    assert without == [{k for k in b if not k.startswith("rgb_")} for b, _ in want.episodes()]


# ------------------------------------------------------------------------------------------ TFRecord


def _varint(value):
    out = b""
    value &= 2**64 - 1
    while value >= 0x80:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def _message(number, data):
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def example(features, packed=True):
    """A serialised tf.train.Example of name → float32 array, int64 array or list of bytes."""
    entries = b""
    for name, values in features.items():
        if isinstance(values, list):
            feature = _message(1, b"".join(_message(1, v) for v in values))
        elif values.dtype == np.float32:
            raw = [struct.pack("<f", v) for v in values.ravel()]
            feature = _message(
                2, _message(1, b"".join(raw)) if packed else b"".join(_varint(1 << 3 | 5) + r for r in raw)
            )
        else:
            raw = [_varint(int(v)) for v in values.ravel()]
            feature = _message(3, _message(1, b"".join(raw)) if packed else b"".join(_varint(1 << 3) + r for r in raw))
        entries += _message(1, _message(1, name.encode()) + _message(2, feature))
    return _message(1, entries)


def _tensor(*shape):
    return {
        "pythonClassName": "x.Tensor",
        "tensor": {
            "shape": {"dimensions": [str(n) for n in shape]} if shape else {},
            "dtype": "float32",
            "encoding": "none",
        },
    }


def write_rpt(folder, episodes, name="rpt_dataset", features=True, counted=None):
    """A TFDS folder like the published RPT set: dicts with q (T, 7), grip (T,), task; `image` gives PNG bytes."""
    records = []
    for data in episodes:
        q, grip = np.asarray(data["q"], np.float32), np.asarray(data["grip"], np.float32)
        length = len(q)
        moved = np.diff(np.concatenate([q, q[-1:]]), axis=0)
        action = np.concatenate([moved, np.append(grip[1:], grip[-1])[:, None]], 1).astype(np.float32)
        last = np.arange(length) == length - 1
        records.append(
            example(
                {
                    "steps/action": action,
                    "steps/observation/joint_pos": q,
                    "steps/observation/gripper": (grip > 0.5).astype(np.int64),
                    "steps/reward": last.astype(np.float32),
                    "steps/discount": np.ones(length, np.float32),
                    "steps/is_first": (np.arange(length) == 0).astype(np.int64),
                    "steps/is_last": last.astype(np.int64),
                    "steps/is_terminal": last.astype(np.int64),
                    "steps/language_instruction": [data["task"].encode()] * length,
                    "steps/observation/hand_image": data["image"],
                    "episode_metadata/file_path": [b"/data/demo"],
                }
            )
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_records(folder / f"{name}-train.tfrecord-00000-of-00001", records)
    (folder / "dataset_info.json").write_text(
        json.dumps(
            {
                "name": name,
                "splits": [{"name": "train", "shardLengths": [str(len(records) if counted is None else counted)]}],
            }
        )
    )
    if features:
        height, width = data["size"]
        inner = {
            "action": _tensor(8),
            "reward": _tensor(),
            "discount": _tensor(),
            "is_first": _tensor(),
            "is_last": _tensor(),
            "is_terminal": _tensor(),
            "language_instruction": {"pythonClassName": "x.Text", "text": {}},
            "observation": {
                "featuresDict": {
                    "features": {
                        "joint_pos": _tensor(7),
                        "gripper": _tensor(),
                        "hand_image": {"image": {"shape": {"dimensions": [str(height), str(width), "3"]}}},
                    }
                }
            },
        }
        (folder / "features.json").write_text(
            json.dumps(
                {
                    "featuresDict": {
                        "features": {
                            "steps": {"sequence": {"feature": {"featuresDict": {"features": inner}}}},
                            "episode_metadata": {"featuresDict": {"features": {"file_path": {"text": {}}}}},
                        }
                    }
                }
            )
        )
    return folder

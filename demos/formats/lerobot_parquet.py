"""LeRobotDataset v3.0 on disk: its paths and names, the form of features in Parquet, and their statistics."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from demos.errors import DemoError
from demos.formats.pictures import decode_all
from demos.formats.source import SIDECAR
from toto_robot.ground.errors import UserError
from toto_robot.ground.foreign import check_bytes, in_time, most_bytes, within_memory
from toto_robot.ground.strict import check_regular

INFO, SIDE = "meta/info.json", f"meta/{SIDECAR}.json"
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_PATH = "meta/episodes/chunk-000/file-000.parquet"
IMAGES, OURS = "observation.images.", "toto."
NAMES = {"proprio": "observation.state", "action": "action", "reward": "next.reward", "success": "next.success"}
BATCH = 32
"""Rows of a Parquet file that are read at once."""
CHUNK, DATA_MB, VIDEO_MB = 1000, 100, 200
DEFAULTS = ("timestamp", "frame_index", "episode_index", "index", "task_index")
QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
IMAGES_PER_EPISODE = 32  # for statistics; LeRobot also takes a sample
DTYPES = {
    "float16",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "bool",
}


def pyarrow():
    """The modules (pyarrow, pyarrow.parquet); DemoError that says what to install if they are missing."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise DemoError(
            "LeRobot sets are Parquet files: pip install pyarrow (or pip install -e '.[lerobot]')"
        ) from None
    return pyarrow, pyarrow.parquet


# ------------------------------------------------------------------------------------------ writing


def column(values: np.ndarray):
    """A pyarrow column of (T,) or (T, D) numbers."""
    pa, _ = pyarrow()
    if values.ndim == 1:
        return pa.array(values)
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).reshape(-1)), values.shape[1])


def image_column(frames: np.ndarray, name: str):
    """A pyarrow column struct<bytes, path> of PNG pictures, from uint8 (T, H, W, 3)."""
    pa, _ = pyarrow()
    rows = []
    for at, frame in enumerate(frames):
        buffer = io.BytesIO()
        Image.fromarray(frame).save(buffer, "PNG", compress_level=3)
        rows.append({"bytes": buffer.getvalue(), "path": f"{name}-{at:06d}.png"})
    return pa.array(rows, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))


def write_tasks(path: Path, tasks: list[str]) -> None:
    """meta/tasks.parquet: a pandas frame indexed by the task's text (named task), with the column task_index.

    pandas is not needed: its index is only a note in the schema's metadata.
    """
    pa, parquet = pyarrow()
    text = {"field_name": "task", "name": "task", "numpy_type": "object", "pandas_type": "unicode", "metadata": None}
    number = {
        "field_name": "task_index",
        "name": "task_index",
        "numpy_type": "int64",
        "pandas_type": "int64",
        "metadata": None,
    }
    labels = {
        "field_name": None,
        "name": None,
        "numpy_type": "object",
        "pandas_type": "unicode",
        "metadata": {"encoding": "UTF-8"},
    }
    note = {
        "index_columns": ["task"],
        "column_indexes": [labels],
        "columns": [number, text],
        "attributes": {},
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.2.3",
    }
    table = pa.table({"task_index": pa.array(range(len(tasks)), pa.int64()), "task": pa.array(tasks, pa.string())})
    parquet.write_table(table.replace_schema_metadata({"pandas": json.dumps(note)}), path)


def episode_stats(values: np.ndarray) -> dict[str, np.ndarray]:
    """Statistics of one feature over one episode: (T,) or (T, D) numbers, or uint8 (T, H, W, 3), channels in [0, 1].

    Each has the shape (D,), (1,) for scalars, (3, 1, 1) for pictures. `count` is the number of steps.
    """
    count = np.array([len(values)])
    if values.ndim == 4:
        some = values[np.unique(np.linspace(0, len(values) - 1, min(len(values), IMAGES_PER_EPISODE)).astype(int))]
        step = max(1, max(some.shape[1:3]) // 128)
        flat, shape = some[:, ::step, ::step].reshape(-1, 3) / 255.0, [3, 1, 1]
    else:
        flat = values.reshape(len(values), -1).astype(np.float64)
        shape = [flat.shape[1]]
    found = {
        "min": flat.min(0),
        "max": flat.max(0),
        "mean": flat.mean(0),
        "std": flat.std(0),
        **{name: np.quantile(flat, q, axis=0) for name, q in QUANTILES.items()},
    }
    return {**{name: value.reshape(shape) for name, value in found.items()}, "count": count}


class Totals:
    """Statistics of the whole set from those of its episodes, as LeRobot aggregates them."""

    def __init__(self) -> None:
        self._sums: dict[str, dict[str, np.ndarray]] = {}

    def add(self, feature: str, stats: dict[str, np.ndarray]) -> None:
        n, total = stats["count"][0], self._sums.setdefault(feature, {"count": np.array([0])})
        for name, value in stats.items():
            if name in ("min", "max"):
                join = np.minimum if name == "min" else np.maximum
                total[name] = join(total[name], value) if name in total else value
            elif name == "std":
                total["square"] = total.get("square", 0) + n * (value**2 + stats["mean"] ** 2)
            elif name != "count":
                total[name] = total.get(name, 0) + n * value
        total["count"] = total["count"] + n

    def result(self) -> dict[str, dict[str, list]]:
        """stats.json: means weighted by steps, the exact std, and weighted means of the quantiles."""
        found = {}
        for feature, total in self._sums.items():
            n = total["count"][0]
            means = {name: total[name] / n for name in ("mean", *QUANTILES)}
            std = np.sqrt(np.maximum(total["square"] / n - means["mean"] ** 2, 0))
            found[feature] = {"min": total["min"], "max": total["max"], "std": std, "count": total["count"], **means}
        return {
            feature: {name: np.asarray(v).tolist() for name, v in stats.items()} for feature, stats in found.items()
        }


# ------------------------------------------------------------------------------------------ reading


def batches(file: Path, columns: list[str]) -> Iterator[Any]:
    """The rows of a Parquet file as small tables. DemoError if it is damaged, or declares too much.

    The pieces of an episode are joined by the caller. What a row group declares is checked first.
    """
    pa, parquet = pyarrow()
    size = check_regular(file)
    try:
        opened = parquet.ParquetFile(file)
        for group in range(opened.num_row_groups):
            # The sum of all columns: pyarrow ends the process (std::terminate) for a damaged column that is asked for.
            check_bytes(opened.metadata.row_group(group).total_byte_size, f"{file}, row group {group}", DemoError)
        pieces = in_time(opened.iter_batches(BATCH, columns=columns), size, f"{file}", DemoError)
        while True:
            with within_memory(most_bytes()):
                batch = next(pieces, None)
            if batch is None:
                return
            yield pa.Table.from_batches([batch])
    except UserError:
        raise
    except Exception as error:  # a damaged Parquet file makes the reader raise anything
        text = " ".join(str(error).split())[:160]
        raise DemoError(f"{file} can't be read ({type(error).__name__}: {text}); download it again") from error


def check_waiting(parts: list, file: Path) -> None:
    """DemoError if the tables of one episode have too many bytes together."""
    check_bytes(sum(part.nbytes for part in parts), f"{file}, one episode", DemoError)


def numbers(column) -> np.ndarray:
    """A Parquet column of numbers, or of lists, or of lists of lists, as an array (T, ...). A missing number is nan."""
    pa, _ = pyarrow()
    values, shape = column.combine_chunks(), [len(column)]
    while (
        pa.types.is_list(values.type) or pa.types.is_large_list(values.type) or pa.types.is_fixed_size_list(values.type)
    ):
        if values.null_count:
            raise ValueError("a list is missing")
        inner = values.flatten()
        rows = len(values)
        if rows and len(inner) % rows or rows and len(set(np.asarray(values.value_lengths()))) != 1:
            raise ValueError("its lists differ in length")
        shape.append(len(inner) // rows if rows else 0)
        values = inner
    found = values.to_numpy(zero_copy_only=False)
    if found.dtype == object:
        raise ValueError(f"it holds {values.type}, not numbers")
    return found.reshape(shape)


def pictures(column, where: str) -> np.ndarray:
    """A column struct<bytes, path> as uint8 (T, H, W, 3)."""
    rows = column.to_pylist()
    encoded = [entry["bytes"] for entry in rows if isinstance(entry, dict) and entry.get("bytes")]
    if not encoded or len(encoded) < len(rows):
        raise DemoError(f"{where}: a picture is not stored in the table; embed the images and try again")
    return decode_all(encoded, where)

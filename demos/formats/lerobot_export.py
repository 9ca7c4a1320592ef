"""Export to LeRobotDataset v3.0: Parquet tables of many episodes, frames as PNG in them or as AV1/H.264 in shared mp4s.

It is written without lerobot, and lerobot reads it (0.4.4; tests/demos/test_lerobot_real.py). The layout is that of
lerobot/datasets/utils.py. Our keys that have no name there go under `toto.`: an `observation*` or `action*` would
become an input or output of lerobot's policies. Our attributes go into meta/toto_robot.json.
"""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from demos.errors import DemoError
from demos.formats import lerobot_parquet as tables
from demos.formats.lerobot_parquet import (
    CHUNK,
    DATA_MB,
    DATA_PATH,
    EPISODES_PATH,
    IMAGES,
    INFO,
    NAMES,
    OURS,
    SIDE,
    VIDEO_MB,
    VIDEO_PATH,
)
from demos.formats.source import CAMERA, Episode, Imported, Options, Report, check_keys, check_steps
from demos.formats.video import VideoWriter, psnr_db, read_span


def write(source: Imported, path: Path, options: Options) -> Report:
    """Write the set into the empty folder `path`."""
    tables.pyarrow()
    return _Export(source, path, options).run()


class _Export:
    """One export: its open files, and what is known about the episodes so far."""

    def __init__(self, source: Imported, path: Path, options: Options) -> None:
        self.source, self.path, self.options = source, path, options
        self.attrs, self.report = source.attrs, Report()
        self.fps = round(self.attrs["control_hz"])
        if self.fps != self.attrs["control_hz"]:
            self.report.changed.append(
                {
                    "what": "control_hz",
                    "how": f"{self.attrs['control_hz']:g} became the whole number {self.fps} that LeRobot wants",
                }
            )
        self.keys: set[str] = set()
        self.features: dict[str, dict] = {}
        self.tails: dict[str, list] = {}
        self.tasks: list[str] = []
        self.rows: list[dict] = []
        self.totals = tables.Totals()
        self.data: Any = None  # pyarrow's ParquetWriter, while a data file is open
        self.data_at, self.data_bytes = 0, 0
        self.videos: dict[str, tuple[VideoWriter, int]] = {}
        self.metas: list[dict] = []

    def run(self) -> Report:
        try:
            for episode, meta in self.source.episodes():
                self._episode(episode, meta)
            if not self.rows:
                raise DemoError("there is no episode to export")
        finally:
            if self.data:
                self.data.close()
            for video, _ in self.videos.values():
                video.close()
        self._check_videos()
        self._meta()
        return self.report

    def _episode(self, episode: Episode, meta: dict) -> None:
        length = check_steps(episode, f"episode {len(self.rows)}")
        check_keys(episode, self.keys, len(self.rows))
        if not self.features:
            self._declare(episode)
            self.keys = set(episode)
        task = meta.get("task") or self.attrs.get("env") or "unknown"
        if task not in self.tasks:
            self.tasks.append(task)
        index, start = len(self.rows), self.report.steps
        row = {
            "episode_index": index,
            "tasks": [task],
            "length": length,
            "dataset_from_index": start,
            "dataset_to_index": start + length,
            "meta/episodes/chunk_index": 0,
            "meta/episodes/file_index": 0,
        }
        steps = np.arange(length, dtype=np.int64)
        values = {
            "timestamp": (steps / self.fps).astype(np.float32),
            "frame_index": steps,
            "index": steps + start,
            "episode_index": np.full(length, index, np.int64),
            "next.done": steps == length - 1,
            "task_index": np.full(length, self.tasks.index(task), np.int64),
        }
        values |= {name: self._flat(key, episode[key]) for key, name in self.report.kept.items()}
        for name, value in values.items():
            stats = tables.episode_stats(value)
            self.totals.add(name, stats)
            row |= {f"stats/{name}/{stat}": found.tolist() for stat, found in stats.items()}
            if self.features[name]["dtype"] == "video":
                row |= self._video(name, value)
        row |= self._rows(values)
        self.rows.append(row)
        self.metas.append({key: value for key, value in meta.items() if key != "task"})
        self.report.episodes, self.report.steps = index + 1, start + length

    def _declare(self, episode: Episode) -> None:
        """Declare the features, from the first episode."""
        columns = {"proprio": self.attrs.get("proprio_names"), "action": self.attrs["action"].get("names")}
        for key, value in episode.items():
            tail = list(value.shape[1:])
            if key.startswith(CAMERA):
                name, video = IMAGES + key.removeprefix(CAMERA), self.options.images != "png"
                self.features[name] = {
                    "dtype": "video" if video else "image",
                    "shape": tail,
                    "names": ["height", "width", "channels"],
                }
            elif value.dtype.name not in tables.DTYPES or 0 in tail:
                self.report.dropped.append(
                    {"what": key, "why": f"holds {value.dtype} {tuple(tail)}, which Parquet does not"}
                )
                continue
            else:
                name = NAMES.get(key, OURS + key)
                width = int(np.prod(tail))
                names = columns.get(key)
                self.features[name] = {
                    "dtype": value.dtype.name,
                    "shape": [width],
                    "names": names if names and len(names) == width else None,
                }
                self.tails[key] = tail
            self.report.kept[key] = name
        kinds = {"timestamp": "float32", "next.done": "bool"}
        for name in (*tables.DEFAULTS, "next.done"):
            self.features[name] = {"dtype": kinds.get(name, "int64"), "shape": [1], "names": None}

    def _flat(self, key: str, value: np.ndarray) -> np.ndarray:
        """Pictures unchanged; numbers as (T, D), or as (T,) if each step has one."""
        feature = self.features[self.report.kept[key]]
        tail, dtype = (feature["shape"], "uint8") if key.startswith(CAMERA) else (self.tails[key], feature["dtype"])
        if list(value.shape[1:]) != tail or value.dtype.name != dtype:
            raise DemoError(
                f"episode {len(self.rows)}: expected {key} as {dtype} {tuple(tail)} as in episode 0, got "
                f"{value.dtype} {value.shape[1:]}"
            )
        if key.startswith(CAMERA):
            return value
        width = int(np.prod(tail))
        return value.reshape(len(value), width) if width > 1 else value.reshape(len(value))

    def _rows(self, values: dict[str, np.ndarray]) -> dict:
        """Append the episode to the data file, as one row group."""
        pa, parquet = tables.pyarrow()
        stored = {
            name: tables.image_column(value, f"{name}-{len(self.rows):06d}")
            if value.ndim == 4
            else tables.column(value)
            for name, value in values.items()
            if self.features[name]["dtype"] != "video"
        }
        table = pa.table(stored)
        if self.data and self.data_bytes + table.nbytes > DATA_MB * 2**20:
            self.data.close()
            self.data, self.data_at, self.data_bytes = None, self.data_at + 1, 0
        place = {"chunk_index": self.data_at // CHUNK, "file_index": self.data_at % CHUNK}
        if not self.data:
            file = self.path / DATA_PATH.format(**place)
            file.parent.mkdir(parents=True, exist_ok=True)
            self.data = parquet.ParquetWriter(file, table.schema, compression="snappy")
        self.data.write_table(table, row_group_size=max(1, len(table)))
        self.data_bytes += table.nbytes
        return {f"data/{part}": at for part, at in place.items()}

    def _video(self, name: str, frames: np.ndarray) -> dict:
        """Append the episode to the camera's video file."""
        writer, at = self.videos.get(name, (None, -1))
        if writer is None or writer.path.exists() and writer.path.stat().st_size > VIDEO_MB * 2**20:
            if writer:
                writer.close()
            at += 1
            file = self.path / VIDEO_PATH.format(video_key=name, chunk_index=at // CHUNK, file_index=at % CHUNK)
            height, width = frames.shape[1:3]
            writer = VideoWriter(file, height, width, Fraction(self.fps), self.options.images, self.options.crf)
            self.videos[name] = (writer, at)
        if not self.rows:
            self.features[name]["first"] = frames.copy()
        start = writer.count
        writer.write(frames)
        part = f"videos/{name}/"
        return {
            f"{part}chunk_index": at // CHUNK,
            f"{part}file_index": at % CHUNK,
            f"{part}from_timestamp": start / self.fps,
            f"{part}to_timestamp": writer.count / self.fps,
        }

    def _check_videos(self) -> None:
        """Read the first episode back, and report its quality."""
        for name, feature in self.features.items():
            if feature["dtype"] != "video":
                continue
            first = feature.pop("first")
            file = self.path / VIDEO_PATH.format(video_key=name, chunk_index=0, file_index=0)
            quality = psnr_db(read_span(file, 0.0, self.fps, len(first)), first)
            codec, crf = self.options.images, self.videos[name][0].crf
            self.report.changed.append(
                {
                    "what": CAMERA + name.removeprefix(IMAGES),
                    "how": f"{codec}, crf {crf}, 4:2:0: {quality:.1f} dB PSNR over episode 0",
                    "psnr_db": round(quality, 2),
                }
            )
            height, width = feature["shape"][:2]
            feature["info"] = {
                "video.height": height,
                "video.width": width,
                "video.codec": codec,
                "video.pix_fmt": "yuv420p",
                "video.is_depth_map": False,
                "video.fps": self.fps,
                "video.channels": 3,
                "has_audio": False,
            }

    def _meta(self) -> None:
        pa, parquet = tables.pyarrow()
        (self.path / EPISODES_PATH).parent.mkdir(parents=True)
        parquet.write_table(pa.Table.from_pylist(self.rows), self.path / EPISODES_PATH)
        tables.write_tasks(self.path / "meta/tasks.parquet", self.tasks)
        info = {
            "codebase_version": "v3.0",
            "robot_type": self.attrs.get("robot") or "unknown",
            "total_episodes": len(self.rows),
            "total_frames": self.report.steps,
            "total_tasks": len(self.tasks),
            "chunks_size": CHUNK,
            "data_files_size_in_mb": DATA_MB,
            "video_files_size_in_mb": VIDEO_MB,
            "fps": self.fps,
            "splits": {"train": f"0:{len(self.rows)}"},
            "data_path": DATA_PATH,
            "video_path": VIDEO_PATH if self.videos else None,
            "features": self.features,
        }
        side = {"attrs": self.attrs, "episodes": self.metas, "shapes": self.tails}
        for name, content in ((INFO, info), ("meta/stats.json", self.totals.result()), (SIDE, side)):
            (self.path / name).write_text(json.dumps(content, indent=1))

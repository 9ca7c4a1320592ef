"""Frames a second from video files to a token store, beside a plain loop with PyAV and torch.

    python -m benchmarks.tokenizing [videos=48] [seconds=10] [size=320] [rounds=3]

Films of `seconds` at 30 frames/s and `size` px, H.264, rows of 16 frames at stride 4. Ours is `python -m
toto_robot.tokenize` with a process for each core. The loop is one process whose decoder and torch use all cores: frames
of PyAV in RGB, scaled and cropped by torch, and the codes of one row at a time from the same dVAE. The floor is the
rate of the machine: the time to decode every frame with PyAV and to encode rows in memory on one core, over the number
of cores. The three take turns.
"""

import os
import shutil
import tempfile
from pathlib import Path

import av
import numpy as np
import torch
import torch.nn.functional as F

from benchmarks import machine
from benchmarks.alternation import alternate, joined, repeated
from toto_robot.tokens.store.build import TokenizeConfig, build_store
from toto_robot.tokens.tokenizer import load_tokenizer
from toto_robot.video.decode import write_video

STRIDE, ROW, IMAGE = 4, 16, 128


def make_films(folder: Path, videos: int, seconds: int, size: int) -> list[Path]:
    """Smooth colours that drift: a codec treats them about like a real film."""
    for i in range(videos):
        noise = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(i))
        large = F.interpolate(noise, 2 * size, mode="bicubic").clamp(0, 1)[0].permute(1, 2, 0).mul(255).byte().numpy()
        at = (size / 2 * (1 + np.sin(np.linspace(0, 6, 30 * seconds)))).astype(int)
        write_video(folder / f"{i:03d}.mp4", np.stack([large[y : y + size, y : y + size] for y in at]), fps=30)
    return sorted(folder.iterdir())


def pictures(film: Path):
    with av.open(str(film)) as container:
        container.streams.video[0].thread_type = "AUTO"
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def plain_loop(films: list[Path], tokenizer, out: Path) -> int:
    """Encode all films; returns the number of frames."""
    count = 0
    for film in films:
        frames = [torch.from_numpy(x) for i, x in enumerate(pictures(film)) if i % STRIDE == 0]
        for start in range(0, len(frames) - ROW + 1, ROW):
            row = torch.stack(frames[start : start + ROW]).permute(0, 3, 1, 2).float()
            row = F.interpolate(row, IMAGE, mode="bilinear", antialias=True).round().byte().permute(0, 2, 3, 1)
            np.save(out / f"{film.stem}-{start}.npy", tokenizer.encode(row).numpy())
            count += ROW
    return count


def floor(films: list[Path], tokenizer) -> None:
    """Decode every frame of the films and encode every row, and nothing else, on one core."""
    batch = torch.zeros(ROW, IMAGE, IMAGE, 3, dtype=torch.uint8)
    for film in films:
        with av.open(str(film)) as container:
            seen = sum(1 for _ in container.decode(video=0))
        for _ in range(seen // STRIDE // ROW):
            tokenizer.encode(batch)


def main(videos: int, seconds: int, size: int, rounds: int) -> None:
    cores, tokenizer = os.cpu_count() or 1, load_tokenizer("toto_tiny")
    each = (30 * seconds // STRIDE // ROW) * ROW  # frames of a film that are encoded
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        films = make_films(folder / "films", videos, seconds, size)

        def ours() -> None:
            shutil.rmtree(folder / "store", ignore_errors=True)
            build_store(TokenizeConfig(source=str(folder / "films"), out=str(folder / "store"), files_per_shard=4))

        def loop() -> None:
            (folder / "plain").mkdir(exist_ok=True)
            torch.set_num_threads(cores)
            assert plain_loop(films, tokenizer, folder / "plain") == videos * each

        def least() -> None:
            torch.set_num_threads(1)
            floor(films[:4], tokenizer)

        names = (
            "toto_robot.tokenize, start of its processes included",
            "PyAV and torch in a loop",
            "floor: decoding and encoding only",
        )
        things = {
            names[0]: repeated(ours, videos * each),
            names[1]: repeated(loop, videos * each),
            names[2]: repeated(least, cores * min(4, videos) * each),
        }
        done = alternate(things, seconds=0.0, rounds=rounds)
    rows = [
        {
            "pipeline": what,
            "processes": processes,
            "frames/s": round(done.rate(what)),
            "films' seconds a second": round(done.rate(what) * STRIDE / 30),
            "share of the floor": done.ratio(what, names[2]).share(),
        }
        for what, processes in zip(names, (cores, 1, cores))
    ]
    notes = (
        f"{videos} films of {seconds} s, {size} px, medians of {rounds} rounds. Ours over the loop: "
        f"{done.ratio(names[0], names[1]).times()}.{joined(done)}"
    )
    facts = {**machine.facts("torch", "av"), "threads": cores}
    machine.report("tokenizing", "From video files to tokens", rows, facts, notes)


if __name__ == "__main__":
    main(**machine.arguments("tokenizing", videos=48, seconds=10, size=320, rounds=3))

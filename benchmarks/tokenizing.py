"""Frames a second from video files to a token store, beside the loop that one would write with PyAV and torch.

    python -m benchmarks.tokenizing [videos=48] [seconds=10] [size=320]

Films of `seconds` at 30 frames/s and `size` px, H.264, rows of 16 frames at stride 4. Ours: `python -m toto_robot.tokenize`
with a process for each core. The loop: one process whose decoder and torch use all cores, PyAV's frames to RGB, scaled and
cropped by torch, the codes of a row at a time from the same dVAE. The floor: decoding every frame with PyAV and nothing
else, plus encoding rows that are in memory, on one core, over the number of cores.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np
import torch
import torch.nn.functional as F

from benchmarks import machine
from toto_robot.tokens.store.build import TokenizeConfig, build_store
from toto_robot.tokens.tokenizer import load_tokenizer
from toto_robot.video.decode import write_video

STRIDE, ROW, IMAGE = 4, 16, 128


def make_films(folder: Path, videos: int, seconds: int, size: int) -> list[Path]:
    """Smooth colours that drift: about what a codec makes of a real film."""
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
    """Frames that it encoded."""
    count = 0
    for film in films:
        frames = [torch.from_numpy(x) for i, x in enumerate(pictures(film)) if i % STRIDE == 0]
        for start in range(0, len(frames) - ROW + 1, ROW):
            row = torch.stack(frames[start : start + ROW]).permute(0, 3, 1, 2).float()
            row = F.interpolate(row, IMAGE, mode="bilinear", antialias=True).round().byte().permute(0, 2, 3, 1)
            np.save(out / f"{film.stem}-{start}.npy", tokenizer.encode(row).numpy())
            count += ROW
    return count


def main(videos: int, seconds: int, size: int) -> None:
    cores, rows = os.cpu_count() or 1, []
    tokenizer = load_tokenizer("toto_tiny")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        films = make_films(folder / "films", videos, seconds, size)

        def add(what: str, processes: int, frames: int, took_s: float) -> float:
            rows.append(
                {
                    "pipeline": what,
                    "processes": processes,
                    "frames/s": round(frames / took_s),
                    "films' seconds a second": round(frames * STRIDE / 30 / took_s),
                }
            )
            print(rows[-1], file=sys.stderr, flush=True)
            return took_s / frames

        start = time.perf_counter()
        build_store(TokenizeConfig(source=str(folder / "films"), out=str(folder / "store"), files_per_shard=4))
        frames = videos * (30 * seconds // STRIDE // ROW) * ROW
        ours = add("toto_robot.tokenize, start of its processes included", cores, frames, time.perf_counter() - start)
        (folder / "plain").mkdir()
        torch.set_num_threads(cores)
        start = time.perf_counter()
        assert plain_loop(films, tokenizer, folder / "plain") == frames
        loop = add("PyAV and torch in a loop", 1, frames, time.perf_counter() - start)
        torch.set_num_threads(1)
        start = time.perf_counter()
        seen = 0
        for film in films[:4]:
            with av.open(str(film)) as container:
                seen += sum(1 for _ in container.decode(video=0))
        decode = (time.perf_counter() - start) * STRIDE / seen
        batch = torch.randint(0, 256, (ROW, IMAGE, IMAGE, 3), dtype=torch.uint8)
        tokenizer.encode(batch)
        start = time.perf_counter()
        for _ in range(20):
            tokenizer.encode(batch)
        encode = (time.perf_counter() - start) / 20 / ROW
        floor = add("floor: decoding and encoding only", cores, cores, decode + encode)
    notes = (
        f"{videos} films of {seconds} s, {size} px. On one core a frame that is encoded costs {1000 * decode:.1f} ms of decoding "
        f"({STRIDE} frames) and {1000 * encode:.1f} ms of encoding. {loop / ours:.2f}× the loop, {floor / ours:.0%} of the floor."
    )
    path = machine.save(
        "tokenizing", "From video files to tokens", rows, {**machine.facts("torch", "av"), "threads": cores}, notes
    )
    print(machine.table(rows), notes, f"written to {path}", sep="\n")


if __name__ == "__main__":
    main(**machine.arguments("tokenizing", videos=48, seconds=10, size=320))

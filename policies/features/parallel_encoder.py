"""A frozen encoder on several CPU cores: processes of one thread each, frames in, features out.

A small encoder's operations are too short to share between threads (measured on two cores: 15 ms a frame with two
threads, 12.5 ms with one), so whole frames are shared between processes instead.
"""

import multiprocessing as mp
import signal

import numpy as np
import torch
from torch import Tensor


class ParallelEncoder:
    """Calls like the encoder that `load_encoder(**options)` gives, computed by `processes` processes.

    Frames uint8 (B, H, W, 3) → features float16 (B, *feature_shape): the precision that data sets keep.
    """

    def __init__(self, encoder, options: dict, processes: int):
        self.feature_shape, self.fingerprint = tuple(encoder.feature_shape), encoder.fingerprint
        self.image_size, self._has_codes = getattr(encoder, "image_size", None), hasattr(encoder, "codes")
        context = mp.get_context("spawn")  # torch's threads don't survive a fork
        self._workers = []
        for _ in range(processes):
            here, there = context.Pipe()
            process = context.Process(target=_encode, args=(there, options), daemon=True)
            process.start()
            there.close()
            self._workers.append((process, here))

    def __call__(self, frames) -> Tensor:
        return self._ask("features", frames)

    def codes(self, frames) -> Tensor | None:
        """The tokenizer's codes (B, S) of frames uint8 (B, H, W, 3); None where the encoder has none."""
        return self._ask("codes", frames) if self._has_codes else None

    def _ask(self, what: str, frames) -> Tensor:
        parts = [part for part in np.array_split(np.asarray(frames), len(self._workers)) if len(part)]
        asked = self._workers[: len(parts)]
        for (_, pipe), part in zip(asked, parts):
            pipe.send_bytes(np.ascontiguousarray(part).tobytes())
            pipe.send((what, part.shape))
        out = []
        for process, pipe in asked:
            try:
                failed, data = pipe.recv()
            except (EOFError, ConnectionResetError) as error:
                raise RuntimeError(f"an encoder process died (exit code {process.exitcode})") from error
            if failed:
                raise RuntimeError(f"an encoder process failed:\n{data}")
            out.append(data)
        return torch.from_numpy(np.concatenate(out))

    def close(self) -> None:
        """Ends the processes; safe to call twice. They also end when this process does."""
        for process, pipe in self._workers:
            pipe.close()
            process.join(timeout=5)
            if process.is_alive():
                process.kill()
        self._workers = []


def _encode(pipe, options: dict) -> None:
    import traceback

    from toto_robot import load_encoder

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    torch.set_num_threads(1)
    encoder = load_encoder(**options)
    while True:
        try:
            data = pipe.recv_bytes()
            what, shape = pipe.recv()
        except (EOFError, OSError):
            return  # the parent is gone, or closed its end
        try:
            frames = torch.from_numpy(np.frombuffer(data, np.uint8).reshape(shape).copy())
            out = encoder.codes(frames) if what == "codes" else encoder(frames).clamp(-65504, 65504).half()
            pipe.send((False, out.numpy()))
        except Exception:
            pipe.send((True, traceback.format_exc()))

"""A frozen encoder on several CPU cores: processes of one thread each, frames in, features out.

On the arrow: `policies.features.features` calls it in place of the encoder that it copies. A small encoder's operations
are too short to share between threads (measured on two cores: 15 ms a frame with two threads, 12.5 ms with one).
Therefore whole frames are shared between processes.
"""

import multiprocessing as mp
import signal

import numpy as np
import torch
from torch import Tensor

from toto_robot.features.contract import FrozenEncoder


class ParallelEncoder(FrozenEncoder):
    """Behaves like the encoder that `load_encoder(**options)` returns, and computes in `processes` processes.

    Frames uint8 (B, H, W, 3) → features float16 (B, *feature_shape), the precision that data sets store.
    """

    def __init__(self, encoder: FrozenEncoder, options: dict, processes: int):
        self.feature_shape, self.fingerprint = tuple(encoder.feature_shape), encoder.fingerprint
        self.image_size = encoder.image_size
        context = mp.get_context("spawn")  # torch's threads don't survive a fork
        self._workers = []
        for _ in range(processes):
            here, there = context.Pipe()
            process = context.Process(target=_encode, args=(there, options), daemon=True)
            process.start()
            there.close()
            self._workers.append((process, here))

    def __call__(self, frames) -> Tensor:
        features = self._ask("features", frames)
        assert features is not None
        return features

    def codes(self, frames) -> Tensor | None:
        """The tokenizer's codes (B, S) of frames uint8 (B, H, W, 3). None if the encoder has no tokenizer."""
        return self._ask("codes", frames)

    def _ask(self, what: str, frames) -> Tensor | None:
        # 1. Send each process its part of the frames. With few frames, some processes get none.
        parts = [part for part in np.array_split(np.asarray(frames), len(self._workers)) if len(part)]
        asked = self._workers[: len(parts)]
        for (_, pipe), part in zip(asked, parts):
            pipe.send_bytes(np.ascontiguousarray(part).tobytes())
            pipe.send((what, part.shape))
        # 2. Collect the answers in the same order.
        out = []
        for process, pipe in asked:
            try:
                failed, data = pipe.recv()
            except (EOFError, ConnectionResetError) as error:
                raise RuntimeError(f"an encoder process died (exit code {process.exitcode})") from error
            if failed:
                raise RuntimeError(f"an encoder process failed:\n{data}")
            out.append(data)
        return None if out[0] is None else torch.from_numpy(np.concatenate(out))

    def close(self) -> None:
        """End the processes. It is safe to call this twice. The processes also end when this process ends."""
        for process, pipe in self._workers:
            pipe.close()
            process.join(timeout=5)
            if process.is_alive():
                process.kill()
                process.join()
        self._workers = []


def _encode(pipe, options: dict) -> None:
    """The loop of one process: read frames, send features or codes, until the pipe closes."""
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
            return  # the parent has ended, or has closed its end
        try:
            frames = torch.from_numpy(np.frombuffer(data, np.uint8).reshape(shape).copy())
            out = encoder.codes(frames) if what == "codes" else encoder(frames).clamp(-65504, 65504).half()
            pipe.send((False, None if out is None else out.numpy()))
        except Exception:
            pipe.send((True, traceback.format_exc()))

"""Toto's predictions of codes, compared with a copy of the previous frame. This shows whether Toto has learned video.

Most blocks of a film do not change from one frame to the next, so a copy of the previous frame is correct most of the
time. A video model is better where the code changes: there a copy is never correct. Everything is counted in the codes
of one tokenizer. In teacher-forced predictions every earlier code is true. In free-running predictions the model
continues from its own predictions.

Shapes: R rows, F frames, S tokens a frame, V codes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from toto_robot.evaluation.looks import Interval, bootstrap
from toto_robot.models.causal import CausalModel
from toto_robot.tokens.base import Tokenizer
from toto_robot.tokens.special import OFFSET, VIDEO_START
from toto_robot.tokens.training.scores import psnr_db


@dataclass(frozen=True)
class Prediction:
    """The accuracy of one predictor, with intervals over clips."""

    accuracy: Interval
    """Share of all blocks whose most likely code is the true one."""
    accuracy_changed: Interval
    """The same over the blocks whose true code differs from that of the previous frame. It is 0 for the copy."""
    bits: float | None = None
    """Mean −log₂ of the probability of the true code of a block. None if there are no probabilities."""
    bits_changed: float | None = None
    """The same over changed blocks."""
    bits_changed_by_frame: tuple[float, ...] = ()
    """The same for frames 2, 3, …: they fall if earlier frames help."""
    psnr: float | None = None
    """PSNR of the decoded prediction against the decoded truth, in dB."""


class Table:
    """A control between a copy and a transformer: how often each code follows each other code at the same place."""

    def __init__(self, codes_RFS: np.ndarray, vocabulary: int):
        flat = np.zeros(vocabulary * vocabulary)
        for row in codes_RFS:
            pairs = row[:-1].astype(np.int64) * vocabulary + row[1:]
            flat += np.bincount(pairs.ravel(), minlength=len(flat))
        counts = flat.reshape(vocabulary, vocabulary)
        # Divide one additional count in proportion to the frequency of all codes, so that no probability is 0.
        overall = (counts.sum(0) + 1) / (counts.sum() + vocabulary)
        self.log_p = np.log((counts + overall) / (counts.sum(1, keepdims=True) + 1)).astype(np.float32)

    def log_p_after(self, codes: Tensor) -> Tensor:
        """Log probabilities (..., V) of the code that follows each code."""
        return torch.from_numpy(self.log_p)[codes.long()]


def teacher_forced(model: CausalModel, codes_RFS: Tensor, table: Table | None = None) -> dict[str, Prediction]:
    """Predictions of `toto`, `copy` and, if given, `table` for frames 2 to F of every row, from all earlier true
    codes."""
    truth, before = codes_RFS[:, 1:], codes_RFS[:, :-1]
    changed = truth != before
    predictors = {"toto": lambda row: _log_p(model, row)[1:]}
    if table is not None:
        predictors["table"] = lambda row: table.log_p_after(row[:-1])
    guesses, bits = {"copy": before}, {}
    for name, log_p_of in predictors.items():
        # One row at a time, because the log probabilities of a row are 4096 × V numbers.
        found = [(log_p.argmax(-1), _bits(log_p, row[1:])) for row in codes_RFS for log_p in (log_p_of(row),)]
        guesses[name], bits[name] = (torch.stack(part) for part in zip(*found))
    return {name: _prediction(guess, truth, changed, bits.get(name)) for name, guess in guesses.items()}


@torch.inference_mode()
def free_running(
    model: CausalModel,
    tokenizer: Tokenizer,
    codes_RFS: Tensor,
    given: int,
    frames: int,
    tell: Callable[[int], None] = lambda done: None,
) -> dict[str, Prediction]:
    """Predictions of `toto` and `copy` for `frames` frames after the first `given`, with the most likely code each
    time.

    The copy repeats the last given frame. Changed blocks differ from it.
    """
    R, F, S = codes_RFS.shape
    truth, last = codes_RFS[:, given : given + frames], codes_RFS[:, given - 1 : given]
    made = []
    for part in codes_RFS.split(8):
        start = torch.full((len(part), 1), VIDEO_START)
        prompt = torch.cat((start, part[:, :given].flatten(1).long() + OFFSET), dim=1)
        out = model.generate(prompt, frames * S, temperature=0, lowest=OFFSET)
        made.append((out[:, prompt.shape[1] :] - OFFSET).view(len(part), frames, S))
        tell(sum(map(len, made)))
    guesses = {"toto": torch.cat(made), "copy": last.expand_as(truth)}
    changed, pixels = truth != last, _pixels(tokenizer, truth)
    return {
        name: _prediction(
            guess, truth, changed, None, psnr_db(float((_pixels(tokenizer, guess) - pixels).square().mean()))
        )
        for name, guess in guesses.items()
    }


@torch.inference_mode()
def _log_p(model: CausalModel, row_FS: Tensor) -> Tensor:
    """Log probabilities (F, S, V) of the codes of one row, each from all codes before it, without special tokens."""
    ids = torch.cat((torch.tensor([VIDEO_START]), row_FS.flatten().long() + OFFSET))
    return model(ids[None, :-1])[0, :, OFFSET:].float().log_softmax(-1).view(*row_FS.shape, -1)


def _bits(log_p: Tensor, codes: Tensor) -> Tensor:
    return -log_p.gather(-1, codes.long()[..., None])[..., 0] / float(np.log(2))


def _prediction(
    guess: Tensor, truth: Tensor, changed: Tensor, bits: Tensor | None, psnr: float | None = None
) -> Prediction:
    """The numbers for a guess. All tensors are (R, F, S)."""
    right, clips = guess == truth, np.arange(len(truth))
    some = changed.flatten(1).any(1).numpy()
    share = (right & changed).flatten(1).sum(1).numpy()[some] / changed.flatten(1).sum(1).numpy()[some]
    by_frame = () if bits is None else tuple(float(bits[:, f][changed[:, f]].mean()) for f in range(bits.shape[1]))
    return Prediction(
        accuracy=bootstrap(right.flatten(1).float().mean(1).numpy(), clips),
        accuracy_changed=bootstrap(share, clips[some]) if some.any() else Interval(0.0, 0.0, 0.0),
        bits=None if bits is None else float(bits.mean()),
        bits_changed=None if bits is None else float(bits[changed].mean()),
        bits_changed_by_frame=by_frame,
        psnr=psnr,
    )


def _pixels(tokenizer: Tokenizer, codes_RFS: Tensor) -> Tensor:
    return tokenizer.decode(codes_RFS.flatten(0, 1)).float()

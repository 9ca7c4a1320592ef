"""What a run reads: the mixture of its stores, the held-out rows, and the tokenizer that they share.

On the arrow: token store → rows.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from toto_robot.ground.errors import UserError, expected
from toto_robot.pretraining.config import PretrainConfig
from toto_robot.tokens.base import Tokenizer
from toto_robot.tokens.special import vocab_with_special
from toto_robot.tokens.store.mixture import Mixture
from toto_robot.tokens.store.token_store import TokenStore
from toto_robot.tokens.tokenizer import load_tokenizer


@dataclass
class PretrainData:
    """Everything that `pretrain` reads."""

    mixture: Any
    """`batch(step, batch_size)` → codes (B, F, S) and kinds (B,), a pure function of its arguments."""
    held_out: dict[str, tuple[Tensor, Tensor]]
    """Codes (N, F, S), or patches, and kinds (N,) of the validation rows of each store, by its folder's name."""
    tokenizer: Tokenizer
    """The tokenizer that made the codes."""
    vocab_size: int
    """V: codes and special tokens; with patches, the values of one patch."""
    frames: int
    """F: frames of a row."""
    tokens: int
    """S: tokens of a frame."""
    image_size: int
    """Pixels on the side of the frames."""
    identity: dict
    """Fingerprints of everything that the run reads. A resumed run must read the same."""
    describe: str
    """One phrase for the log."""


def open_data(cfg: PretrainConfig) -> PretrainData:
    """Open the stores, check that one tokenizer made them all, and read the held-out rows. Raises UserError."""
    if not cfg.stores:
        raise UserError("stores is empty. Give at least one, for example stores=[data/tokens].")
    training, held_out = [TokenStore(Path(p)) for p in cfg.stores], [TokenStore(Path(p)) for p in cfg.validation]
    tokenizer = load_tokenizer(cfg.tokenizer)
    made_by = tokenizer.fingerprint()
    for path, store in zip([*cfg.stores, *cfg.validation], [*training, *held_out]):
        if store.tokenizer != made_by:
            raise UserError(
                f"{path} was made by another tokenizer ({store.tokenizer[:12]}…) than {cfg.tokenizer} "
                f"({made_by[:12]}…). Tokenize its videos again with this one, or give the other one as tokenizer=."
            )
        if not len(store):
            raise UserError(f"{path} holds no rows. Leave it out.")
        if cfg.short_frames > store.frames:
            raise expected("short_frames", f"at most {store.frames}, the frames of a row in {path}", cfg.short_frames)
    check_apart(training, held_out)
    rows = sum(len(store) for store in training)
    return PretrainData(
        mixture=Mixture(training, cfg.weights, cfg.seed),
        held_out=named_rows(held_out, cfg.validation_rows),
        tokenizer=tokenizer,
        vocab_size=tokenizer.vocab_size if tokenizer.continuous else vocab_with_special(tokenizer.vocab_size),
        frames=training[0].frames,
        tokens=training[0].tokens_per_frame,
        image_size=round(training[0].tokens_per_frame ** 0.5) * tokenizer.patch,
        identity={
            "stores": [store.fingerprint for store in training],
            "validation": [store.fingerprint for store in held_out],
            "tokenizer": made_by,
        },
        describe=f"{rows:,} rows in {len(training)} stores",
    )


def check_apart(training: list[TokenStore], held_out: list[TokenStore]) -> None:
    """Raise UserError if a moving clip of the held-out stores is in a training store too: the same tokens, whatever
    its file is called. Clips whose frames are all alike (a black screen) say nothing of a copy."""
    wanted: dict[bytes, list[tuple[TokenStore, int]]] = {}
    for store in held_out:
        for i in range(len(store)):
            if (store[i] != store[i][0]).any():
                wanted.setdefault(store[i][0].tobytes(), []).append((store, i))
    for store in training if wanted else ():
        for i in range(len(store)):
            for other, j in wanted.get(store[i][0].tobytes(), ()):
                if np.array_equal(store[i], other[j]):
                    raise UserError(
                        f"{other.path} holds out a clip that {store.path} trains on: {other.row(j)['source']} and "
                        f"{store.row(i)['source']} have the same tokens, so the held-out loss would mean nothing. "
                        "Remove one of the two files and tokenize again."
                    )


def named_rows(stores: list[TokenStore], count: int) -> dict[str, tuple[Tensor, Tensor]]:
    """About `count` rows, spread evenly over each store, by the names of the stores' folders (numbered if equal)."""
    rows: dict[str, tuple[Tensor, Tensor]] = {}
    for store in stores:
        name, number = store.path.resolve().name, 2
        while name in rows:
            name, number = f"{store.path.resolve().name}_{number}", number + 1
        share = max(1, round(count * len(store) / sum(len(s) for s in stores)))
        chosen = np.unique(np.linspace(0, len(store) - 1, share).round().astype(int))
        codes = np.stack([store[int(i)] for i in chosen])
        codes = codes if store.continuous else codes.astype(np.int64)
        rows[name] = torch.from_numpy(codes), torch.tensor([store.kind(int(i)) for i in chosen])
    return rows

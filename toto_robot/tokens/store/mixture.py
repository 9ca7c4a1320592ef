"""The order of the rows of a mixture of stores: a pure function of (seed, step).

Rows are dealt in blocks. Each block holds exactly weight × block rows of each store, in its own order. The rows of a
store come in epochs. Each epoch is a keyed permutation (a Feistel network), so every row is seen once before any row is
seen twice. A resumed run needs only the step, and any number of processes reads the same rows. The order of a store is
keyed by its fingerprint, so it does not change when another store is added or moved.
"""

import hashlib
from collections.abc import Iterable
from fractions import Fraction
from math import lcm
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from toto_robot.ground.errors import UserError, expected
from toto_robot.ground.seeds import key64
from toto_robot.tokens.store.token_store import TokenStore

PAPER_PERCENT = {"imagenet": 20, "kinetics": 10, "ego4d": 10, "howto100m": 60}  # of a batch, Sec. 3.3
BLOCK_MAX = 10_000
ROUNDS = 6


def permute(index: npt.ArrayLike, n: int, key: npt.ArrayLike) -> np.ndarray:
    """The images of `index` under a keyed permutation of 0..n-1, without a table, for any n up to 2**62.

    `key` is one key, or one for each index. The permutation is a balanced Feistel network on the smallest even number
    of bits that holds n. A result outside 0..n-1 passes through it again, until it is inside.
    """
    index = np.atleast_1d(np.asarray(index, dtype=np.uint64))
    if n < 1 or (len(index) and int(index.max()) >= n):
        raise ValueError(f"expected indices in 0..{n - 1}")
    if n == 1:
        return index.astype(np.int64)
    half = np.uint64(max(1, ((n - 1).bit_length() + 1) // 2))
    mask = np.uint64((1 << int(half)) - 1)
    distinct, which = np.unique(np.broadcast_to(np.asarray(key, dtype=np.uint64), index.shape), return_inverse=True)
    keys = np.array([[key64(int(k), r) | 1 for k in distinct] for r in range(ROUNDS)], dtype=np.uint64)[:, which]

    def once(x: np.ndarray, keys: np.ndarray) -> np.ndarray:
        left, right = x >> half, x & mask
        for k in keys:
            left, right = right, left ^ (_mix(right, k) & mask)
        return (left << half) | right

    with np.errstate(over="ignore"):
        out = once(index, keys)
        while (outside := out >= n).any():
            out[outside] = once(out[outside], keys[:, outside])
    return out.astype(np.int64)


def _mix(x: np.ndarray, key: np.ndarray) -> np.ndarray:
    """The finisher of splitmix64: every input bit affects every output bit."""
    x = (x + key) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def default_weights(stores: list[TokenStore]) -> list:
    """The paper's proportions if every store holds one of its four data sets; otherwise all are equal.

    Stores of one data set divide its share equally.
    """
    kinds = [store.source.get("kind", "") for store in stores]
    if set(kinds) <= set(PAPER_PERCENT):
        return [Fraction(PAPER_PERCENT[kind], kinds.count(kind)) for kind in kinds]
    return [1] * len(stores)


class Mixture:
    """Stores (paths or TokenStore), mixed in proportion to `weights`, any positive numbers. None: `default_weights`."""

    def __init__(self, stores: Iterable[Any], weights: Iterable[Any] | None = None, seed: int = 0):
        self.stores = [s if isinstance(s, TokenStore) else TokenStore(s) for s in stores]
        weights = default_weights(self.stores) if weights is None else list(weights)
        if not self.stores or len(weights) != len(self.stores):
            raise UserError(
                f"Expected one weight for each store, got {len(weights)} weights for {len(self.stores)} stores."
            )
        for store, weight in zip(self.stores, weights):
            if not len(store):
                raise UserError(f"{store.path} holds no rows. Leave it out of the mixture.")
            if not weight > 0:
                raise expected(str(store.path), "a weight above 0", weight)
        self._check_alike()
        exact = [Fraction(str(weight)).limit_denominator(BLOCK_MAX) for weight in weights]
        shares = [weight / sum(exact) for weight in exact]
        self.block = lcm(*(share.denominator for share in shares))
        if self.block > BLOCK_MAX:
            raise UserError(
                f"The weights {weights} need blocks of {self.block} rows (at most {BLOCK_MAX}): round them."
            )
        self.counts = [int(share * self.block) for share in shares]
        self._ends = np.cumsum(self.counts)
        self.seed = int(seed)

    def _check_alike(self) -> None:
        first = self.stores[0]
        for store in self.stores[1:]:
            if (store.tokenizer, store.frames, store.tokens_per_frame) != (
                first.tokenizer,
                first.frames,
                first.tokens_per_frame,
            ):
                raise UserError(
                    f"{store.path} and {first.path} were made by different tokenizers or with different "
                    "rows. Tokenize both with the same tokenizer."
                )

    @property
    def fingerprint(self) -> str:
        """Changes when the rows, the proportions or the seed do."""
        parts = [f"{store.fingerprint}:{count}" for store, count in zip(self.stores, self.counts)]
        return hashlib.sha256("/".join([str(self.seed), *parts]).encode()).hexdigest()

    def rows(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Store number and row in that store, int64 (count,) each, for the global rows first..first+count-1."""
        # The slot of each row in its block, in the order of the block.
        at = np.arange(first, first + count, dtype=np.int64)
        blocks, block = np.unique(at // self.block, return_inverse=True)
        keys = np.array([key64(self.seed, "block", int(b)) for b in blocks], dtype=np.uint64)
        slot = permute(at % self.block, self.block, keys[block])
        # The store of each slot, and how many of its rows came before.
        which = np.searchsorted(self._ends, slot, side="right")
        row = at // self.block * np.take(self.counts, which) + slot - np.take(self._ends - self.counts, which)
        # The row itself, by the order of the store's epoch.
        for s, store in enumerate(self.stores):
            mine = np.flatnonzero(which == s)
            epoch = row[mine] // len(store)
            for e in np.unique(epoch):
                of = mine[epoch == e]
                row[of] = permute(row[of] % len(store), len(store), key64(self.seed, store.fingerprint, int(e)))
        return which, row

    def batch(self, step: int, batch_size: int, rank: int = 0, world: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
        """Codes int64 (b, F, S), or patches uint8 (b, F, S, values), and kinds int64 (b,) of this rank.

        b = batch_size / world: `batch_size` counts the rows of all ranks together. The rows of the ranks 0..world-1 one
        after the other are the same batch at any world size. Kinds: 0 is a video, 1 is sixteen images.
        """
        if batch_size % world or not 0 <= rank < world or step < 0:
            raise UserError(
                f"Expected a batch size that is divisible by the number of processes, got {batch_size} and {world} "
                f"(rank {rank}, step {step})."
            )
        mine = batch_size // world
        which, row = self.rows(step * batch_size + rank * mine, mine)
        codes = np.stack([self.stores[s][i] for s, i in zip(which, row)])
        codes = codes if codes.dtype == np.uint8 else codes.astype(np.int64)
        kinds = np.array([self.stores[s].kinds[i] for s, i in zip(which, row)], dtype=np.int64)
        return torch.from_numpy(codes), torch.from_numpy(kinds)

"""How a tokenizer uses its codes: frequencies, coverage, entropy, and distinct n-grams of a store (Fig. 3, 12, 13).

An n-gram is n neighbours in the raster order of one frame, in which the model reads them. So it continues from the end
of a token row to the next one. Everything is counted exactly. The memory does not depend on the size of the store.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from toto_robot.ground.errors import UserError
from toto_robot.tokens.store.token_store import TokenStore

AT_ONCE = 1 << 24  # n-grams held at a time (134 MB), and distinct ones expected in a pass
CHUNK = 1 << 22  # tokens read at a time
NGRAMS = (2, 3)
LEVELS = 512  # probabilities that a frequency curve is reduced to where chance is computed


@dataclass
class Ngrams:
    """Distinct n-grams of a store, and the numbers that chance would give for as many draws."""

    n: int
    """Number of neighbours."""
    drawn: int
    """Number of n-grams in the store, repeated ones included."""
    distinct: int
    """Number of different n-grams among them."""
    uniform: float
    """Expected number if every code were equally likely."""
    independent: float
    """Expected number with the code frequencies of the store, if neighbours were independent."""


@dataclass
class Statistics:
    """The use of the codes in one store."""

    store: str
    """Its path."""
    vocab_size: int
    """Codes of the tokenizer."""
    rows: int
    """Rows counted."""
    frames: int
    """Frames in them."""
    tokens: int
    """Tokens in them."""
    used: int
    """Number of codes that occur."""
    coverage: float
    """`used` as a share of the vocabulary."""
    chance_coverage: float
    """Expected share if every code were equally likely."""
    entropy_bits: float
    """Entropy of the frequencies of the codes."""
    most_bits: float
    """log2 of the vocabulary, the largest possible entropy."""
    ngrams: list[Ngrams] = field(default_factory=list)
    """For 2 and 3 neighbours."""
    counts: list[int] = field(default_factory=list)
    """How often each used code occurs, most frequent first: the curve of Fig. 3."""


def statistics(store: TokenStore, rows: int = 0, tell: Callable[[str], None] = lambda text: None) -> Statistics:
    """Count a store, or `rows` of its rows, spread evenly over it. 0 means all rows."""
    if not len(store):
        raise UserError(f"{store.path} holds no rows. Tokenize videos into it first.")
    if store.continuous:
        raise UserError(f"{store.path} holds patches, which have no codes to count. Give a store of codes.")
    chosen = np.unique(np.linspace(0, len(store) - 1, min(rows or len(store), len(store))).round().astype(int))
    counts = np.zeros(store.vocab_size, np.int64)
    for codes in _frames(store, chosen):
        if int(codes.max()) >= store.vocab_size:
            raise UserError(
                f"{store.path} holds code {int(codes.max())}, and its tokenizer has {store.vocab_size}. Build it again."
            )
        counts += np.bincount(codes.ravel(), minlength=store.vocab_size)
    tokens = int(counts.sum())
    shares = counts[counts > 0] / tokens
    found = Statistics(
        store=str(store.path),
        vocab_size=store.vocab_size,
        rows=len(chosen),
        frames=len(chosen) * store.frames,
        tokens=tokens,
        used=len(shares),
        coverage=len(shares) / store.vocab_size,
        chance_coverage=expected_distinct(np.ones(1), np.array([store.vocab_size]), tokens) / store.vocab_size,
        entropy_bits=float(-(shares * np.log2(shares)).sum()),
        most_bits=math.log2(store.vocab_size),
        counts=np.sort(counts[counts > 0])[::-1].tolist(),
    )
    for n in NGRAMS:
        drawn = found.frames * max(0, store.tokens_per_frame - n + 1)
        tell(f"{store.path}: {n}-grams")
        found.ngrams.append(
            Ngrams(
                n,
                drawn,
                distinct_ngrams(store, chosen, n),
                uniform=expected_distinct(np.ones(1), np.array([float(store.vocab_size) ** n]), drawn),
                independent=expected_distinct(*_products(shares, n), drawn),
            )
        )
    return found


def _frames(store: TokenStore, rows: np.ndarray) -> Iterator[np.ndarray]:
    """uint16 (frames, S) of the rows, a few million tokens at a time."""
    a_row = store.frames * store.tokens_per_frame
    for part in np.array_split(rows, -(-len(rows) * a_row // CHUNK) or 1):
        if len(part):
            yield np.concatenate([store[i] for i in part])


def distinct_ngrams(store: TokenStore, rows: np.ndarray, n: int, at_once: int = AT_ONCE) -> int:
    """The number of different n-grams (n up to 4) in the rows. Each n-gram is one 64-bit key, so the count is exact.

    The keys are divided into parts that fit into memory. The store is read once for each part.
    """
    drawn = len(rows) * store.frames * max(0, store.tokens_per_frame - n + 1)
    parts = -(-drawn // at_once) or 1
    total = 0
    for part in range(parts):
        seen, waiting = np.empty(0, np.uint64), []
        for codes in _frames(store, rows):
            keys = ngram_keys(codes, n)
            waiting.append(_distinct(keys if parts == 1 else keys[_part(keys, parts) == part]))
            if sum(map(len, waiting)) > at_once:
                seen, waiting = _distinct(np.concatenate([seen, *waiting])), []
        total += len(_distinct(np.concatenate([seen, *waiting])))
    return total


def _distinct(keys: np.ndarray) -> np.ndarray:
    """np.unique by sorting. On millions of keys it is 20 times faster than the hash table of NumPy 2.3 and later."""
    keys = np.sort(keys)
    return keys[np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)]]


def ngram_keys(codes: np.ndarray, n: int) -> np.ndarray:
    """uint64 keys, 16 bits a code, of all n-grams inside the frames of codes uint16 (frames, S)."""
    length = codes.shape[1] - n + 1
    keys = np.zeros((len(codes), max(0, length)), np.uint64)
    for i in range(n if length > 0 else 0):
        keys = (keys << np.uint64(16)) | codes[:, i : i + length]
    return keys.ravel()


def _part(keys: np.ndarray, parts: int) -> np.ndarray:
    return (keys * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(32)) % np.uint64(parts)


# ------------------------------------------------------------------------------------------ chance


def expected_distinct(weight: np.ndarray, number: np.ndarray, draws: int) -> float:
    """Expected number of different outcomes in `draws` independent draws: Σ number · (1 − (1 − p)^draws).

    `number[i]` outcomes have a probability p proportional to `weight[i]`.
    """
    if not draws:
        return 0.0
    p = weight / (weight * number).sum()
    with np.errstate(divide="ignore"):
        return float(-(number * np.expm1(draws * np.log1p(-p))).sum())


def _products(shares: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The probabilities of n independent codes, and the number of n-grams with each probability."""
    p, number = _reduced(shares, np.ones(len(shares)))
    products, many = p, number
    for _ in range(n - 1):
        products, many = _reduced(np.outer(products, p).ravel(), np.outer(many, number).ravel())
    return products, many


def _reduced(p: np.ndarray, number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same distribution with at most LEVELS probabilities. Neighbours on a log scale are averaged."""
    values, where = np.unique(p, return_inverse=True)
    if len(values) > LEVELS:
        edges = np.linspace(np.log(values[0]), np.log(values[-1]), LEVELS + 1)[1:-1]
        where = np.searchsorted(edges, np.log(p))
    total = np.bincount(where, weights=number)
    mean = np.bincount(where, weights=number * p) / np.where(total > 0, total, 1)
    return mean[total > 0], total[total > 0]

"""Counts are exact, in parts or whole; chance equals the result of repeated draws."""

import numpy as np
import pytest

from toto_robot.ground.errors import UserError
from toto_robot.tokens.store import statistics as module
from toto_robot.tokens.store.statistics import (
    _products,
    _reduced,
    distinct_ngrams,
    expected_distinct,
    ngram_keys,
    statistics,
)
from toto_robot.tokens.store.token_store import TokenStore, write_index, write_shard


def make(path, codes, vocab):
    """A store of codes (rows, F, S) in two shards."""
    half = len(codes) // 2
    for name, part in (("0", codes[:half]), ("1", codes[half:])):
        write_shard(
            path,
            name,
            part.astype(np.uint16),
            [{"source": "a", "kind": "video", "first_s": 0, "last_s": 1}] * len(part),
            [],
        )
    write_index(
        path, dict(frames=codes.shape[1], tokens_per_frame=codes.shape[2], vocab_size=vocab, tokenizer="t"), ["0", "1"]
    )
    return TokenStore(path)


@pytest.fixture(scope="module")
def codes():
    return np.minimum(np.random.default_rng(0).geometric(0.02, (40, 3, 16)), 190)


@pytest.fixture(scope="module")
def store(codes, tmp_path_factory):
    return make(tmp_path_factory.mktemp("store"), codes, 200)


def brute(codes, n):
    return len({tuple(frame[i : i + n]) for row in codes.tolist() for frame in row for i in range(len(frame) - n + 1)})


def test_counts_equal_a_plain_count(store, codes):
    found = statistics(store)
    values, counts = np.unique(codes, return_counts=True)
    shares = counts / codes.size
    assert (found.rows, found.frames, found.tokens, found.used) == (40, 120, codes.size, len(values))
    assert found.coverage == len(values) / 200 and found.counts == sorted(counts.tolist(), reverse=True)
    assert found.entropy_bits == pytest.approx(-(shares * np.log2(shares)).sum()) and found.most_bits == np.log2(200)
    assert [(g.n, g.drawn, g.distinct) for g in found.ngrams] == [
        (2, 120 * 15, brute(codes, 2)),
        (3, 120 * 14, brute(codes, 3)),
    ]


@pytest.mark.parametrize("at_once", [1, 50, 700, 10**6])
def test_ngrams_counted_in_parts_are_the_same(store, codes, at_once, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 100)
    at_once = max(at_once, 20)
    for n in (1, 2, 3, 4):
        assert distinct_ngrams(store, np.arange(len(store)), n, at_once) == brute(codes, n)


def test_ngrams_do_not_leave_their_frame():
    assert ngram_keys(np.array([[1, 2], [3, 4]], np.uint16), 2).tolist() == [1 << 16 | 2, 3 << 16 | 4]
    assert len(ngram_keys(np.array([[1, 2]], np.uint16), 3)) == 0
    big = np.array([[65535, 65534, 65533]], np.uint16)
    assert ngram_keys(big, 3).tolist() == [65535 << 32 | 65534 << 16 | 65533]


def test_some_rows_are_spread_over_the_store(store):
    assert statistics(store, rows=7).rows == 7 and statistics(store, rows=999).rows == 40


def test_chance_is_what_draws_give_on_average():
    rng, draws = np.random.default_rng(0), 60
    p = rng.dirichlet(np.ones(30))
    seen = np.mean([len(set(rng.choice(30, draws, p=p).tolist())) for _ in range(2000)])
    assert expected_distinct(p, np.ones(30), draws) == pytest.approx(seen, abs=0.15)
    assert expected_distinct(np.ones(1), np.array([30]), draws) == pytest.approx(30 * (1 - (29 / 30) ** draws))
    assert expected_distinct(np.ones(1), np.array([1.0]), 5) == 1 and expected_distinct(p, np.ones(30), 0) == 0


@pytest.mark.parametrize("n, draws", [(2, 5000), (3, 20000)])
def test_chance_of_independent_neighbours_is_that_of_their_products(n, draws):
    p = 1 / np.arange(1, 101) ** 1.1
    p /= p.sum()
    exact = np.einsum("a,b->ab", p, p).ravel() if n == 2 else np.einsum("a,b,c->abc", p, p, p).ravel()
    wanted = (1 - (1 - exact) ** draws).sum()
    assert expected_distinct(*_products(p, n), draws) == pytest.approx(wanted, rel=1e-3)


def test_reducing_a_distribution_keeps_its_mass():
    p = np.random.default_rng(0).dirichlet(np.full(5000, 0.3))
    p = p[p > 0]
    values, number = _reduced(p, np.ones(len(p)))
    assert len(values) <= 512 and number.sum() == len(p) and (values * number).sum() == pytest.approx(1)


def test_an_empty_store_and_a_wrong_vocabulary_are_refused(codes, tmp_path):
    with pytest.raises(UserError, match="holds no rows"):
        statistics(make(tmp_path / "empty", codes[:0], 200))
    with pytest.raises(UserError, match="holds code 190, and its tokenizer has 100"):
        statistics(make(tmp_path / "wrong", codes, 100))

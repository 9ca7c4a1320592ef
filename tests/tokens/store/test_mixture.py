import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from toto_robot.ground.errors import UserError
from toto_robot.tokens.store.mixture import Mixture, permute
from toto_robot.tokens.store.token_store import TokenStore, write_index, write_shard


def make_store(path, rows, first_code=0, tokenizer="t", kind="video"):
    """A store whose row i holds the code first_code + i everywhere."""
    codes = np.broadcast_to((first_code + np.arange(rows, dtype=np.uint16))[:, None, None], (rows, 2, 4)).copy()
    described = {"source": "x", "kind": kind, "first_s": 0.0, "last_s": 1.0}
    write_shard(path, "00000-aaaaaaaaaaaa", codes, [described] * rows, [])
    write_index(
        path, {"frames": 2, "tokens_per_frame": 4, "vocab_size": 4096, "tokenizer": tokenizer}, ["00000-aaaaaaaaaaaa"]
    )
    return path


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    return [
        make_store(folder / "a", 7),
        make_store(folder / "b", 30, 100),
        make_store(folder / "c", 101, 1000, kind="image"),
    ]


@given(st.integers(1, 3000), st.integers(0, 2**64 - 1))
@settings(max_examples=60, deadline=None)
def test_the_permutation_is_a_bijection(n, key):
    assert np.array_equal(np.sort(permute(np.arange(n), n, key)), np.arange(n))


def test_the_permutation_reaches_large_sizes_and_depends_on_its_key():
    n = 10**12 + 39
    out = permute(np.arange(1000), n, 1)
    assert len(set(out.tolist())) == 1000 and out.max() < n and out.max() > n // 2
    assert not np.array_equal(out, permute(np.arange(1000), n, 2))


def test_the_permutation_is_the_same_on_every_machine():
    assert permute([0, 1, 2], 1000, 7).tolist() == [223, 714, 303]
    assert permute(np.arange(6), 6, 42).tolist() == [0, 2, 3, 1, 4, 5]


@given(
    weights=st.lists(st.sampled_from([0.1, 0.2, 0.25, 0.6, 1, 2, 3.5]), min_size=3, max_size=3),
    block=st.integers(0, 50),
)
@settings(max_examples=30, deadline=None)
def test_every_block_holds_the_exact_ratios(stores, weights, block):
    mixture = Mixture(stores, weights)
    which, _ = mixture.rows(block * mixture.block, mixture.block)
    share = np.bincount(which, minlength=3) / mixture.block
    assert np.allclose(share, np.array(weights) / sum(weights), atol=1e-12)
    assert np.bincount(which, minlength=3).tolist() == mixture.counts


@given(step=st.integers(0, 500), world=st.sampled_from([1, 2, 3, 4, 6, 12]), seed=st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_a_batch_does_not_depend_on_the_world_size(stores, step, world, seed):
    mixture = Mixture(stores, [0.2, 0.2, 0.6], seed)
    whole, kinds = mixture.batch(step, 12)
    parts = [mixture.batch(step, 12, rank, world) for rank in range(world)]
    assert torch.equal(torch.cat([p[0] for p in parts]), whole) and torch.equal(torch.cat([p[1] for p in parts]), kinds)


@given(first=st.integers(0, 400), count=st.integers(1, 60))
@settings(max_examples=30, deadline=None)
def test_any_row_can_be_had_without_those_before_it(stores, first, count):
    mixture = Mixture(stores, [1, 2, 3])
    whole = mixture.rows(0, 460)
    part = mixture.rows(first, count)
    assert all(np.array_equal(p, w[first : first + count]) for p, w in zip(part, whole))


def test_each_row_of_a_store_comes_once_before_any_comes_twice(stores):
    which, row = Mixture(stores, [1, 1, 1]).rows(0, 3 * 60)
    mine = row[which == 1]
    assert sorted(mine[:30]) == list(range(30)) == sorted(mine[30:60]) and mine[:30].tolist() != mine[30:60].tolist()


def test_batches_hold_the_rows_and_their_kinds(stores):
    codes, kinds = Mixture(stores, [1, 1, 1]).batch(3, 24)
    assert codes.shape == (24, 2, 4) and codes.dtype == torch.int64
    assert torch.equal(kinds == 1, codes[:, 0, 0] >= 1000) and kinds.sum() == 8


def test_the_order_follows_the_seed_and_another_store_leaves_it_alone(stores):
    order = lambda m, s: m.rows(0, 12 * m.block)[1][m.rows(0, 12 * m.block)[0] == s]
    alone, other_seed = Mixture(stores[1:2], seed=1), Mixture(stores[1:2], seed=2)
    assert order(alone, 0).tolist() != order(other_seed, 0).tolist()
    assert set(order(Mixture(stores[:2], seed=1), 1)[:12]) == set(order(alone, 0)[:12])
    assert Mixture(stores, seed=1).fingerprint != Mixture(stores, seed=2).fingerprint


def test_impossible_mixtures_are_refused(stores, tmp_path):
    with pytest.raises(UserError, match="above 0"):
        Mixture(stores, [1, 0, 1])
    with pytest.raises(UserError, match="one weight for each"):
        Mixture(stores, [1])
    with pytest.raises(UserError, match="round them"):
        Mixture(stores, [0.1234, 0.5678, 0.9991])
    with pytest.raises(UserError, match="different tokenizers"):
        Mixture([stores[0], make_store(tmp_path / "d", 3, tokenizer="other")])
    with pytest.raises(UserError, match="divisible"):
        Mixture(stores).batch(0, 5, 0, 2)


def test_a_store_reads_rows_across_shards_and_tells_where_they_come_from(tmp_path):
    for i, rows in enumerate((3, 0, 2)):
        write_shard(
            tmp_path,
            f"{i}",
            np.full((rows, 2, 4), i, np.uint16),
            [{"source": f"{i}.mp4", "kind": "video", "first_s": 0.0, "last_s": 1.0}] * rows,
            [],
        )
    write_index(tmp_path, {"frames": 2, "tokens_per_frame": 4, "vocab_size": 8, "tokenizer": "t"}, ["0", "1", "2"])
    store = TokenStore(tmp_path)
    assert [int(store[i][0, 0]) for i in range(len(store))] == [0, 0, 0, 2, 2] and store[-1].dtype == np.uint16
    assert store.row(3)["source"] == "2.mp4" and store.kinds.tolist() == [0] * 5 and store.kind(4) == 0
    store.verify()
    with pytest.raises(IndexError):
        store[5]


def test_a_damaged_store_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="toto_robot.tokenize"):
        TokenStore(tmp_path / "none")
    path = make_store(tmp_path / "s", 5)
    codes = path / "shards" / "00000-aaaaaaaaaaaa" / "codes.u16"
    whole = codes.read_bytes()
    codes.write_bytes(whole[:-2])
    with pytest.raises(UserError, match="expected 80 bytes, found 78"):
        TokenStore(path)
    codes.write_bytes(b"\1" + whole[1:])
    with pytest.raises(UserError, match="sha256"):
        TokenStore(path).verify()
    (path / "store.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        TokenStore(path)


def test_fingerprints_follow_the_rows(tmp_path):
    same, again = TokenStore(make_store(tmp_path / "a", 5)), TokenStore(make_store(tmp_path / "b", 5))
    assert same.fingerprint == again.fingerprint != TokenStore(make_store(tmp_path / "c", 5, 1)).fingerprint
    assert json.loads((tmp_path / "a" / "store.json").read_text())["rows"] == 5


@pytest.mark.parametrize(
    "kinds, counts",
    [
        (["imagenet", "kinetics", "ego4d", "howto100m"], [2, 1, 1, 6]),
        (["howto100m", "imagenet"], [3, 1]),
        (["imagenet", "kinetics", "kinetics"], [4, 1, 1]),
        (["imagenet", "folder"], [1, 1]),
        ([None, "howto100m"], [1, 1]),
    ],
)
def test_the_papers_data_sets_are_mixed_as_in_the_paper_and_others_equally(tmp_path, kinds, counts):
    paths = [make_store(tmp_path / str(i), 5 + i, kind="video") for i in range(len(kinds))]
    for path, kind in zip(paths, kinds):
        index = json.loads((path / "store.json").read_text())
        (path / "store.json").write_text(json.dumps({**index, "source": {"kind": kind} if kind else {}}))
    mixture = Mixture(paths)
    assert mixture.counts == counts and mixture.block == sum(counts)
    which = np.concatenate([mixture.rows(step * 12, 12)[0] for step in range(mixture.block)])
    assert np.array_equal(np.bincount(which), 12 * np.array(counts))
    assert Mixture(paths, [1] * len(kinds)).counts == [1] * len(kinds)

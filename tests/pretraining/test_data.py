import numpy as np
import pytest

from toto_robot.ground.errors import UserError
from toto_robot.pretraining.data import check_apart, named_rows, open_data
from toto_robot.tokens.store.token_store import TokenStore, read_index, write_index, write_shard


def test_data_has_the_vocabulary_and_the_fingerprints_of_what_it_reads(config):
    data = open_data(config())
    assert data.vocab_size == 12 + 4
    assert len(data.identity["stores"]) == 2 and len(data.identity["validation"]) == 1
    ((codes, kinds),) = data.held_out.values()
    assert codes.shape == (2, 16, 16) and kinds.tolist() == [0, 0]


def test_a_store_of_another_tokenizer_is_refused(config, make_store):
    with pytest.raises(UserError, match="another tokenizer"):
        open_data(config(validation=[str(make_store(tokenizer_fingerprint="0" * 64))]))


def test_short_rows_longer_than_a_row_are_refused(config):
    with pytest.raises(UserError, match="at most 16"):
        open_data(config(short_frames=17))


def test_a_clip_in_training_and_held_out_is_refused_whatever_its_file_is_called(config, make_store):
    one, other = make_store(6, seed=3), make_store(4, seed=4)
    mixed = np.concatenate([TokenStore(other)[i][None] for i in (0, 1)] + [TokenStore(one)[4][None]])
    held_out = make_store(3, seed=5)
    rows = [{"source": name, "kind": "video", "first_s": 0.0, "last_s": 2.0} for name in ("a.mp4", "b.mp4", "c.mp4")]
    write_shard(held_out, "1", mixed, rows, [])
    described = {key: read_index(held_out)[key] for key in ("frames", "tokens_per_frame", "vocab_size", "tokenizer")}
    write_index(held_out, described, ["1"])
    with pytest.raises(UserError, match=r"holds out a clip that .* trains on: c.mp4 and 3.mp4 have the same tokens"):
        open_data(config(stores=[str(one)], validation=[str(held_out)]))
    open_data(config(stores=[str(make_store(6, seed=6))], validation=[str(held_out)]))


def test_a_black_clip_in_training_and_held_out_is_no_copy(make_store):
    stores = []
    for seed in (7, 8):
        stores.append(make_store(1, seed=seed))
        write_shard(stores[-1], "1", np.zeros((1, 16, 16), np.uint16), [{"source": f"{seed}", "kind": "video"}], [])
        described = {k: read_index(stores[-1])[k] for k in ("frames", "tokens_per_frame", "vocab_size", "tokenizer")}
        write_index(stores[-1], described, ["1"])
    check_apart([TokenStore(stores[0])], [TokenStore(stores[1])])


def test_no_stores_is_refused(config):
    with pytest.raises(UserError, match="stores is empty"):
        open_data(config(stores=[]))


def test_held_out_rows_are_spread_over_each_store(make_store):
    stores = [TokenStore(make_store(5, seed=8)), TokenStore(make_store(5, kind="image", seed=9))]
    rows = named_rows(stores, 4)
    assert list(rows) == [store.path.name for store in stores]
    assert [kinds.tolist() for _, kinds in rows.values()] == [[0, 0], [1, 1]]
    for store, (codes, _) in zip(stores, rows.values()):
        assert np.array_equal(codes[0], store[0]) and np.array_equal(codes[-1], store[4])
    assert sum(len(codes) for codes, _ in named_rows(stores, 100).values()) == 10


def test_stores_of_equal_names_are_told_apart(make_store):
    path = make_store(2, seed=8)
    assert list(named_rows([TokenStore(path), TokenStore(path)], 2)) == [path.name, f"{path.name}_2"]

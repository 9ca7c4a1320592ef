import json

import numpy as np
import pytest

from toto_robot.ground.errors import UserError
from toto_robot.tokens.store.token_store import (
    TokenStore,
    damaged_shards,
    has_shard,
    read_index,
    write_index,
    write_shard,
)

DESCRIBED = {"frames": 2, "tokens_per_frame": 4, "vocab_size": 64, "tokenizer": "t"}


def make_store(path, kinds=("video", "video", "image")):
    """Three shards of five rows of one kind each."""
    for i, kind in enumerate(kinds):
        row = {"source": f"{i}.mp4", "kind": kind, "first_s": 0.0, "last_s": 1.0}
        write_shard(path, str(i), np.full((5, 2, 4), i, np.uint16), [row] * 5, [])
    write_index(path, DESCRIBED, [str(i) for i in range(len(kinds))], {"kind": "folder"})
    return path


def test_the_index_counts_the_rows_of_each_kind_and_the_store_knows_its_source(tmp_path):
    store = TokenStore(make_store(tmp_path))
    assert store.source == {"kind": "folder", "rows": {"video": 10, "image": 5}}
    assert store.kinds.tolist() == [0] * 10 + [1] * 5 and not store._rows  # from the index alone


def test_a_store_without_sources_and_kinds_in_its_index_still_reads(tmp_path):
    make_store(tmp_path)
    index = json.loads((tmp_path / "store.json").read_text())
    del index["source"]
    for shard in index["shards"]:
        del shard["kind"]
    (tmp_path / "store.json").write_text(json.dumps(index))
    store = TokenStore(tmp_path)
    assert store.source == {} and store.kinds.tolist() == [0] * 10 + [1] * 5 and not damaged_shards(tmp_path)


def test_the_source_is_no_part_of_the_fingerprint(tmp_path):
    first = read_index(make_store(tmp_path))["fingerprint"]
    assert write_index(tmp_path, DESCRIBED, ["0", "1", "2"])["fingerprint"] == first
    assert first == "dcbc73bc43739322601ab7405cc856d79f047276a1b1a1ff9517b6af12481d88"  # as before there were any


def test_verifying_names_every_damaged_shard_and_no_other(tmp_path):
    make_store(tmp_path, ("video",) * 6)
    shards = tmp_path / "shards"
    codes = bytearray((shards / "1" / "codes.u16").read_bytes())
    codes[7] ^= 1
    (shards / "1" / "codes.u16").write_bytes(codes)
    (shards / "2" / "codes.u16").write_bytes(b"\0" * 79)
    (shards / "3" / "rows.json").write_text("{")
    (shards / "4" / "codes.u16").unlink()
    described = json.loads((shards / "5" / "rows.json").read_text())
    (shards / "5" / "rows.json").write_text(json.dumps({**described, "rows": described["rows"][:-1]}))
    reasons = {d["shard"]: d["reason"] for d in damaged_shards(tmp_path)}
    assert list(reasons) == ["1", "2", "3", "4", "5"]
    said = ("sha256", "expected 80 bytes, found 79", "is not JSON", "FileNotFound", "other rows")
    assert all(says in reasons[shard] for shard, says in zip("12345", said))


def test_a_store_that_is_damaged_in_one_place_says_so_in_one_sentence(tmp_path):
    make_store(tmp_path)
    (tmp_path / "shards" / "2" / "codes.u16").write_bytes(b"\1" * 80)
    with pytest.raises(UserError, match="1 damaged in .*: 2 .*sha256 differs.*delete these folders"):
        TokenStore(tmp_path).verify()
    assert has_shard(tmp_path, "2") and not has_shard(tmp_path, "3")


@pytest.mark.parametrize(
    "key, value",
    [("name", "../../private"), ("name", "/etc"), ("name", 3), ("rows", "2"), ("rows", 1.5), ("sha256", None)],
)
def test_a_shard_of_an_index_is_inside_the_store_and_has_numbers(tmp_path, key, value):
    make_store(tmp_path)
    index = json.loads((tmp_path / "store.json").read_text())
    index["shards"][0][key] = value
    (tmp_path / "store.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match="store.json is damaged"):
        TokenStore(tmp_path)

"""The report shows the counted numbers, for one store or several."""

import json

import numpy as np
import pytest

from toto_robot import command
from toto_robot.ground.errors import UserError
from toto_robot.token_stats import TokenStatsConfig, main, table
from toto_robot.tokens.store.statistics import statistics
from toto_robot.tokens.store.token_store import TokenStore, write_index, write_shard


@pytest.fixture
def make(tmp_path):
    def made(name, vocab, seed=0):
        codes = np.random.default_rng(seed).integers(0, vocab // 2, (6, 2, 16)).astype(np.uint16)
        write_shard(tmp_path / name, "0", codes, [{"source": "a", "kind": "video", "first_s": 0, "last_s": 1}] * 6, [])
        write_index(tmp_path / name, dict(frames=2, tokens_per_frame=16, vocab_size=vocab, tokenizer=name), ["0"])
        return str(tmp_path / name)

    return made


def test_stores_stand_side_by_side_in_table_json_and_picture(make, tmp_path):
    a, b, out = make("a", 20), make("b", 64, seed=1), tmp_path / "out"
    result = main(command.compose(TokenStatsConfig, "token_stats", [a, str(out), f"also=[{b}]"], ("store", "out")))
    written = json.loads((out / "token_stats.json").read_text())
    assert [s["store"] for s in result["stores"]] == [s["store"] for s in written] == [a, b]
    assert (
        written[0]["coverage"] == 0.5
        and sum(written[1]["counts"]) == 6 * 2 * 16
        and "counts" not in result["stores"][0]
    )
    lines = (out / "token_stats.md").read_text().splitlines()
    assert lines[2:] == table([statistics(TokenStore(path)) for path in (a, b)]).splitlines()
    assert "50.0% (100.0%)" in lines[4] and f"| {written[1]['ngrams'][0]['distinct']:,} |" in lines[5]
    assert all(line.count("|") == lines[2].count("|") for line in lines[2:])
    assert (out / "token_stats.png").read_bytes()[:4] == b"\x89PNG"


def test_mistakes_are_one_sentence(tmp_path):
    with pytest.raises(UserError, match="Missing store"):
        command.compose(TokenStatsConfig, "token_stats", [], ("store", "out"))
    with pytest.raises(UserError, match="rows: expected 0"):
        TokenStatsConfig(store="x", rows=-1)
    with pytest.raises(UserError, match="no token store"):
        main(TokenStatsConfig(store=str(tmp_path)))

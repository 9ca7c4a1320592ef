import subprocess
import sys

import pytest

from toto_robot.ground import amx


@pytest.mark.parametrize(
    "flags, leaf, expected",
    [
        ({"avx512f"}, 0x20, False),
        ({"amx_tile"}, 0x1C, False),
        ({"amx_tile"}, 0x1D, True),
        ({"amx_tile"}, 0x20, True),
    ],
)
def test_amx_is_used_only_where_it_is_claimed_and_described(flags, leaf, expected):
    assert amx.usable(flags, leaf) is expected


def test_onednn_is_kept_off_broken_amx_unless_the_user_has_chosen(monkeypatch):
    monkeypatch.setattr(amx, "processor_flags", lambda: {"amx_tile"})
    monkeypatch.setattr(amx, "largest_leaf", lambda: 0x1C)
    monkeypatch.setattr(amx.os, "environ", {})
    amx.keep_off_if_broken()
    assert amx.os.environ["ONEDNN_MAX_CPU_ISA"] == "AVX512_CORE_FP16"
    amx.os.environ["ONEDNN_MAX_CPU_ISA"] = "DEFAULT"
    amx.keep_off_if_broken()
    assert amx.os.environ["ONEDNN_MAX_CPU_ISA"] == "DEFAULT"


def test_where_amx_works_or_is_not_claimed_nothing_is_set(monkeypatch):
    monkeypatch.setattr(amx.os, "environ", {})
    for flags, leaf in (({"amx_tile"}, 0x1D), (set(), 0)):
        monkeypatch.setattr(amx, "processor_flags", lambda: flags)
        monkeypatch.setattr(amx, "largest_leaf", lambda: leaf)
        amx.keep_off_if_broken()
        assert "ONEDNN_MAX_CPU_ISA" not in amx.os.environ


def test_a_bfloat16_product_runs_on_this_machine():
    code = (
        "import toto_robot, torch; from toto_robot.ground.precision import has_bfloat16; has_bfloat16('cpu');"
        "a = torch.ones(128, 128, dtype=torch.bfloat16); assert (a @ a).sum() == 128 ** 3"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.skipif(not amx.processor_flags() or amx.os.uname().machine != "x86_64", reason="not x86 Linux")
def test_the_processor_answers():
    assert 0x7 <= amx.largest_leaf() < 0x1000

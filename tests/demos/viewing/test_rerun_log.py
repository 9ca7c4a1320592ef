"""With the real rerun-sdk (`make compat`): what is logged can be read back. Without it: a sentence."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from demos import DemoError, DemoSet
from demos.viewing.rerun_log import log

has_rerun = importlib.util.find_spec("rerun") is not None


@pytest.mark.skipif(not has_rerun, reason="needs rerun-sdk (make compat)")
def test_a_recording_holds_every_step(three, tmp_path):
    # A process of its own: Rerun finishes the file when the one that wrote it ends.
    made = tmp_path / "a.rrd"
    script = f"from demos import DemoSet, rerun_log; rerun_log.log(DemoSet({str(three)!r}), {str(made)!r})"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2])
    folder = Path(importlib.util.find_spec("rerun").origin).parents[1] / "rerun_cli"
    told = subprocess.run(
        [next(folder.glob("rerun*")), "rrd", "print", made],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "RERUN_ANALYTICS": "0"},
    ).stdout
    assert all(name in told for name in ("/action", "/camera/wrist", "/success")), told[-2000:]


def test_without_rerun_a_sentence_says_how_to_get_it(three, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(DemoError, match="pip install rerun-sdk"):
        log(DemoSet(three), tmp_path / "three.rrd")

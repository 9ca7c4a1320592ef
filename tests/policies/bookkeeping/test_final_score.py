from pathlib import Path

from policies.bookkeeping.final_score import report
from policies.bookkeeping.lifetime import Trained


def test_a_result_is_told_on_stdout_and_the_folder_on_stderr(capsys):
    result = {"successes": 3, "episodes": 4}
    assert report(Trained(None, Path("runs/a"), result)) == result
    out, err = capsys.readouterr()
    assert out.startswith("success 3/4 = 75.0 %") and err == "run: runs/a\n"


def test_a_run_that_was_not_evaluated_tells_only_its_folder(capsys):
    report(Trained(None, Path("runs/a"), {"env": "none"}))
    assert capsys.readouterr() == ("", "run: runs/a\n")

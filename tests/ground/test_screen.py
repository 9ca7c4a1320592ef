import io
import json

import pytest
from rich.console import Console

from toto_robot.ground import screen
from toto_robot.ground.screen import Bar, Record, cut_log, read_log, show_count


def console(terminal):
    return Console(file=io.StringIO(), force_terminal=terminal, width=200)


def test_a_cut_log_keeps_the_lines_that_are_wanted_and_drops_a_torn_one(tmp_path):
    path = tmp_path / "log.jsonl"
    assert cut_log(path, lambda line: True) == [] and not path.exists()
    path.write_text("".join(json.dumps({"step": s}) + "\n" for s in (1, 2, 3)) + '{"step": 4, "lo')
    assert cut_log(path, lambda line: line["step"] <= 2) == [{"step": 1}, {"step": 2}] == read_log(path)


def test_a_record_appends_rows_to_the_log_and_numbers_to_the_curves(tmp_path):
    record = Record(tmp_path / "log.jsonl", tmp_path / "tb", axis="step")
    for step in (1, 2):
        record.write({"step": step, "loss": 0.5, "phase": "codes"})
    record.close()
    assert [row["step"] for row in read_log(tmp_path / "log.jsonl")] == [1, 2] and list((tmp_path / "tb").iterdir())


def test_without_a_terminal_progress_is_a_line_now_and_then_and_no_bar(monkeypatch):
    here = console(False)
    with Bar("filming", 3, console=here) as bar:
        bar.at(1, "one", line="one of three")
        bar.at(2, "two", line="two of three")
        monkeypatch.setattr(screen, "EVERY_S", 0.0)
        bar.at(3, "three", line="three of three")
        bar.say("done")
    assert here.file.getvalue() == "one of three\nthree of three\ndone\n"


@pytest.mark.parametrize("counted", [True, False])
def test_on_a_terminal_there_is_a_bar_with_what_is_done(counted):
    here = console(True)
    with Bar("filming", 3, counted=counted, console=here) as bar:
        bar.at(2, "two", line="a line")
    shown = here.file.getvalue()
    assert "filming" in shown and "two" in shown and "a line" not in shown and ("2/3" in shown) == counted


def test_without_a_terminal_a_count_is_a_line_now_and_then(capsys, monkeypatch):
    now_s = iter([0.0, 1.0, 11.0, 12.0, 13.0])
    monkeypatch.setattr(screen.time, "monotonic", lambda: next(now_s))
    for done in (1, 2, 3, 4):
        show_count(done, 4, "clips")
    show_count(1, 9, "clips")  # the next count begins with a line of its own
    assert capsys.readouterr().err == "1/4 clips\n3/4 clips\n4/4 clips\n1/9 clips\n"


def test_on_a_terminal_a_count_stays_on_its_line(capsys, monkeypatch):
    monkeypatch.setattr(screen.sys.stderr, "isatty", lambda: True, raising=False)
    for done in (1, 2, 3):
        show_count(done, 3, "clips")
    assert capsys.readouterr().err == "\r1/3 clips\r2/3 clips\r3/3 clips\n"

"""A typed line is the answer to the question that the operator has read."""

import os
import pty
import time

from deploy.session.panel import Panel


def answer(panel, wait_s):
    end = time.monotonic() + wait_s
    while time.monotonic() < end:
        answered, line = panel.reply()
        if answered:
            return line
        time.sleep(0.01)
    return "nothing"


def test_at_a_terminal_what_was_typed_before_a_question_is_no_answer_to_it(monkeypatch):
    keyboard, terminal = pty.openpty()
    monkeypatch.setattr("sys.stdin", os.fdopen(terminal))
    panel = Panel()
    os.write(keyboard, b"too early\n")
    panel.ask("The arm will move.")
    assert answer(panel, 0.3) == "nothing"
    os.write(keyboard, b"go\nand once more\n")
    assert answer(panel, 10) == "go"
    time.sleep(0.2)  # the second line has been read
    panel.ask("The next episode.")
    assert answer(panel, 0.3) == "nothing"


def test_answers_that_are_piped_in_are_all_taken_and_then_nobody_is_there(monkeypatch):
    read, write = os.pipe()
    monkeypatch.setattr("sys.stdin", os.fdopen(read))
    os.write(write, b"\ny\n")
    os.close(write)
    panel = Panel()
    for line in ("", "y", None):
        panel.ask("?")
        assert answer(panel, 10) == line


def test_in_a_log_the_live_line_is_a_line_now_and_then_and_a_long_one_is_not_cut(capsys, monkeypatch):
    now_s = [0.0]
    monkeypatch.setattr("deploy.session.panel.time.monotonic", lambda: now_s[0])
    panel = Panel()
    for now_s[0] in (0.0, 1.0, 11.0):
        panel.show(f"[bold]period[/bold] {now_s[0]:g} " + "x" * 200)
    panel.say("y" * 200)
    lines = [f"period {s} " + "x" * 200 for s in (0, 11)]
    assert capsys.readouterr().err.splitlines() == [*lines, "y" * 200]

"""The command's progress; what it makes is tested in tokens/test_build.py and tokens/test_damage.py."""

import io

from rich.console import Console

from toto_robot import tokenize
from toto_robot.ground import screen
from toto_robot.ground.screen import Bar
from toto_robot.tokens.store.build import Progress


def shown(monkeypatch, every_s, bytes_done):
    monkeypatch.setattr(screen, "EVERY_S", every_s)
    console = Console(file=io.StringIO(), force_terminal=False)
    with Bar("tokenizing", None, counted=False, console=console) as bar:
        progress = Progress(1, 4, 0, 1000)
        progress.start_s -= 60
        for progress.bytes in bytes_done:
            progress.frames = progress.bytes * 6
            tokenize.show(bar, progress)
    return console.file.getvalue().splitlines()


def test_a_log_gets_lines_with_frames_a_second_and_the_time_left(monkeypatch):
    lines = shown(monkeypatch, 0.0, [0, 100, 500])
    assert lines == [
        f"tokenizing: 1/4 shards, {text}"
        for text in ("0.0 frames/s, starting", "10.0 frames/s, 9.0 min left", "50.0 frames/s, 1.0 min left")
    ]


def test_a_log_gets_no_more_than_a_line_every_few_seconds(monkeypatch):
    assert len(shown(monkeypatch, 1000.0, range(0, 900, 100))) == 1

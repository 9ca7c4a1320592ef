import io
import json

from rich.console import Console

from policies.progress import Progress


def row(round_, **changes):
    base = {"round": round_, "env_steps": 100 * (round_ + 1), "steps_per_s": 50.0, "loss": 0.25}
    base |= {"expert_share": 0.5, "expert_queries": 70, "interventions": 3}
    return base | {"student_success": 0.5, "eval_success": None, "train_seconds": 2.0 * (round_ + 1)} | changes


def test_a_terminal_shows_round_steps_speed_loss_success_and_time_left(tmp_path):
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=100)
    with Progress("toy run", 4, 400, tmp_path, console) as screen:
        screen.begin(0)
        screen.stepped(100)
        screen.updated(50, 100)
        screen.end(row(0))
    shown = text.getvalue()
    for word in ("toy run", "1/4", "100 of 400", "steps/s", "50", "loss", "0.2500", "50 %", "time left"):
        assert word in shown


def test_without_a_terminal_each_round_is_one_plain_line(tmp_path, capsys):
    with Progress("toy run", 4, 400, tmp_path, Console(file=io.StringIO())) as screen:
        for r in range(2):
            screen.begin(r)
            screen.stepped(100)
            screen.end(row(r, eval_success=0.75))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and "\x1b" not in lines[0]
    expected = "round 2/4  200 steps  50 steps/s  expert drove 50 %, asked 70  loss 0.2500  success 50 %"
    assert lines[1] == expected + "  unseen seeds 75 %  0:04 left"


def test_metrics_are_json_lines_and_the_curve_and_tensorboard_exist(tmp_path):
    with Progress("toy run", 4, 400, tmp_path, Console(file=io.StringIO())) as screen:
        screen.end(row(0, student_success=None))
        screen.end(row(1))
    assert [json.loads(line)["round"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [0, 1]
    assert (tmp_path / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    assert list((tmp_path / "tb").glob("events*"))


def test_a_resumed_screen_counts_only_its_own_time(tmp_path, capsys):
    with Progress("toy run", 4, 400, tmp_path, Console(file=io.StringIO())) as screen:
        screen.resume([row(0), row(1)], 200, 1000.0)
        screen.stepped(100)
        screen.end(row(2, train_seconds=1003.0))
        assert screen.left() == "0:03"
    capsys.readouterr()

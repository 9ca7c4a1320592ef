import io
import json

from rich.console import Console

from policies.bookkeeping.screen import Progress


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


def held(round_, error, **changes):
    base = {"round": round_, "updates": 10 * (round_ + 1), "epochs": 3 * (round_ + 1), "steps_per_s": 5.0, "loss": 0.2}
    base |= {
        "eval_success": None,
        "held_out_error": error,
        "held_out_mean_action": 0.8,
        "held_out_previous_action": 0.1,
        "held_out_loss": 0.3,
    }
    return (
        base | {"held_out/x_m": error / 10, "held_out/grip": error / 2, "train_seconds": 1.0 * (round_ + 1)} | changes
    )


def test_held_out_errors_of_every_action_are_on_the_screen_and_in_the_lines(tmp_path, capsys):
    text = io.StringIO()
    with Progress("r", 3, 30, tmp_path, Console(file=text, force_terminal=True, width=120), axis="updates") as screen:
        for round_, error in enumerate((0.5, 0.3, 0.4)):
            screen.end(held(round_, error))
    for words in (
        "0.400 std, smallest 0.300 after epoch 6; mean action 0.800, previous action 0.100",
        "x_m 0.04, grip 0.2",
    ):
        assert words in text.getvalue()
    assert "success so far" not in text.getvalue().rpartition("smallest")[2]
    with Progress("r", 3, 30, None, Console(file=io.StringIO()), axis="updates") as screen:
        screen.end(held(0, 0.5, **{f"held_out/j{i}": 0.0 for i in range(9)}))
    line = capsys.readouterr().err
    assert (
        "held out 0.500 std (mean action 0.800): x_m 0.05, grip 0.25, j0 0, j1 0" in line
        and "3 more in metrics.jsonl" in line
    )


def test_the_picture_has_a_panel_for_each_thing_that_is_known(tmp_path, monkeypatch):
    from matplotlib import pyplot as plt

    from policies.bookkeeping.learning_curve import learning_curve

    made = []
    monkeypatch.setattr(plt, "close", made.append)
    for rows, labels in (
        ([held(0, 0.5), held(1, 0.3)], ["held-out error (std)", "held-out error, each action", "loss"]),
        (
            [held(0, 0.5, held_out_previous_action=None), held(1, 0.0, eval_success=0.5)],
            ["success (%)", "held-out error (std)", "held-out error, each action", "loss"],
        ),
        ([row(0), row(1)], ["success (%)", "loss"]),
        ([row(0, episode_reward=1.0)], ["success (%)", "reward of an episode (newest 100)"]),
    ):
        axis = "updates" if "updates" in rows[0] else "env_steps"
        learning_curve(rows, tmp_path / "c.png", "r", axis)
        assert [axes.get_ylabel() for axes in made[-1].axes] == labels
        assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")

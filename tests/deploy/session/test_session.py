"""The operator's side of a run: each question is answered by its own answer, and no episode is lost."""

import multiprocessing
from types import SimpleNamespace

import numpy as np
import pytest

from deploy.control.plan import Period
from deploy.endings import Ending
from deploy.session.session import Session
from deploy.session.settings import Resolved


class Panel:
    """Answers each question with a line of `typed`."""

    def __init__(self, *typed):
        self.typed, self.asked, self.interrupts = list(typed), [], 0

    def say(self, text):
        pass

    def ask(self, text):
        self.asked.append(text)

    def reply(self):
        return (True, self.typed.pop(0)) if self.typed else (False, None)


class Recorder:
    def __init__(self):
        self.episodes = []

    def period(self, period):
        pass

    def episode(self, episode, seed, success):
        self.episodes.append((episode, seed, success))


def session(*typed, **settings):
    parts = SimpleNamespace(context=multiprocessing.get_context("spawn"))
    return Session(Resolved("x", **settings), parts, [11, 22], Panel(*typed), Recorder())


def told(s):
    said = []
    while s._robot_end.poll():
        said.append(s._robot_end.recv()[0])
    return said


@pytest.mark.parametrize("yes", [False, True])
def test_the_verdict_on_an_episode_never_starts_the_next(yes):
    """On an arm a person judges, and is still thinking when the arm is home again."""
    s = session(yes=yes)
    s._on_episode(0, 40, None)
    s._on_armed(1)
    assert len(s.panel.asked) == 1 and "success?" in s.panel.asked[0]
    s._operator()
    assert told(s) == [] and s.outcomes == []
    s.panel.typed = ["y"]
    s._operator()
    assert s.outcomes == [(11, 40, True)]
    if not yes:
        assert told(s) == [] and "put the object in place" in s.panel.asked[1]
        s.panel.typed = [""]
        s._operator()
    assert told(s) == ["confirmed"] and s.questions == []


@pytest.mark.parametrize("line, order", [("", "confirmed"), ("n", "declined"), (None, "declined")])
def test_enter_starts_and_n_or_nobody_there_ends(line, order):
    s = session(line)
    s._on_armed(0)
    s._operator()
    assert told(s) == [order]


def test_the_checks_are_shown_before_anything_is_asked_and_a_failed_one_asks_nothing():
    s = session("")
    s._on_checks([("camera", False, "no frame")])
    assert s.panel.asked == []
    s._on_checks([("camera", True, "newest frame 20 ms old")])
    s._operator()
    assert told(s) == ["go"]


@pytest.mark.parametrize("interrupts, typed, success", [(0, ["y"], True), (0, [None], False), (1, [], False)])
def test_the_last_episode_is_counted_whatever_the_operator_does(interrupts, typed, success):
    s = session(*typed)
    s.panel.interrupts = interrupts
    s._on_episode(0, 40, None)
    s._on_end("DONE", "")
    assert s.outcomes == [(11, 40, success)] and s.ending is Ending.DONE
    assert s.recorder.episodes == [(0, 11, success)]


def test_an_episode_in_which_the_robots_process_died_is_a_recorded_failure():
    s = session()
    s.children = {"robot": SimpleNamespace(is_alive=lambda: False)}
    s.period = Period(0, 6, 6, 1.0, "run", np.zeros(8), np.zeros(7), np.zeros(7), 0.08, "", 0, 0.0, 0.05, False)
    s._watch_children()
    assert s.ending is Ending.NETWORK and s.outcomes == [(11, 7, False)] and s.recorder.episodes == [(0, 11, False)]

"""Worker processes that hold an object and answer calls of its methods."""

import os
import signal

import pytest

from toto_robot.ground import workers
from toto_robot.ground.errors import UserError
from toto_robot.ground.workers import Worker


class Counter:
    def __init__(self, start, ended=None):
        if start < 0:
            raise UserError(f"expected a start of at least 0, got {start}")
        self.value, self.ended = start, ended

    def add(self, number):
        self.value += number
        return self.value

    def fail(self):
        raise ZeroDivisionError("by nothing")

    def refuse(self):
        raise UserError("not today")

    def die(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def close(self):
        if self.ended:
            self.ended.write_text(str(self.value))


@pytest.fixture
def start():
    made = []

    def begin(*args):
        made.append(Worker("a counter", Counter, *args))
        return made[-1]

    yield begin
    workers.close(made)
    assert not any(worker.process.is_alive() for worker in made)


def test_answers_come_in_the_order_of_the_calls_and_the_object_is_closed_at_the_end(start, tmp_path):
    worker = start(1, tmp_path / "ended")
    for number in (1, 2, 3):
        worker.call("add", number)
    assert [worker.result() for _ in range(4)] == [None, 2, 4, 7]
    workers.close([worker])
    assert (tmp_path / "ended").read_text() == "7"
    workers.close([worker])


def test_errors_come_back_as_what_they_are_and_end_the_process(start):
    with pytest.raises(UserError, match="at least 0, got -1"):
        start(-1).result()
    for method, error, words in (
        ("refuse", UserError, "not today"),
        ("fail", RuntimeError, "(?s)a counter failed:.*ZeroDivisionError: by nothing"),
        ("die", RuntimeError, r"a counter died \(exit code -9\)"),
    ):
        worker = start(0)
        assert worker.result() is None
        worker.call(method)
        with pytest.raises(error, match=words):
            worker.result()
        worker.process.join(10)
        assert not worker.process.is_alive()

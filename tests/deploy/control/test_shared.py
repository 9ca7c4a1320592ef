"""Readers always see complete values, and a writer never makes them wait."""

import ctypes
import multiprocessing
import os
import signal
import time

import numpy as np
import pytest

from deploy.control.shared import Block, FrameSlot, History
from deploy.processes.children import Stopped

SPAWN = multiprocessing.get_context("spawn")


def scribble(block, frames):
    for i in range(10**9):
        block.write(np.full(1000, i))
        frames.put(np.full(frames.shape, i % 256, np.uint8), float(i), i, i)


def test_what_is_read_is_whole_while_another_process_writes_and_after_it_was_killed_in_a_write():
    block, frames = Block(SPAWN, 1000), FrameSlot(SPAWN, (32, 32, 3))
    writer = SPAWN.Process(target=scribble, args=(block, frames), daemon=True)
    writer.start()
    end = time.monotonic() + 60
    while not frames.head.version and time.monotonic() < end:
        time.sleep(0.01)
    seen, turns, killed_at = set(), 0, None
    while killed_at is None or turns < killed_at + 100:
        if killed_at is None and turns >= 300 and (len(seen) > 1 or time.monotonic() > end):
            os.kill(writer.pid, signal.SIGKILL)
            writer.join()
            killed_at = turns
        values = block.read()
        assert (values == values[0]).all()
        rgb, captured_s, sequence = frames.get()
        assert (rgb == sequence % 256).all() and captured_s == sequence
        seen.add(sequence)
        turns += 1
    assert len(seen) > 1


def test_a_slot_says_that_it_has_no_frame_yet_and_that_the_camera_was_asked_in_vain():
    frames = FrameSlot(SPAWN, (2, 2, 3))
    assert frames.latest() == (0.0, -1, 0)
    frames.answered(1)
    assert frames.latest() == (0.0, -1, 1)
    frames.put(np.ones((2, 2, 3), np.uint8), 0.5, 0, 2)
    assert frames.latest() == (0.5, 0, 2)


def test_a_block_of_bytes_has_bytes():
    block = Block(SPAWN, 3, ctypes.c_uint8)
    block.write([1, 2, 255])
    assert block.read().tolist() == [1, 2, 255] and block.version == 1


def test_a_state_is_interpolated_to_the_moment_of_the_frame():
    history = History(SPAWN, 2, length=16)
    with pytest.raises(LookupError):
        history.at(0.0)
    for i in range(40):  # more than it keeps
        history.add(i / 100, [i, -i], [2 * i, 0], 0.08 - i / 1000)
    q, dq, width_m, rate_m_s = history.at(0.305)
    np.testing.assert_allclose(q, [30.5, -30.5])
    np.testing.assert_allclose(dq, [61, 0])
    assert width_m == pytest.approx(0.0495) and rate_m_s == pytest.approx(-0.1)
    assert history.at(9.0)[0][0] == 39  # after the last one: the last one
    assert len(history.rows()) == 15 and not Stopped()


def test_a_state_before_the_scene_was_put_elsewhere_is_not_the_past():
    history = History(SPAWN, 1, length=64)
    for i in range(9):
        history.add(i / 100, [5.0], [0], 0.0)
    history.forget()
    assert not len(history.rows())
    for i in range(2):
        history.add(0.1 + i / 100, [7.0], [0], 0.08)
    q, _, width_m, rate_m_s = history.at(0.11)
    assert (q[0], width_m, rate_m_s) == (7.0, 0.08, 0.0) and history.at(0.0)[0][0] == 7.0

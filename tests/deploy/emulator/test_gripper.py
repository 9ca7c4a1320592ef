"""The hand on a fake clock, with fingers that follow their set-point and stop at the object."""

import pytest

from deploy.emulator.gripper import Hand
from deploy.emulator.wire import GripperReply


def run(hand, object_m=0.0, width_m=0.08, ms=5000):
    """Advances until the hand is done. Returns the width and the duration."""
    for i in range(ms):
        width_m = min(max(2 * hand.advance(width_m), object_m, 0.0), 0.08)
        if hand.task is None:
            return width_m, i
    raise AssertionError("the hand never finished")


@pytest.fixture
def replies():
    return []


def test_homing_closes_and_opens(replies):
    hand = Hand(1500.0)
    hand.homing(replies.append)
    width, ms = run(hand)
    assert replies == [GripperReply.SUCCESS] and width == pytest.approx(0.08) and ms > 2 * 0.08 / 0.05 * 1000


def test_a_move_arrives_at_its_speed(replies):
    hand = Hand(1500.0)
    hand.move(0.02, 0.1, replies.append)
    width, ms = run(hand)
    assert replies == [GripperReply.SUCCESS] and width == pytest.approx(0.02) and 600 <= ms <= 700


def test_a_move_that_something_blocks_is_unsuccessful(replies):
    hand = Hand(1500.0)
    hand.move(0.02, 0.1, replies.append)
    run(hand, object_m=0.045)
    assert replies == [GripperReply.UNSUCCESSFUL]


@pytest.mark.parametrize("object_m, holds", [(0.045, True), (0.0, False), (0.07, False)])
def test_a_grasp_is_one_where_the_width_fits(replies, object_m, holds):
    hand = Hand(1500.0)
    hand.grasp(0.045, 0.1, 30.0, 0.01, 0.01, replies.append)
    width, _ = run(hand, object_m)
    assert replies == [GripperReply.SUCCESS if holds else GripperReply.UNSUCCESSFUL] and hand.grasped is holds
    # The force with which a finger at width 0 would press.
    assert hand.kp * (0.0 - hand.advance(width)) == pytest.approx(30.0)


@pytest.mark.parametrize(
    "width, speed", [(-0.01, 0.1), (0.09, 0.1), (0.05, 0.0), (float("nan"), 0.1), (0.05, float("nan"))]
)
def test_numbers_that_make_no_sense_fail_without_a_movement(replies, width, speed):
    hand = Hand(1500.0)
    hand.move(width, speed, replies.append)
    assert replies == [GripperReply.FAIL] and hand.task is None


def test_stop_and_a_newer_command_abort_the_running_one(replies):
    hand = Hand(1500.0)
    hand.move(0.0, 0.1, replies.append)
    hand.move(0.05, 0.1, replies.append)
    hand.stop()
    assert replies == [GripperReply.ABORTED] * 2 and hand.task is None


def test_an_injected_failure_is_of_the_next_command_only(replies):
    hand = Hand(1500.0)
    hand.fail_next = 1
    hand.move(0.05, 0.1, replies.append)
    hand.move(0.05, 0.1, replies.append)
    run(hand)
    assert replies == [GripperReply.FAIL, GripperReply.SUCCESS] and hand.commands == 2

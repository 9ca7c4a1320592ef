import multiprocessing

from deploy.control.shared import Block
from deploy.processes.gripper import RemoteGripper


def test_an_order_is_sent_once_and_one_for_a_process_that_has_died_is_no_error():
    """The main process sees and reports the death."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    hand = RemoteGripper(Block(context, 2), here)
    for close in (True, True, False):
        hand.command(close)
    assert [there.recv(), there.recv()] == [True, False] and not there.poll() and hand.sent == 2
    there.close()
    hand.command(True)

"""A process that can't start as asked reports the reason in one sentence, and ends."""

import contextlib
import functools
import multiprocessing

import numpy as np
import pytest

from deploy import cameras
from deploy.control.machine import Event
from deploy.control.shared import Block, FrameSlot, History
from deploy.processes.arm_watch import watch_main
from deploy.processes.camera import camera_main
from deploy.processes.children import Stopped
from deploy.processes.gripper import gripper_main
from deploy.processes.policy import FolderPolicy, Scale, policy_main
from deploy.robots.base import RobotFault
from toto_robot.ground.errors import UserError

CONTEXT = multiprocessing.get_context("spawn")


def fails(error):
    def make():
        raise error

    return make


def report_of(main, *args):
    here, there = CONTEXT.Pipe()
    main(*args, there, Stopped())
    assert here.poll(1)
    said = here.recv()
    assert not here.poll(0)
    return said


def test_a_camera_that_cant_be_opened():
    slot, config = FrameSlot(CONTEXT, (8, 8, 3)), cameras.CameraConfig(kind="video", device="nowhere.mp4")
    kind, why = report_of(camera_main, functools.partial(cameras.make, config), slot, CONTEXT.Semaphore(0), True)
    assert kind == "refused" and "nowhere.mp4" in why


class Breaks(cameras.base.BaseCamera):
    """A camera that opens, or not, and then fails with `error`."""

    def __init__(self, error, opens=True):
        super().__init__(cameras.CameraConfig())
        self.fault, self.opens = error, opens

    def open(self):
        if not self.opens:
            raise self.fault

    def read(self, timeout_s):
        raise self.fault

    def close(self):
        pass


def test_a_cameras_own_reason_is_reported_whatever_it_raises():
    def reports(camera):
        here, there = CONTEXT.Pipe()
        with contextlib.suppress(RuntimeError):  # a bug keeps its traceback
            camera_main(lambda: camera, FrameSlot(CONTEXT, (8, 8, 3)), CONTEXT.Semaphore(0), False, there, Stopped())
        return [here.recv() for _ in iter(lambda: here.poll(0), False)]

    wrong, bug = cameras.CameraError("the film does not decode after 3 s"), RuntimeError("xioctl failed")
    assert reports(Breaks(wrong))[1:] == [("failed", "the film does not decode after 3 s")]
    assert reports(Breaks(bug))[1:] == [("failed", "RuntimeError: xioctl failed")]
    assert reports(Breaks(bug, opens=False)) == [("refused", "RuntimeError: xioctl failed")]


def test_a_policy_for_a_device_that_is_not_there(monkeypatch):
    monkeypatch.setattr("os.nice", lambda by: None)
    scale = Scale(np.zeros(9), np.ones(9), 2)
    kind, why = report_of(
        policy_main,
        functools.partial(FolderPolicy, "bc_cube", "cuda:99"),
        scale,
        FrameSlot(CONTEXT, (8, 8, 3)),
        History(CONTEXT, 7),
        CONTEXT.Pipe()[0],
    )
    assert kind == "refused" and "cuda:99" in why


@pytest.mark.parametrize(
    "error, kind",
    [
        (UserError("the client library is not there"), "refused"),
        (RobotFault(Event.NETWORK, "no connection"), "failed"),
    ],
)
def test_an_arm_or_a_gripper_without_its_client_or_its_robot(error, kind):
    assert report_of(watch_main, fails(error), Block(CONTEXT, 15)) == (kind, str(error))
    if kind == "refused":  # after a failure the gripper's process waits for the main one to decide
        assert report_of(gripper_main, fails(error), Block(CONTEXT, 2), CONTEXT.Pipe()[0]) == (kind, str(error))

"""The process that owns a camera: it keeps the newest frame in shared memory.

Free-running on the wall's clock; in lockstep one frame for each order, because time stands still between them.
"""

import time
from collections.abc import Callable
from multiprocessing.connection import Connection

from deploy.cameras.base import CameraLost
from deploy.control.shared import FrameSlot
from toto_robot.ground.errors import UserError

READ_S = 0.5
"""How long a read may wait for a new frame before the process looks whether it shall end."""


def camera_main(make: Callable, slot: FrameSlot, orders, lockstep: bool, report: Connection, stopped) -> None:
    """Reads `make()`'s camera until `stopped`. `orders` is a semaphore: one release, one frame, in lockstep. To `report`
    goes ("ready", text), or ("refused", why) for a camera that can't be opened as asked; ("silent", why) each time that a
    frame does not come."""
    try:
        reads, camera = 0, make()
        camera.open()
    except UserError as error:
        return report.send(("refused", str(error)))
    try:
        report.send(("ready", f"{camera.features.kind}, {camera.features.shape[1]}×{camera.features.shape[0]}"))
        while not stopped:
            if lockstep and not orders.acquire(timeout=0.1):
                continue
            reads += 1
            try:
                frame = camera.read(READ_S)
            except CameraLost as error:
                slot.answered(reads)
                report.send(("silent", str(error)))
                time.sleep(0.01)
                continue
            slot.put(frame.rgb, frame.captured_s, frame.sequence, reads)
    finally:
        camera.close()

"""The process that owns a camera. It keeps the newest frame in shared memory.

On the wall's clock it reads all the time. In lockstep it reads one frame for each order, because time stands still
between the orders.
"""

import time
from collections.abc import Callable
from multiprocessing.connection import Connection

from deploy.cameras.base import CameraLost
from deploy.control.shared import FrameSlot
from toto_robot.ground.errors import UserError

READ_S = 0.5
"""The longest wait for a new frame. After it the process looks whether it has to end."""


def camera_main(make: Callable, slot: FrameSlot, orders, lockstep: bool, report: Connection, stopped) -> None:
    """Reads the camera `make()` until `stopped`. In lockstep each release of the semaphore `orders` asks for one frame.

    `report` gets ("ready", text), or ("refused", why) if the camera can't be opened as asked, ("silent", why) each time
    a frame does not come, and ("failed", why) before the process ends because of the camera.
    """
    try:
        reads, camera = 0, make()
        camera.open()
    except UserError as error:
        return report.send(("refused", str(error)))
    except Exception as error:  # a driver's own
        report.send(("refused", _said(error)))
        raise
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
    except UserError as error:
        report.send(("failed", str(error)))
    except Exception as error:
        report.send(("failed", _said(error)))
        raise
    finally:
        camera.close()


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"

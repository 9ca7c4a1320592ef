"""What the tests do with panda_py, in a process of its own.

`python panda_client.py SCENARIO IP` prints one JSON line.
"""

import json
import sys
import time

import numpy as np
import panda_py
from panda_py import controllers, libfranka


def all_of_it(ip):
    """The model, a torque controller that holds the arm, and the gripper."""
    panda = panda_py.Panda(ip)
    q = np.array(panda.get_state().q)
    pose = np.array(panda.get_model().pose(libfranka.Frame.kEndEffector, panda.get_state())).reshape(4, 4, order="F")
    control = controllers.AppliedTorque()
    panda.start_controller(control)
    time.sleep(0.3)
    control.set_control(np.zeros(7))
    time.sleep(0.2)
    moving = panda.get_state().robot_mode.name
    panda.stop_controller()
    held = np.array(panda.get_state().q)
    hand = libfranka.Gripper(ip)
    out = {"q": q.tolist(), "pose": pose.tolist(), "fk": np.array(panda_py.fk(q)).tolist(), "mode": moving}
    return out | {"held": held.tolist(), "move": hand.move(0.05, 0.1), "width": hand.read_once().width}


if __name__ == "__main__":
    print("\n" + json.dumps(globals()[sys.argv[1]](sys.argv[2])), flush=True)
    sys.stdout.flush()

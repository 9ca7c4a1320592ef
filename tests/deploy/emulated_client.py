"""The loop on an emulated arm, in a process of its own because two clients can't share one:

    python emulated_client.py BACKEND ARM IP CONSOLE_PORT '{"periods": 8, "fault": {"at": 3, "name": "reflex"}}'

prints one JSON line: how it ended, what was sent and measured, and what the emulator says of it."""

import functools
import json
import sys
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from hostile import Trouble  # noqa: E402
from stage import CONTEXT, Stage  # noqa: E402

from deploy.control.machine import Rules  # noqa: E402
from deploy.control.shared import Block  # noqa: E402
from deploy.emulator.console import Console  # noqa: E402
from deploy.processes import children  # noqa: E402
from deploy.processes.gripper import RemoteGripper, gripper_main  # noqa: E402
from deploy.processes.lockstep import EmulatorScene, GrantClock  # noqa: E402
from deploy.robots import registry  # noqa: E402
from deploy.robots.base import Address  # noqa: E402


def main(backend, arm, ip, port, plan):
    module, address = registry.module(backend), Address(ip, arm, {})
    console, hands, told = Console(ip, port), [], []

    def parts():
        robot = module.make(address)
        robot.connect()
        state, (here, there), (reports, report) = Block(CONTEXT, 2), CONTEXT.Pipe(), CONTEXT.Pipe()
        make = functools.partial(module.make_gripper, address)
        hands.append(children.start(CONTEXT, "gripper", gripper_main, make, state, there, report))
        assert reports.recv()[0] == "ready"
        told.append(reports)
        return robot, RemoteGripper(state, here), EmulatorScene(ip, port, True), GrantClock(ip, port)

    def operator(message):
        """Reports as the main process that the gripper has failed, at the driver's next message."""
        return ("gripper_failed", told[0].recv()[1]) if told and told[0].poll() else None

    trouble = Trouble(**plan["hostile"]) if "hostile" in plan else None

    def policy(index):
        fault = plan.get("fault")
        if fault and index == fault["at"]:
            plan.pop("fault")
            console.ask("fault", **{k: v for k, v in fault.items() if k != "at"})
        if trouble:
            return trouble.policy(index)
        return np.append(0.3 * np.sin(index / 3 + np.arange(7)), -1.0 if index > 2 else 1.0)

    hostile = dict(camera=trouble.camera, rules=Rules(camera_stop_s=1.0)) if trouble else {}
    now, messages = Stage(
        policy=policy,
        parts=parts,
        operator=operator,
        periods=plan["periods"],
        seeds=tuple(plan.get("seeds", [7])),
        **hostile,
    ).run()
    children.end(hands)
    periods = [m[1] for m in messages if m[0] == "period"]
    print(
        json.dumps(
            {
                "state": now.state.name,
                "ending": now.ending.name,
                "why": now.why,
                "recoveries": now.recoveries,
                "counters": console.ask("counters"),
                "mode": console.ask("info")["mode"],
                "armed": sum(m[0] == "armed" for m in messages),
                "q": [p.q_rad.tolist() for p in periods],
                "width_m": [p.width_m for p in periods],
                "hostile_actions": trouble.count if trouble else 0,
                "hand_m": console.ask("physics")["width_m"],
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), json.loads(sys.argv[5]))

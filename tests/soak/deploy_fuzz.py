"""Hostile policies, hostile cameras and faults of the arm, again and again, against the loop that owns the arm.

    python tests/soak/deploy_fuzz.py [actions=10000] [cameras=1000] [faults=200] [clients=30] [seed=0]

A run is an episode of at most 25 control periods with one kind of trouble, on a simulated arm with a clock of its own
that feels contacts at random. After each, every set-point that was sent is given to the emulator's controller, which
must accept it, and is inside the workspace box and apart from the arm itself; the arm is not under control, and the run
ended in STOP or FAULT. `clients` more runs (a third of each kind) go through a real client to the emulator as a
process: it must have found no violation (a touch is none), its arm must not be under control, and no process may be
left. Writes a dated table to tests/soak/results/.
"""

import importlib.util
import json
import os
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests" / "deploy"
sys.path[:0] = [str(ROOT), str(TESTS)]

from bench import POSITION, Bench  # noqa: E402
from hostile import KINDS, PERIODS, Trouble  # noqa: E402
from stage import Spy, Stage  # noqa: E402

from benchmarks import machine as hardware  # noqa: E402
from deploy.control import safety  # noqa: E402
from deploy.control.machine import Event, Rules, State  # noqa: E402
from deploy.processes import lockstep  # noqa: E402
from deploy.robots.base import RobotFault  # noqa: E402
from envs.robots import ROBOTS  # noqa: E402

RESULTS = Path(__file__).parent / "results"
ROBOT = ROBOTS["franka"]
ENVELOPE = safety.Envelope.of(ROBOT)
RULES = Rules(camera_stop_s=1.0)
LOST = "communication_constraints_violation"
CONTACT = {"joint_reflex", "cartesian_reflex"}
"""No limit: the box is for the tool centre point, and a hostile policy can tilt the hand until a finger meets the
table."""


def check(stage: Stage, now) -> None:
    """Raises AssertionError for anything that is not allowed."""
    assert now.state in (State.STOP, State.FAULT) and now.ending is not None and not stage.robot.moving
    for sent in stage.robot.spans:
        if len(sent) > 1:
            objections = witness(np.array(sent))
            assert not objections, objections
            why = ENVELOPE.refuse(np.array(sent)[::4])
            assert why is None, why


def witness(path_rad: np.ndarray) -> list[str]:
    """What the emulator's controller has against a joint motion from rest through these points (N, 7), one a ms."""
    bench = Bench(enforce_timing=False, q=path_rad[0])
    bench.move(*POSITION)
    bench.positions(path_rad)
    return bench.controller.violations


class Watched(Spy):
    """Keeps what it was sent apart for each time that it was under control. Feels what `touch` says."""

    def __init__(self, touch):
        super().__init__()
        self.spans, self.touch = [], touch

    def observe(self):
        return replace(super().observe(), contact=self.touch())

    def start(self):
        super().start()
        self.sent = [self.q_d_rad]  # where it rests
        self.spans.append(self.sent)


def run(draw: random.Random, kind: str) -> int:
    """One run. Returns the number of hostile inputs in it."""
    trouble = Trouble(kind, draw.random())
    robot = Watched(trouble.touch)
    if kind == "faults":
        events = [Event.REFLEX, Event.USER_STOP, Event.NETWORK, Event.LIMITS, Event.ROBOT_FAILED]
        for _ in range(draw.randint(1, 3)):
            robot.faults[draw.randint(600, 4000)] = RobotFault(draw.choice(events), "on purpose")
    stage = Stage(
        policy=trouble.policy,
        camera=trouble.camera,
        robot=robot,
        periods=PERIODS,
        rules=RULES,
        seeds=(draw.randrange(10**6),) * 2,
    )
    now, _ = stage.run()
    check(stage, now)
    return trouble.count if kind == "actions" else 1


def run_client(draw: random.Random, kind: str, backend: str = "franky") -> int:
    """One run through a real client. Returns the number of hostile inputs in it."""
    seed = draw.randrange(10**6)
    plan = {"periods": PERIODS, "seeds": [seed, seed], "hostile": {"kind": kind, "seed": seed}}
    if kind == "faults":
        plan["fault"] = Trouble(kind, seed).fault()
    with lockstep.started("fr3", "lockstep") as (ip, (_, port)):
        command = [sys.executable, str(TESTS / "emulated_client.py"), backend, "fr3", ip, str(port), json.dumps(plan)]
        client = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        out, err = client.communicate(timeout=300)
    assert client.returncode == 0, f"{plan}: {err[-3000:]}"
    said = json.loads(out.splitlines()[-1])
    injected = {LOST} if plan.get("fault", {}).get("name") in ("packet_loss", "udp_gap") else set()
    assert said["state"] in ("STOP", "FAULT") and said["mode"] != "move", (plan, said)
    assert set(said["counters"]["violations"]) <= CONTACT | injected, (plan, said["counters"])
    assert not (left := session(client.pid)), f"{plan}: processes left: {left}"
    return said["hostile_actions"] if kind == "actions" else 1


def session(leader: int) -> list[str]:
    """The command lines of the living processes of a session (Linux)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, its = stat.read_text().rpartition(")")[2].split()[:4]
            if int(its) == leader and state != "Z":
                found.append((stat.parent / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def fuzz(counts: dict[str, int], seed: int, one=run, through: str = "simulated arm") -> list[dict]:
    """One row of the table for each kind; AssertionError for the first run that sent what may not be sent."""
    rows = []
    for kind, wanted in counts.items():
        draw, done, runs, began = random.Random(f"{seed}/{kind}"), 0, 0, time.perf_counter()
        while done < wanted:
            done, runs = done + one(draw, kind), runs + 1
        rows.append(
            {
                "through": through,
                "kind": kind,
                "count": done,
                "runs": runs,
                "out of limits": 0,
                "seconds": round(time.perf_counter() - began),
            }
        )
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def main(actions: int = 10000, cameras: int = 1000, faults: int = 200, clients: int = 30, seed: int = 0) -> None:
    if clients and importlib.util.find_spec("franky") is None:
        sys.exit("clients= needs franky: pip install franky-control==2.0.0, or give clients=0")
    rows = fuzz({"actions": actions, "cameras": cameras, "faults": faults}, seed)
    each = {"actions": clients // 3 * PERIODS, "cameras": clients // 3, "faults": clients - 2 * (clients // 3)}
    rows += fuzz({kind: count for kind, count in each.items() if count}, seed, run_client, "franky and the emulator")
    print(json.dumps({"rows": rows, "table": str(write(rows, seed))}))


def write(rows: list[dict], seed: int) -> Path:
    """The dated table."""
    facts = hardware.facts("mujoco", "numpy")
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"deploy_fuzz-{facts['date']}.md"
    said = ", ".join(f"{k} {v}" for k, v in facts.items())
    path.write_text(
        f"# Hostile policies, cameras and faults (seed {seed}): nothing out of limits was sent\n\n{said}\n\n"
        f"{hardware.table(rows)}\n"
    )
    return path


if __name__ == "__main__":
    given = dict(a.split("=", 1) for a in sys.argv[1:] if "=" in a)
    if set(given) - {*KINDS, "clients", "seed"} or len(given) != len(sys.argv) - 1:
        sys.exit(
            "usage: python tests/soak/deploy_fuzz.py [actions=10000] [cameras=1000] [faults=200] [clients=30] [seed=0]"
        )
    main(**{key: int(value) for key, value in given.items()})

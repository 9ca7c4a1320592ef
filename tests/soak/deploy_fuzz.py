"""Hostile policies, hostile cameras and faults of the arm, again and again, against the loop that owns a simulated arm.

    python tests/soak/deploy_fuzz.py [actions=10000] [cameras=1000] [faults=200] [seed=0]

A run is an episode of at most 25 control periods with one kind of trouble. After each: every set-point that was sent is
inside the limits, the workspace box and apart from the arm itself, the arm is not under control, and the run ended in STOP
or FAULT. Writes a dated table to tests/soak/results/.
"""

import json
import random
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "deploy")]

from stage import Spy, Stage  # noqa: E402

from benchmarks import machine as hardware  # noqa: E402
from deploy.control import safety  # noqa: E402
from deploy.control.machine import Event, Rules, State  # noqa: E402
from deploy.robots.arms import LIMITS  # noqa: E402
from deploy.robots.base import RobotFault  # noqa: E402
from envs.robots import ROBOTS  # noqa: E402
from envs.robots.control import SERVO_DT_S  # noqa: E402

RESULTS = Path(__file__).parent / "results"
ROBOT = ROBOTS["franka"]
ENVELOPE = safety.Envelope.of(ROBOT)
PERIODS = 25
RULES = Rules(camera_stop_s=1.0)


def hostile(draw: random.Random):
    """One action as no policy should give it; about a third can be sent."""
    kind = draw.randrange(9)
    if kind < 3:
        return np.array([draw.choice([-1.0, 1.0, draw.uniform(-1, 1)]) for _ in range(8)])
    if kind < 5:
        action = np.array([draw.uniform(-1, 1) for _ in range(8)])
        action[draw.randrange(8)] = draw.choice([np.nan, np.inf, -np.inf, 1.0000021, -7.0, 1e300])
        return action
    return [np.zeros(draw.randrange(20)), np.zeros((1, 8)), draw.choice(["up", {}, [], b"x", object]), None][kind - 5]


def check(stage: Stage, now) -> None:
    """AssertionError for anything that may not be."""
    assert now.state in (State.STOP, State.FAULT) and now.ending is not None and not stage.robot.moving
    for sent in stage.robot.spans:
        path = np.array(sent)
        if len(path) > 3:
            why = safety.refuse_set_points(path[:3], path[3:], LIMITS["fr3"], SERVO_DT_S) or ENVELOPE.refuse(path[::4])
            assert why is None, why


class Watched(Spy):
    """Keeps what it was sent apart for each time that it was under control."""

    def __init__(self):
        super().__init__()
        self.spans = []

    def start(self):
        super().start()
        self.sent = []
        self.spans.append(self.sent)


def run(draw: random.Random, kind: str) -> int:
    """One run; how many hostile things were in it."""
    robot, count = Watched(), 0

    def policy(index):
        nonlocal count
        count += kind == "actions"
        return hostile(draw) if kind == "actions" and draw.random() < 0.7 else np.append(np.full(7, 0.2), draw.choice([-1.0, 1.0]))

    def camera(reads):
        return reads if kind != "cameras" or draw.random() < share else draw.choice([None, reads - draw.randrange(1, 9), 3])

    share = draw.random()
    if kind == "faults":
        events = [Event.REFLEX, Event.USER_STOP, Event.NETWORK, Event.LIMITS]
        for _ in range(draw.randint(1, 3)):
            robot.faults[draw.randint(600, 4000)] = RobotFault(draw.choice(events), "on purpose")
    stage = Stage(policy=policy, camera=camera, robot=robot, periods=PERIODS, rules=RULES, seeds=(draw.randrange(10 ** 6),) * 2)
    now, _ = stage.run()
    check(stage, now)
    return count if kind == "actions" else 1


def fuzz(counts: dict[str, int], seed: int) -> list[dict]:
    """One row of the table for each kind."""
    rows = []
    for kind, wanted in counts.items():
        draw, done, runs, began = random.Random(f"{seed}/{kind}"), 0, 0, time.perf_counter()
        while done < wanted:
            done, runs = done + run(draw, kind), runs + 1
        rows.append({"kind": kind, "count": done, "runs": runs, "out of limits": 0, "seconds": round(time.perf_counter() - began)})
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def main(actions: int = 10000, cameras: int = 1000, faults: int = 200, seed: int = 0) -> None:
    rows = fuzz({"actions": actions, "cameras": cameras, "faults": faults}, seed)
    facts = hardware.facts("mujoco", "numpy")
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"deploy_fuzz-{facts['date']}.md"
    said = ", ".join(f"{k} {v}" for k, v in facts.items())
    path.write_text(f"# Hostile policies, cameras and faults (seed {seed}): nothing out of limits was sent\n\n{said}\n\n"
                    f"{hardware.table(rows)}\n")
    print(json.dumps({"rows": rows, "table": str(path)}))


if __name__ == "__main__":
    given = dict(a.split("=", 1) for a in sys.argv[1:] if "=" in a)
    if set(given) - {"actions", "cameras", "faults", "seed"} or len(given) != len(sys.argv) - 1:
        sys.exit("usage: python tests/soak/deploy_fuzz.py [actions=10000] [cameras=1000] [faults=200] [seed=0]")
    main(**{key: int(value) for key, value in given.items()})

"""Long runs of wild actions against the physics of every environment.

    python tests/soak/physics.py [steps=10000] [seed=0] [env1 env2 ...]

Each environment takes `steps` uniform actions and `steps` adversarial ones (each joint fully one way, held for 1 to 30
steps, the next choice random), without drawing, reset where an episode ends. What may not be: a state that is not
finite, a warning of MuJoCo's, a contact deeper than `DEEPEST_M`, a thing that flies faster than `FASTEST_M_S`, or a
crash. A finding ends the run of that environment, not the others; the exit code is 1 if there was one. Writes a dated
table to tests/soak/results/, prints one JSON line an environment.
"""

import json
import sys
import time
from pathlib import Path

import mujoco
import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import envs  # noqa: E402
from benchmarks import machine  # noqa: E402

RESULTS = Path(__file__).parent / "results"
DEEPEST_M = 0.035
"""The iiwa, stronger than any gripper of its size, presses a 45 mm cube 32 mm into the table; more is a blow-up."""
FASTEST_M_S = 12.0
"""A thing that a robot hits, or that falls on for a second, is slower than this."""


class BlowUp(Exception):
    """The physics did something that is not allowed."""


def uniform(rng, shape, steps):
    """Independent actions."""
    for _ in range(steps):
        yield rng.uniform(-1, 1, shape)


def adversarial(rng, shape, steps):
    """Full actions, held."""
    while steps > 0:
        held, action = min(int(rng.integers(1, 31)), steps), rng.choice([-1.0, 1.0], shape)
        steps -= held
        for _ in range(held):
            yield action


class Watch:
    """The worst values so far: depth of a contact in m and between what, speeds in rad/s (robot) and m/s (things)."""

    def __init__(self, env):
        model = env.model
        self.free = [
            int(model.jnt_dofadr[j]) for j in range(model.njnt) if model.jnt_type[j] == mujoco.mjtJoint.mjJNT_FREE
        ]
        self.depth_m, self.between, self.joint, self.thing_m_s = 0.0, "", 0.0, 0.0

    def see(self, env) -> None:
        """Checks the present state. Raises BlowUp for one that is not allowed."""
        data = env.data
        if not (np.isfinite(data.qpos).all() and np.isfinite(data.qvel).all()):
            raise BlowUp("a state that is not finite")
        if data.warning.number.any():
            which = [mujoco.mjtWarning(i).name for i in np.flatnonzero(data.warning.number)]
            raise BlowUp(f"MuJoCo warns: {', '.join(which)}")
        if data.ncon and -data.contact.dist.min() > self.depth_m:
            worst = int(np.argmin(data.contact.dist))
            self.depth_m = -float(data.contact.dist[worst])
            self.between = " in ".join(sorted(_name(env.model, geom) for geom in data.contact.geom[worst]))
            if self.depth_m > DEEPEST_M:
                raise BlowUp(f"a contact {1000 * self.depth_m:.0f} mm deep: {self.between}")
        self.joint = max(self.joint, float(np.abs(data.qvel[: env.dof]).max()))
        for start in self.free:
            speed = float(np.linalg.norm(data.qvel[start : start + 3]))
            self.thing_m_s = max(self.thing_m_s, speed)
            if speed > FASTEST_M_S:
                raise BlowUp(f"a thing flies at {speed:.0f} m/s")


def _name(model, geom: int) -> str:
    return model.geom(geom).name or model.body(int(model.geom_bodyid[geom])).name


def run(name: str, kind, steps: int, seed: int) -> dict:
    """The cells of the table for one environment and one kind of actions."""
    env, rng = envs.make(name, render=False), np.random.default_rng(seed)
    env.reset(seed=seed)
    watch, episodes, done, found, began = Watch(env), 1, 0, "", time.perf_counter()
    try:
        for action in kind(rng, env.action_space.shape, steps):
            *_, terminated, truncated, _ = env.step(action)
            done += 1
            watch.see(env)
            if terminated or truncated:
                env.reset(seed=seed + episodes)
                episodes += 1
    except BlowUp as error:
        found = f"{error} (episode {episodes}, step {env.steps})"
    return {
        "environment": name,
        "actions": kind.__name__,
        "steps": done,
        "episodes": episodes,
        "deepest contact mm": round(1000 * watch.depth_m, 1),
        "between": watch.between,
        "fastest joint": round(watch.joint, 1),
        "fastest thing m/s": round(watch.thing_m_s, 2),
        "found": found or "nothing",
        "seconds": round(time.perf_counter() - began),
    }


def main(names: list[str], steps: int = 10000, seed: int = 0) -> int:
    """The number of findings."""
    rows = []
    for name in names or envs.names():
        for kind in (uniform, adversarial):
            rows.append(run(name, kind, steps, seed))
            print(json.dumps(rows[-1]), flush=True)
    findings = sum(row["found"] != "nothing" for row in rows)
    print(json.dumps({"findings": findings, "table": str(write(rows, seed))}))
    return findings


def write(rows: list[dict], seed: int) -> Path:
    """The dated table."""
    facts = machine.facts("mujoco", "numpy")
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"physics-{facts['date']}.md"
    said = ", ".join(f"{k} {v}" for k, v in facts.items())
    path.write_text(
        f"# Wild actions against the physics (seed {seed})\n\n{said}\n\n{machine.table(rows)}\n\n"
        f"A contact deeper than {1000 * DEEPEST_M:.0f} mm, a thing faster than {FASTEST_M_S:.0f} m/s, a state that is "
        "not finite and a warning of MuJoCo's would be findings. Joints: rad/s, sliding fingers m/s.\n"
    )
    return path


if __name__ == "__main__":
    given = dict(a.split("=", 1) for a in sys.argv[1:] if "=" in a)
    wanted = [a for a in sys.argv[1:] if "=" not in a]
    if set(given) - {"steps", "seed"} or set(wanted) - set(envs.names()):
        sys.exit(
            "usage: python tests/soak/physics.py [steps=10000] [seed=0] [env1 env2 ...]; environments: "
            + ", ".join(envs.names())
        )
    sys.exit(min(1, main(wanted, **{key: int(value) for key, value in given.items()})))

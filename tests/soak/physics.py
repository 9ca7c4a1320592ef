"""Long runs of wild actions against the physics of environments, and their speed.

    python tests/soak/physics.py [steps=10000] [env1 env2 ...]

Each environment takes `steps` uniform actions and `steps` adversarial ones (each joint fully one way, held for 1 to 30
steps, the next choice random), without drawing, reset where an episode ends. A state that is not finite, a warning of
MuJoCo's, or a contact deeper than 35 mm fails the run (the iiwa presses the cube 32 mm into the table). Speeds are of one process. Prints one JSON line an environment.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

import envs  # noqa: E402

DEEPEST_M = 0.035


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


def run(name: str, kind, steps: int) -> dict:
    """Depths in metres and speeds in rad/s or m/s, over the whole run."""
    env, rng = envs.make(name, render=False), np.random.default_rng(0)
    env.reset(seed=0)
    deepest, fastest, episodes = 0.0, 0.0, 1
    for action in kind(rng, env.action_space.shape, steps):
        *_, terminated, truncated, _ = env.step(action)
        if not (np.isfinite(env.data.qpos).all() and np.isfinite(env.data.qvel).all()):
            raise SystemExit(f"{name}: not finite after {kind.__name__} actions, episode {episodes}, step {env.steps}")
        if env.data.warning.number.any():
            raise SystemExit(f"{name}: MuJoCo warns after {kind.__name__} actions, episode {episodes}, step {env.steps}")
        deepest = max(deepest, -float(min(env.data.contact.dist, default=0.0)))
        fastest = max(fastest, float(np.abs(env.data.qvel[:env.dof]).max()))
        if terminated or truncated:
            env.reset(seed=episodes)
            episodes += 1
    if deepest > DEEPEST_M:
        raise SystemExit(f"{name}: a contact {deepest * 1000:.0f} mm deep under {kind.__name__} actions")
    return {"deepest_mm": round(1000 * deepest, 2), "fastest": round(fastest, 1), "episodes": episodes}


def speed(name: str, render: bool, steps: int) -> float:
    """Control steps a second of CPU time, in which a busy machine counts little."""
    env, rng = envs.make(name, render=render), np.random.default_rng(0)
    env.reset(seed=0)
    start = time.process_time()
    for _ in range(steps):
        *_, terminated, truncated, _ = env.step(rng.uniform(-1, 1, env.action_space.shape))
        if terminated or truncated:
            env.reset(seed=1)
    return round(steps / (time.process_time() - start), 1)


def main() -> None:
    steps = int(next((a.split("=")[1] for a in sys.argv[1:] if a.startswith("steps=")), 10000))
    for name in [a for a in sys.argv[1:] if "=" not in a] or envs.names():
        row = {"env": name, "steps": steps, **{kind.__name__: run(name, kind, steps) for kind in (uniform, adversarial)}}
        row |= {"steps/s": speed(name, False, 300), "steps/s with camera": speed(name, True, 300)}
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()

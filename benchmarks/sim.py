"""Environment steps a second with a 128 px wrist camera, beside robosuite's Lift.

    python -m benchmarks.sim [seconds=5]

Ours: every environment in one process, on all cores, and without drawing (the limit that physics sets). Theirs: Lift
with a Panda and one wrist camera at 128 px, with its defaults and with shadows and multisampling off (`make
robosuite`). Each peer has a process of its own, because a second environment in one process draws nothing and looks
fast. All that is compared takes turns with the rate of the machine, a large matrix product; the last column says how
well the machine kept its speed.
"""

import os
import sys
from multiprocessing import get_context

import numpy as np

import envs
from benchmarks import machine
from benchmarks.alternation import Measure, Ratio, alternate, joined, matmul, repeated

SLOTS = 32
"""Environments that a vectorised run steps at once."""


def single(name: str, render: bool = True, backend: str = "mujoco"):
    """(a function that takes one random step, the environment)."""
    env = envs.make(name, backend, render=render)
    env.reset(seed=0)
    rng = np.random.default_rng(0)

    def step() -> None:
        *_, terminated, truncated, _ = env.step(rng.uniform(-1, 1, env.action_space.shape))
        if terminated or truncated:
            env.reset()

    return step, env


def together(vec, slots: int):
    """A function that takes one random step in every slot of a vectorised environment, and resets those that end."""
    rng = np.random.default_rng(0)

    def step() -> None:
        _, _, terminated, truncated, _ = vec.step(rng.uniform(-1, 1, (slots, vec.action_dim)))
        over = np.flatnonzero(terminated | truncated)
        if len(over):
            vec.reset(rng.integers(2**31, size=len(over)), over)

    return step


def lift_behind_our_adapter():
    """(a function that takes one step of `backend=robosuite`, control Hz, physics step in s)."""
    step, env = single("panda_lift", backend="robosuite")
    return step, env.control_hz, env.model.opt.timestep


def robosuite_lift(shadows: bool):
    """(a function that takes one step of robosuite's Lift, control Hz, physics step in s)."""
    import robosuite

    env = robosuite.make(
        "Lift",
        robots="Panda",
        has_renderer=False,
        has_offscreen_renderer=True,
        use_camera_obs=True,
        camera_names="robot0_eye_in_hand",
        camera_heights=128,
        camera_widths=128,
        horizon=10**9,
    )
    if not shadows:
        plain = env._initialize_sim

        def without(xml_string=None):
            text = xml_string or env.model.get_xml()
            text = text.replace("<visual>", '<visual><quality shadowsize="0" offsamples="0"/>', 1)
            plain(text)

        env._initialize_sim = without
    env.reset()
    size, samples = env.sim.model._model.vis.quality.shadowsize, env.sim.model._model.vis.quality.offsamples
    if not shadows and (size or samples):
        raise RuntimeError(f"shadows are still on (shadowsize {size}, offsamples {samples})")
    low, high = env.action_spec
    rng = np.random.default_rng(0)

    def picture() -> np.ndarray:
        return env.step(rng.uniform(low, high))[0]["robot0_eye_in_hand_image"]

    pictures = [picture() for _ in range(10)]
    if pictures[0].std() < 5 or np.array_equal(pictures[0], pictures[-1]):
        raise RuntimeError("robosuite's camera shows nothing, or always the same")
    return picture, env.control_freq, env.sim.model._model.opt.timestep


class Alone:
    """A peer in a process of its own: `make(*args)` there gives (step, control Hz, physics step in s)."""

    _measure: Measure  # in the process of the peer

    def __init__(self, make, *args) -> None:
        self.pool = get_context("spawn").Pool(1)
        self.hz, self.dt_s = self.pool.apply(Alone._start, (make, args))

    def __call__(self, budget_s: float) -> float:
        """Seconds for one step."""
        return self.pool.apply(Alone._run, (budget_s,))

    @staticmethod
    def _start(make, args) -> tuple[float, float]:
        step, hz, dt_s = make(*args)
        Alone._measure = staticmethod(repeated(step))
        return hz, dt_s

    @staticmethod
    def _run(budget_s: float) -> float:
        return Alone._measure(budget_s)


def main(seconds: float) -> None:
    rows, all_rounds = [], []
    cores = os.cpu_count() or 1

    def add(what: str, processes: int, steps_s: float, hz: float, dt_s: float, kept: Ratio) -> None:
        rows.append(
            {
                "environment": what,
                "processes": processes,
                "steps/s": round(steps_s, 1),
                "control Hz": round(hz, 1),
                "physics step ms": round(1000 * dt_s, 3),
                "simulated s/s": round(steps_s / hz, 1),
                "spread over the machine's rate": f"{kept.spread:.0%}",
            }
        )
        print(rows[-1], file=sys.stderr, flush=True)

    for name in envs.names():
        step, env = single(name)
        with envs.VectorEnv(name, SLOTS, workers=cores) as vec:
            vec.reset(range(SLOTS))
            things = {
                "matmul": matmul(),
                name: repeated(step),
                f"{name}, no drawing": repeated(single(name, render=False)[0]),
                f"{name}, all cores": repeated(together(vec, SLOTS), SLOTS),
            }
            rounds = alternate(things, seconds)
        all_rounds.append(rounds)
        for what in list(things)[1:]:
            processes = cores if what.endswith("all cores") else 1
            kept = rounds.ratio(what, "matmul")
            add(what, processes, rounds.rate(what), env.control_hz, env.protocol.physics_dt_s, kept)
    notes = "Medians of rounds."
    try:
        import robosuite  # noqa: F401

        peers = {
            "robosuite Lift/Panda": Alone(robosuite_lift, True),
            "robosuite Lift/Panda, shadows off": Alone(robosuite_lift, False),
            "panda_lift (backend=robosuite)": Alone(lift_behind_our_adapter),
        }
        rounds = alternate({"matmul": matmul(), "franka_pick": repeated(single("franka_pick")[0]), **peers}, seconds)
        all_rounds.append(rounds)
        for what, peer in peers.items():
            add(what, 1, rounds.rate(what), peer.hz, peer.dt_s, rounds.ratio(what, "matmul"))
        with_shadows, without, _ = peers
        notes += (
            f" franka_pick over robosuite, one process each: {rounds.ratio('franka_pick', with_shadows).times()} with "
            f"the defaults, {rounds.ratio('franka_pick', without).times()} with shadows off."
        )
    except ImportError:
        notes += " robosuite is not installed (`make robosuite`), so there is nothing to compare with."
    try:
        with envs.make_vec("franka_pick", 8, backend="mujoco_warp", render=False) as vec:
            rng = np.random.default_rng(0)
            step = lambda: vec.step(rng.uniform(-1, 1, (8, vec.action_dim)))
            what = f"franka_pick, no drawing, 8 slots in mujoco_warp on {vec.device}"
            rounds = alternate({"matmul": matmul(), what: repeated(step, 8)}, seconds)
        all_rounds.append(rounds)
        one = envs.make("franka_pick", render=False)
        kept = rounds.ratio(what, "matmul")
        add(what, 1, rounds.rate(what), one.control_hz, one.protocol.physics_dt_s, kept)
    except envs.EnvError:
        notes += " MuJoCo Warp is not installed."
    facts = machine.facts("mujoco", "robosuite", "numpy")
    machine.report("sim", "Simulation with a 128 px wrist camera", rows, facts, notes + joined(*all_rounds))


if __name__ == "__main__":
    main(**machine.arguments("sim", seconds=5.0))

"""Environment steps a second with a 128 px wrist camera, beside robosuite's Lift in the same run.

    python -m benchmarks.sim [seconds=5]

Ours: every environment, one process and all cores, and without drawing (the floor that physics sets). Theirs: Lift with a
Panda and one wrist camera at 128 px, as it comes and with its shadows and multisampling off (`make robosuite`), each in
a process of its own: a second environment in one process draws nothing (and looks fast).
"""

import os
import sys
import time
from multiprocessing import get_context

import numpy as np

import envs
from benchmarks import machine


def rate(step, seconds: float) -> float:
    """Calls `step()` for about `seconds` after a warm-up; the median of five windows, calls a second."""
    for _ in range(10):
        step()
    rates = []
    for _ in range(5):
        start, calls = time.perf_counter(), 0
        while time.perf_counter() - start < seconds / 5:
            step()
            calls += 1
        rates.append(calls / (time.perf_counter() - start))
    return float(np.median(rates))


def ours_single(name: str, seconds: float, render: bool = True, backend: str = "mujoco") -> tuple[float, object]:
    env = envs.make(name, backend, render=render)
    env.reset(seed=0)
    rng = np.random.default_rng(0)

    def step():
        *_, terminated, truncated, _ = env.step(rng.uniform(-1, 1, env.action_space.shape))
        if terminated or truncated:
            env.reset()

    return rate(step, seconds), env


def ours_vector(name: str, seconds: float, workers: int, slots: int = 32) -> float:
    with envs.VectorEnv(name, slots, workers=workers) as vec:
        vec.reset(range(slots))
        rng = np.random.default_rng(0)

        def step():
            _, _, terminated, truncated, _ = vec.step(rng.uniform(-1, 1, (slots, vec.action_dim)))
            over = np.flatnonzero(terminated | truncated)
            if len(over):
                vec.reset(rng.integers(2**31, size=len(over)), over)

        return slots * rate(step, seconds)


def lift_behind_our_adapter(seconds: float) -> tuple[float, float, float]:
    """(steps/s, control Hz, physics step in s) of `backend=robosuite`."""
    speed, env = ours_single("panda_lift", seconds, backend="robosuite")
    return speed, env.control_hz, env.model.opt.timestep


def batch_in_warp(name: str, seconds: float, slots: int) -> tuple[float, str]:
    """Environment steps/s of `backend=mujoco_warp` without drawing, and the device."""
    with envs.make_vec(name, slots, backend="mujoco_warp", render=False) as vec:
        rng = np.random.default_rng(0)
        return slots * rate(lambda: vec.step(rng.uniform(-1, 1, (slots, vec.action_dim))), seconds), vec.device


def robosuite_lift(seconds: float, shadows: bool) -> tuple[float, float, float]:
    """(steps/s, control Hz, physics step in s)."""
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
    pictures = []

    def step():
        pictures[:] = [*pictures[-1:], env.step(rng.uniform(low, high))[0]["robot0_eye_in_hand_image"]]

    result = rate(step, seconds)
    if pictures[0].std() < 5 or np.array_equal(*pictures):
        raise RuntimeError("robosuite's camera shows nothing, or always the same")
    return result, env.control_freq, env.sim.model._model.opt.timestep


def main(seconds: float) -> None:
    rows = []

    def add(what, processes, steps_s, hz, dt):
        rows.append(
            {
                "environment": what,
                "processes": processes,
                "steps/s": round(steps_s, 1),
                "control Hz": round(hz, 1),
                "physics step ms": round(1000 * dt, 3),
                "simulated s/s": round(steps_s / hz, 1),
            }
        )
        print(rows[-1], file=sys.stderr, flush=True)

    for name in envs.names():
        speed, env = ours_single(name, seconds)
        hz, dt = env.control_hz, env.protocol.physics_dt_s
        add(name, 1, speed, hz, dt)
        add(f"{name}, no drawing", 1, ours_single(name, seconds, render=False)[0], hz, dt)
        add(name, os.cpu_count(), ours_vector(name, seconds, os.cpu_count()), hz, dt)
    notes = "Median of five windows each."
    try:
        import robosuite  # noqa: F401

        for shadows in (True, False):
            with get_context("spawn").Pool(1) as alone:
                speed, hz, dt = alone.apply(robosuite_lift, (seconds, shadows))
            add("robosuite Lift/Panda" + ("" if shadows else ", shadows off"), 1, speed, hz, dt)
        ours = next(r["steps/s"] for r in rows if r["environment"] == "franka_pick" and r["processes"] == 1)
        notes += (
            f" franka_pick over robosuite, one process each: {ours / rows[-2]['steps/s']:.1f}× as it comes, "
            f"{ours / rows[-1]['steps/s']:.1f}× with shadows off."
        )
        with get_context("spawn").Pool(1) as alone:
            add("panda_lift (backend=robosuite)", 1, *alone.apply(lift_behind_our_adapter, (seconds,)))
    except ImportError:
        notes += " robosuite is not installed (`make robosuite`), so there is nothing to compare with."
    try:
        speed, device = batch_in_warp("franka_pick", seconds, slots=8)
        one = envs.make("franka_pick", render=False)
        add(
            f"franka_pick, no drawing, 8 slots in mujoco_warp on {device}",
            1,
            speed,
            one.control_hz,
            one.protocol.physics_dt_s,
        )
    except envs.EnvError:
        notes += " MuJoCo Warp is not installed."
    facts = machine.facts("mujoco", "robosuite", "numpy")
    path = machine.save("sim", "Simulation with a 128 px wrist camera", rows, facts, notes)
    print(machine.table(rows), notes, f"written to {path}", sep="\n")


if __name__ == "__main__":
    main(**machine.arguments("sim", seconds=5.0))

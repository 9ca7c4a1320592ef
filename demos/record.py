"""Record demonstrations: by the scripted expert, by a trained policy, or by a person with a keyboard or a SpaceMouse.

    python -m demos.record env=franka_pick expert=scripted episodes=80 out=data/pick
    python -m demos.record out=data/dart noise_std=0.1 keep=success
    python -m demos.record out=data/student policy=runs/franka_pick-20261120-120000 keep=all
    python -m demos.record out=data/mine source=keyboard live=view.png episodes=10
    python -m demos.record out=data/arm source=guide robot=fr3 robot_ip=172.16.0.2 camera=wrist.yaml env=franka_cube
    python -m demos.record out=data/arm source=spacemouse robot=fr3 env=franka_cube                  on an emulated arm

The set is a zarr v3 folder (demos/store/schema.py describes it). Readers may open it while it grows. An episode is in
the set once it has ended, and stays there whatever happens to this command. resume=true continues a recording that was
stopped. The same seed gives the same episodes. Several run side by side and are stored in the order in which they end,
and `meta/index` gives the number of each. The seeds are those of training: an evaluation never uses them.
With robot= (or robot_ip=) a person records on an arm, or on an emulated one if no address is given. source=guide: the
person guides the arm by hand, and nothing here moves it. source=keyboard or spacemouse: the commands pass the same
limits, state machine and exit codes as in deploy/run_real.py. Enter starts and keeps, Backspace discards, Esc ends.
`demos.replay mode=robot` repeats the episode.
The last line is JSON: out, episodes, successes and steps of the set; recorded, attempts, seconds, steps_per_s of this
call.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

import envs
import policies
from demos.recording.recorder import KEEP, Plan, attributes_of, record, resumable
from demos.recording.teleop import LiveView, teleoperate
from demos.store.demo_set import DemoSet, DemoWriter
from deploy.teaching import guided_recording, teleop_session
from deploy.teaching.on_arm import ArmEnded, ArmKeys
from policies.bookkeeping.config import check_training_look
from policies.experts import ScriptedPick
from policies.experts.choose import make_labeller
from policies.fit.adapted import adapted, check_policy
from policies.fit.conversion import Fit
from policies.fit.rules import FitKeys
from policies.scoring.rollout import EnvConfig
from policies.seeds import training_seed
from toto_robot import command
from toto_robot.ground.errors import UserError, unknown
from toto_robot.ground.screen import Bar

SOURCES = ("simulation", "keyboard", "spacemouse", "guide")


@dataclass
class RecordConfig(ArmKeys, FitKeys):
    """Keys of `python -m demos.record`."""

    out: str = "???"
    """Folder of the set."""
    env: EnvConfig = field(default_factory=EnvConfig)
    """The environment."""
    source: str = "simulation"
    """Who acts. simulation: the expert or the policy, many at once. keyboard, spacemouse: a person, in real time; on an
    arm with robot=. guide: a person guides an arm by hand."""
    expert: str = "scripted"
    """Which expert acts, unless policy= is given: scripted, or the folder or name of a run of train_expert."""
    policy: str | None = None
    """A policy's folder, or a run's folder or name, that acts in place of the expert."""
    episodes: int = 80
    """Number of episodes that the set has at the end."""
    keep: str = "success"
    """success: only episodes that succeed count and are kept; all: every attempt."""
    noise_std: float = 0.0
    """Standard deviation of the noise on executed actions of range -1 to 1. The record also keeps the clean action."""
    cameras: list[str] = field(default_factory=lambda: ["wrist"])
    """Cameras to record: wrist, and any other of the scene, e.g. [wrist,side]."""
    image_size: int = 128
    """Pixels on the side of a frame."""
    seed: int = 0
    """Chooses the episodes."""
    resume: bool = False
    """Add to the set at out= until it holds `episodes`. A set that does not exist yet is made."""
    num_envs: int = 8
    """Attempts that run side by side; the expert's set does not depend on it, except for the order of its episodes (a
    network's last bits depend on how many frames it sees at once)."""
    encode_processes: int = 2
    """Processes that encode a policy's frames on a CPU."""
    device: str = "cpu"
    """Where a policy's encoder runs: cpu or cuda."""
    live: str | None = None
    """Teleoperation: a PNG that always shows the newest frame (a window opens by itself where there is a display)."""
    speed_m_s: float = 0.25
    """Teleoperation: the hand's top speed."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.source not in SOURCES:
            raise unknown("source", self.source, SOURCES)
        if self.keep not in KEEP:
            raise unknown("keep", self.keep, KEEP)
        if min(self.episodes, self.num_envs) < 1 or self.seed < 0 or not 0 <= self.noise_std < 10:
            raise UserError(
                "expected episodes and num_envs >= 1, seed >= 0 and noise_std from 0 to 10, got "
                f"{self.episodes}, {self.num_envs}, {self.seed} and {self.noise_std}."
            )
        check_training_look(self.env.appearance)
        if "wrist" not in self.cameras:
            raise UserError(f"cameras={list(self.cameras)}: the wrist camera belongs to every set; add it.")
        if self.source != "simulation" and (self.policy or self.noise_std):
            raise UserError(f"source={self.source} has a person act: leave out policy= and noise_std=.")
        if (self.robot or self.robot_ip) and self.source == "simulation":
            raise UserError(
                "source=simulation acts in simulation. On an arm give source=guide, keyboard or spacemouse; a "
                "policy's episodes on an arm are recorded by deploy/run_real.py --record."
            )


def main(cfg: RecordConfig) -> dict:
    """Record until the set holds `cfg.episodes` episodes."""
    if cfg.env.name not in envs.names():
        raise unknown("env", cfg.env.name, envs.names())
    if cfg.robot or cfg.robot_ip or cfg.source == "guide":
        return _record_on_arm(cfg)
    fit, image_size = check_policy(cfg.policy, cfg.env, cfg, cfg.image_size) if cfg.policy else (Fit(), cfg.image_size)
    options = dict(appearance=cfg.env.appearance, image_size=image_size)
    who = cfg.source if cfg.source != "simulation" else f"policy {cfg.policy}" if cfg.policy else f"expert {cfg.expert}"
    notes = dict(source=who, noise_std=cfg.noise_std, keep=cfg.keep, seed=cfg.seed)
    if cfg.env.backend != "mujoco":
        notes["backend"] = cfg.env.backend
    attrs = attributes_of(cfg.env.name, options, tuple(cfg.cameras), notes)
    began = time.perf_counter()
    with DemoWriter(cfg.out, attrs, resume=cfg.resume) as writer:
        _check_notes(cfg, DemoSet(cfg.out).attrs.get("notes"), notes)
        plan = resumable(cfg.out, lambda index: Plan(cfg.episodes, cfg.keep, index))
        before, steps = plan.kept, DemoSet(cfg.out).steps
        with Bar("recording", cfg.episodes, done=plan.kept) as bar:
            if cfg.source == "simulation":
                show = lambda plan: bar.at(plan.kept, f"{plan.tried} attempts")
                _simulate(cfg, fit, options, writer, plan, show)
            else:
                _drive(cfg, options, writer, plan, bar.say)
    seconds, there = time.perf_counter() - began, DemoSet(cfg.out)
    success = there.meta("success") if there.episodes else np.zeros(0, bool)
    return {
        "out": cfg.out,
        "episodes": there.episodes,
        "successes": int(success.sum()),
        "steps": there.steps,
        "recorded": there.episodes - before,
        "attempts": plan.tried,
        "seconds": round(seconds, 2),
        "steps_per_s": round((there.steps - steps) / seconds, 1),
    }


def _record_on_arm(cfg: RecordConfig) -> dict:
    if cfg.source == "guide":
        return guided_recording.record(cfg, cfg.env.name, cfg.out, cfg.episodes, cfg.resume)
    source = _source(cfg)
    try:
        told, ending, why = teleop_session.record(
            cfg, source, cfg.env.name, cfg.out, cfg.episodes, cfg.resume, cfg.seed, cfg.speed_m_s
        )
    finally:
        source.close()
    if ending.code:
        command.print_json(told)
        raise ArmEnded(ending, why)
    return told


def _source(cfg: RecordConfig):
    if cfg.source == "keyboard":
        from demos.recording.keyboard import Keyboard

        return Keyboard()
    from demos.recording.spacemouse import SpaceMouse

    return SpaceMouse()


def _check_notes(cfg: RecordConfig, old: dict | None, new: dict) -> None:
    differ = [key for key in new if (old or {}).get(key) != new[key]]
    if differ:
        said = "; ".join(f"{key}={(old or {}).get(key)!r} there, {new[key]!r} now" for key in differ)
        raise UserError(
            f"{cfg.out} was recorded with other settings ({said}). Give the same, or record to another path."
        )


def _simulate(cfg: RecordConfig, fit: Fit, options: dict, writer: DemoWriter, plan: Plan, show) -> None:
    policy = None
    if cfg.policy:
        policy = adapted(policies.load(cfg.policy, device=cfg.device, processes=cfg.encode_processes), fit)
    needs = "expert" if policy is None else policy.needs
    left = cfg.episodes - plan.kept
    if left < 1:
        return
    vec = cfg.env.make_vec(
        min(cfg.num_envs, left),
        privileged=needs == "privileged",
        labeller=make_labeller(cfg.expert, cfg.env.name) if policy is None else None,
        snapshots=True,
        views=tuple(c for c in cfg.cameras if c != "wrist"),
        **options,
    )
    try:
        actor = policy or policies.ExpertPolicy()
        record(
            vec,
            actor.act,
            writer,
            plan,
            seed=cfg.seed,
            seed_of=lambda i: training_seed(cfg.seed, i),
            noise_std=cfg.noise_std,
            quiet_actions=cfg.env.binary_actions,
            give_up=lambda tried, kept: tried >= 40 and kept < tried / 20,
            on_step=show,
        )
    finally:
        vec.close()
        if policy is not None:
            policy.close()


def _drive(cfg: RecordConfig, options: dict, writer: DemoWriter, plan: Plan, say: Callable[[str], object]) -> None:
    env, source = envs.make(cfg.env.name, cfg.env.backend, **options), _source(cfg)
    try:
        say(source.help)
        first = max(plan.recorded, default=-1) + 1
        plan.tried = teleoperate(
            env,
            source,
            ScriptedPick().drive,
            writer,
            plan,
            seed_of=lambda i: training_seed(cfg.seed, i),
            first=first,
            views=tuple(c for c in cfg.cameras if c != "wrist"),
            view=LiveView(cfg.live, window=True),
            speed_m_s=cfg.speed_m_s,
            say=say,
        )
    finally:
        source.close()


if __name__ == "__main__":
    command.run(main, RecordConfig, "record")

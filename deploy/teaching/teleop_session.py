"""A person drives the arm with a keyboard or a SpaceMouse. The commands pass the same gate and limits as a policy's."""

import functools
from dataclasses import replace
from pathlib import Path

import numpy as np

from demos import DemoSet
from demos.recording.teleop import DISCARD, DONE, QUIT, Source
from deploy.control.shared import Block
from deploy.endings import Ending
from deploy.processes.policy import Blind
from deploy.session import parts, recording
from deploy.session.panel import Panel
from deploy.session.parts import Parts
from deploy.session.session import Recorder, Session
from deploy.session.settings import Resolved
from deploy.teaching import on_arm
from deploy.teaching.on_arm import ArmKeys
from policies.seeds import training_seed

TURN_RAD_S = 1.0
"""Greatest turning rate of the hand."""
RUNNING = ("run", "hold")


class Driven(Blind):
    """Takes a policy's place. Its action moves the hand as the person asks, starting from the joints that the robot
    reports."""

    def __init__(self, env_name: str, command: Block, speed_m_s: float):
        import envs
        from policies.experts import ScriptedPick

        self.world, self.command, self.speed_m_s = envs.make(env_name, render=False), command, speed_m_s
        self.drive = ScriptedPick().drive
        self.world.reset(seed=0)
        self.base = self.world.data.body("base").xmat.reshape(3, 3).copy()

    def act(self, obs: dict, episode: int, index: int) -> np.ndarray:
        import mujoco

        world, n = self.world, self.world.dof
        low, span = world.robot.scale_low, world.robot.scale_high - world.robot.scale_low
        world.data.qpos[:n], world.data.qvel[:n] = low + (obs["proprio"][:n] + 1) / 2 * span, obs["proprio"][n:] / 0.1
        mujoco.mj_forward(world.model, world.data)
        asked = self.command.read()
        velocity, spin = self.base @ asked[:3] * self.speed_m_s, self.base @ asked[3:6] * TURN_RAD_S
        return self.drive(world, velocity, spin, bool(asked[6]))


class TeleopSession(Session):
    """The operator is `source`. Enter confirms; in an episode it ends and keeps the episode. Backspace discards the
    episode, Esc quits. The session runs until `episodes` are kept."""

    def __init__(
        self,
        settings: Resolved,
        parts: Parts,
        seeds: list[int],
        panel: Panel,
        recorder: Recorder,
        source: Source,
        episodes: int,
        speed_m_s: float,
    ):
        """`speed_m_s`: the hand's greatest speed. The policy of `parts` is replaced by `Driven`."""
        self.command = Block(parts.context, 7)
        """What the person asks for: velocity (3,) and spin (3,) in [-1, 1], and whether the gripper opens."""
        self.command.write([0] * 6 + [1])
        driven = functools.partial(Driven, parts.env_name, self.command, speed_m_s)
        super().__init__(settings, replace(parts, make_policy=driven), seeds, panel, recorder)
        self.source, self.wanted, self.kept, self.tried = source, episodes, 0, 0
        self.open_episode, self.steps = False, 0

    def _operator(self) -> None:
        if self.panel.interrupts:
            return super()._operator()
        asked = self.source.read()
        self.command.write([*asked.velocity, *asked.spin, asked.open_gripper])
        if asked.event == QUIT:
            self._tell("finished" if self.state in RUNNING else "declined")
        elif self.questions and asked.event == DONE:
            self._answer("")
            self._put()
        elif self.open_episode and self.state in RUNNING and asked.event in (DONE, DISCARD):
            self._end(asked.event == DONE)
            self._tell("finished" if self.kept >= self.wanted else "episode_over")

    def _ask(self, kind: str, text: str) -> None:
        if kind == "start":
            self.open_episode, self.tried, self.steps = True, self.tried + 1, 0
        super()._ask(kind, text)

    def _show(self, text: str, keys: str) -> None:
        self.panel.say(f"{text} Enter: go on, Esc: end.")  # the answer comes from `source`, which has the keyboard

    def _on_period(self, period) -> None:
        super()._on_period(period)
        self.steps = period.index + 1

    def _on_episode(self, episode: int, steps: int, success: bool | None) -> None:
        """The time is up, or a simulated scene reports success."""
        if self.open_episode:
            self.steps = steps
            self._end(bool(success))
            if self.kept >= self.wanted:
                self._tell("finished")

    def _end(self, keep: bool) -> None:
        self.open_episode = False
        if keep:
            self.kept, self.ended = self.kept + 1, (self.tried - 1, self.steps)
            self._close(True)
        else:
            self.panel.say("discarded")


def record(
    keys: ArmKeys, source: Source, env_name: str, out: str, episodes: int, resume: bool, seed: int, speed_m_s: float
) -> tuple[dict, Ending, str]:
    """Runs until the set at `out` holds `episodes`. Returns what the command prints, and how and why the run ended."""
    env = on_arm.scene_of(env_name)
    asked = keys.settings("teleoperation")
    if asked.emulated and keys.clock is None and asked.console is None:
        asked = replace(asked, clock="realtime")  # a person needs a clock that goes on
    with on_arm.emulated(asked) as s, Panel() as panel:
        panel.say(
            f"The robot is EMULATED.\n{source.help}" if s.emulated else f"REAL ROBOT at {s.robot_ip}.\n{source.help}"
        )
        notes = on_arm.notes(s, "teleoperation") | {"speed_scale": s.speed_scale}
        there = DemoSet(out).episodes if resume and Path(out).exists() else 0
        seeds = [training_seed(seed, i) for i in range(there, there + 10 * episodes)]
        made = replace(parts.make(s, env), horizon=10 * env.horizon)
        recorder = recording.Recorder(out, recording.attributes(env, made.camera, notes))
        session = TeleopSession(s, made, seeds, panel, recorder, source, episodes - there, speed_m_s)
        ending = session.run()
    demos = DemoSet(out)
    return (
        {
            "out": out,
            "episodes": demos.episodes,
            "successes": demos.episodes,
            "steps": demos.steps if demos.episodes else 0,
            "recorded": demos.episodes - there,
            "attempts": session.tried,
            "emulated": s.emulated,
            "ending": ending.name.lower(),
        },
        ending,
        session.why,
    )

"""A person at the keyboard who replaces the expert: watches one environment, takes the arm and gives it back."""

import time
from collections.abc import Callable

import numpy as np

from demos.recording.teleop import QUIT, TAKE, LiveView, Source, beside
from toto_robot.ground.errors import UserError


class Person:
    """A labeller (`label(env)`) that runs the environment in real time, shows it and reads the keys.

    While `watching` is True, each state waits for its control period and reads the keys. `holding` says whether the
    person has the arm. While an evaluation runs, `watching` is False: labels are zero and nothing waits. Esc stops the
    run, as Ctrl-C does.
    """

    def __init__(
        self,
        source: Source,
        drive: Callable,
        view: LiveView | None,
        speed_m_s: float,
        turn_rad_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ):
        """`drive(env, velocity_m_s, spin_rad_s, open_gripper)` returns the action (A,) for a twist in the world
        frame."""
        self.source, self.drive, self.view = source, drive, view
        self.speed_m_s, self.turn_rad_s, self.clock, self.sleep = speed_m_s, turn_rad_s, clock, sleep
        self.help = f"t takes the arm and gives it back; {source.help}"
        self.holding, self.watching, self._due = False, False, clock()

    def label(self, env) -> np.ndarray:
        """The action (A,) float32 that the person's keys ask for in the present state of `env`."""
        if not self.watching:
            return np.zeros(env.action_space.shape, np.float32)
        self._due = max(self._due + 1 / env.control_hz, self.clock() - 1 / env.control_hz)  # never hurry to catch up
        self.sleep(max(0.0, self._due - self.clock()))
        command = self.source.read()
        if command.event == QUIT:
            raise KeyboardInterrupt
        if command.event == TAKE:
            self.holding = not self.holding
        if self.view is not None:
            self.view.show(with_border(beside(env), self.holding))
        base = env.data.body("base").xmat.reshape(3, 3)
        velocity, spin = base @ command.velocity * self.speed_m_s, base @ command.spin * self.turn_rad_s
        return self.drive(env, velocity, spin, command.open_gripper)


def at_keyboard(config, num_envs: int, drive: Callable) -> Person:
    """The person that `config` (a GateConfig) describes, at the terminal of this process."""
    from demos.recording.keyboard import Keyboard

    if num_envs != 1:
        raise UserError(
            f"gate.person=keyboard: one person watches one environment, got dagger.num_envs={num_envs}. "
            "Give dagger.num_envs=1."
        )
    source = Keyboard()
    return Person(source, drive, LiveView(config.live, window=True), config.speed_m_s)


def with_border(frame: np.ndarray, holding: bool) -> np.ndarray:
    """`frame` with a border: orange if the person has the arm, grey if the student has it."""
    out = frame.copy()
    colour = (240, 140, 20) if holding else (90, 90, 90)
    for edge in (out[:6], out[-6:], out[:, :6], out[:, -6:]):
        edge[:] = colour
    return out

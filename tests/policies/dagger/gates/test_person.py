import numpy as np
import pytest

import envs
from demos.recording.teleop import QUIT, TAKE, Command
from policies.dagger.gates import GateConfig
from policies.dagger.gates.person import Person, at_keyboard, with_border
from policies.experts import ScriptedPick
from toto_robot.ground.errors import UserError


class Script:
    """A person who follows a list of commands, and does nothing after its end."""

    help = "a list"

    def __init__(self, commands):
        self.commands = list(commands)

    def read(self):
        return self.commands.pop(0) if self.commands else Command()

    def close(self):
        pass


class Clock:
    now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def env():
    env = envs.make("franka_pick", render=False)
    env.reset(seed=0)
    return env


def person(commands, clock=None):
    clock = clock or Clock()
    return Person(Script(commands), ScriptedPick().drive, None, 0.25, clock=clock, sleep=clock.sleep)


def test_t_takes_the_arm_and_gives_it_back(env):
    who = person([Command(), Command(event=TAKE), Command(), Command(event=TAKE)])
    who.watching = True
    held = []
    for _ in range(4):
        who.label(env)
        held.append(who.holding)
    assert held == [False, True, True, False]


def test_the_label_is_what_the_keys_ask_for(env):
    up = np.array([0, 0, 1.0])
    who = person([Command(velocity=up), Command(open_gripper=False)])
    who.watching = True
    assert np.array_equal(who.label(env), ScriptedPick().drive(env, [0, 0, 0.25], [0, 0, 0], True))
    assert who.label(env)[-1] == -1


def test_a_watched_environment_keeps_to_real_time_and_an_unwatched_one_waits_for_nobody(env):
    clock = Clock()
    who = person([], clock)
    assert not who.label(env).any() and clock.now == 0
    who.watching = True
    for _ in range(21):
        who.label(env)
    assert clock.now == pytest.approx(1.05)


def test_esc_stops_the_run(env):
    who = person([Command(event=QUIT)])
    who.watching = True
    with pytest.raises(KeyboardInterrupt):
        who.label(env)


def test_one_person_watches_one_environment():
    with pytest.raises(UserError, match="dagger.num_envs=1"):
        at_keyboard(GateConfig(name="hg", person="keyboard"), 32, None)


def test_the_frame_shows_who_has_the_arm():
    frame = np.zeros((32, 64, 3), np.uint8)
    held, free = with_border(frame, True), with_border(frame, False)
    assert (held[0] != free[0]).any() and not held[16, 32].any()

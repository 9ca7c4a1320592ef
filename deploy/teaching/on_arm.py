"""Something other than a policy on the arm, through the same stack: processes, state machine, gate, client, recorder.

What `python -m demos.record robot=…` and `python -m demos.replay PATH mode=robot` share.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from deploy.endings import Ending
from deploy.session import parts, run
from deploy.session.panel import Panel
from deploy.session.session import Session
from deploy.session.settings import Settings, resolved
from toto_robot.ground.errors import UserError


@dataclass(kw_only=True)
class ArmKeys:
    """Keys of a command that can work on an arm; as the flags of `deploy/run_real.py`."""

    robot: str | None = None
    """fr3 or panda: on that arm, or on an emulated one, in place of the simulation."""
    robot_ip: str | None = None
    """The arm's address; null starts an emulator."""
    backend: str | None = None
    """The client library: franky, pylibfranka, panda_py, ros, or sim (the scene without a client)."""
    camera: str | None = None
    """A camera file (YAML) or kind; null for the emulator's."""
    clock: str | None = None
    """Of an emulated arm: lockstep or realtime."""
    speed_scale: float | None = None
    """Share of the speed at which things were recorded or trained; null for 1 on an emulated arm and 0.2 on a real one."""
    yes: bool = False
    """Don't ask before motion; on a real address only with i_am_at_the_robot=true."""
    i_am_at_the_robot: bool = False
    """You stand at the arm with the user stop in your hand."""

    def settings(self, what: str, **more) -> Settings:
        """Checked, with every default filled in. UserError for what can't be."""
        file = self.camera if self.camera and self.camera.endswith((".yaml", ".yml")) else None
        asked = Settings(
            policy=what,
            robot_ip=self.robot_ip,
            robot=self.robot or "fr3",
            backend=self.backend,
            camera=None if file else self.camera,
            camera_file=file,
            clock=self.clock,
            speed_scale=self.speed_scale,
            yes=self.yes,
            at_robot=self.i_am_at_the_robot,
            **more,
        )
        return resolved(asked, run.emulator_at)


class ArmEnded(UserError):
    """The arm stopped for another reason than that all was done; `exit_code` is the ending's."""

    def __init__(self, ending: Ending, why: str):
        super().__init__(f"ended with {ending.name.lower()}: {why}")
        self.exit_code = ending.code


@contextlib.contextmanager
def emulated(s: Settings) -> Iterator[Settings]:
    """`s` with an emulator behind it where it names no arm."""
    with contextlib.ExitStack() as stack:
        if s.emulated and not s.simulated and s.console is None:
            ip, console = stack.enter_context(run.emulator(s))
            s = replace(s, robot_ip=ip, console=console)
        yield s


def session(
    s: Settings,
    env,
    make_policy: Callable,
    seeds: list[int],
    panel: Panel,
    *,
    periods: int,
    home_rad: np.ndarray | None = None,
    recorder=None,
    kind: type[Session] = Session,
) -> Session:
    """A session whose policy process runs `make_policy()`, for `periods` control periods an episode at full speed, from
    `home_rad` (J,) where it is given."""
    made = kind(s, None, seeds, panel, recorder)
    robot = env.robot if home_rad is None else replace(env.robot, q_home_rad=tuple(home_rad))
    made.parts = replace(parts.make(s, env, made.context), make_policy=make_policy, horizon=periods, robot=robot)
    return made


def scene_of(name: str):
    """The environment `name`; UserError unless an arm can be driven as it is there."""
    try:
        return parts.scene_of(name)
    except UserError as error:
        raise UserError(
            f"An arm can't be driven as env={name} is: its control protocol is a simulation's. Give "
            f"env={parts.SCRIPTED_ENV}."
        ) from error

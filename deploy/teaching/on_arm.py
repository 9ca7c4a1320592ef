"""A person or a recording on the arm instead of a policy, through the same processes, state machine, gate and client.

`python -m demos.record robot=…` and `python -m demos.replay PATH mode=robot` share this module.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from deploy.endings import Ending
from deploy.session import parts, recording, run
from deploy.session.settings import Resolved, Settings, at, resolved
from toto_robot.ground.errors import UserError


@dataclass(kw_only=True)
class ArmKeys:
    """Keys of a command that can work on an arm. They are the flags of `deploy/run_real.py`."""

    robot: str | None = None
    """fr3 or panda: use that arm, or an emulated one, instead of the simulation."""
    robot_ip: str | None = None
    """The arm's address; null starts an emulator."""
    backend: str | None = None
    """The client library: franky, pylibfranka, panda_py or ros; or sim, the scene without a client."""
    camera: str | None = None
    """A camera file (YAML) or kind; null for the emulator's."""
    clock: str | None = None
    """The clock of an emulated arm: lockstep or realtime."""
    speed_scale: float | None = None
    """Share of the recorded or trained speed; null for 1 on an emulated arm and 0.2 on a real one."""
    yes: bool = False
    """Don't ask before motion. At a real address this needs i_am_at_the_robot=true."""
    i_am_at_the_robot: bool = False
    """You stand at the arm with the user stop in your hand."""

    def settings(self, what: str, **more) -> Resolved:
        """The settings, checked, with every default filled in. Raises UserError for what can't work."""
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
    """The arm stopped before everything was done. `exit_code` is that of the ending."""

    def __init__(self, ending: Ending, why: str):
        super().__init__(f"ended with {ending.name.lower()}: {why}")
        self.exit_code = ending.code


@contextlib.contextmanager
def emulated(s: Resolved) -> Iterator[Resolved]:
    """`s`, with an emulator that runs for it if it names no arm."""
    with contextlib.ExitStack() as stack:
        if s.emulated and not s.simulated and s.console is None:
            s = at(s, *stack.enter_context(run.emulator(s)))
        yield s


def notes(s: Resolved, source: str) -> dict:
    """What a recorded set notes of the arm, and of who drove it (`source`)."""
    return dict(
        source=source,
        robot=s.robot,
        backend=s.backend,
        robot_ip=s.robot_ip,
        emulated=s.emulated,
        git=recording.revision(),
        camera=s.camera_file or s.camera,
    )


def scene_of(name: str):
    """The environment `name`. Raises UserError unless its protocol is the one of an arm."""
    try:
        return parts.scene_of(name)
    except UserError as error:
        raise UserError(
            f"An arm can't be driven as in env={name}, because its control protocol is for simulation. Give "
            f"env={parts.SCRIPTED_ENV}."
        ) from error

"""backend=isaacgym: NVIDIA's Isaac Gym Preview 4 in a worker with a Python of its own (3.6 to 3.8, which it has binaries for)."""

import os
import shutil
from pathlib import Path

from envs.backends import interface, isaacgym_worker
from envs.backends.remote import RemoteVectorEnv
from envs.errors import EnvError

WORKER = Path(isaacgym_worker.__file__)


def names() -> list[str]:
    return sorted(isaacgym_worker.NAMES)


class IsaacVectorEnv(RemoteVectorEnv):
    """`num_envs` environments of PixMC in Isaac Gym; see `RemoteVectorEnv` and `isaacgym_worker`.

    States are labelled here, by an expert that knows nothing but them: `labeller.act(privileged (N, D), proprio (N, P))`
    gives the actions (N, A), as `policies.experts.LearnedExpert` does. Experts that ask MuJoCo can't.
    """

    def __init__(
        self,
        name: str,
        num_envs: int,
        *,
        python: str | None = None,
        workers: int = 1,
        labeller=None,
        shift: str | None = None,
        appearance="nominal",
        snapshots: bool = False,
        views: tuple[str, ...] = (),
        **options,
    ):
        """`python`: the interpreter of the environment that has Isaac Gym. `workers` is taken and not used."""
        refused = {
            "shift": shift,
            "appearance": appearance if appearance != "nominal" else None,
            "snapshots": snapshots or None,
            "views": views or None,
        }
        given = [f"{key}={value!r}" for key, value in refused.items() if value is not None]
        if given:
            raise EnvError(f"backend=isaacgym has its own look and one camera; leave out {', '.join(given)}")
        if labeller is not None and not hasattr(labeller, "act"):
            raise EnvError(
                "backend=isaacgym has no scripted expert: those see a MuJoCo state. Give expert=RUN, a run of train_expert "
                f"in env={name} (backend=mujoco or isaacgym), or take backend=mujoco_warp"
            )
        if not python:
            raise EnvError(
                "backend=isaacgym needs env.python=PATH: the interpreter of an environment (Python 3.6 to 3.8) in which "
                "NVIDIA's Isaac Gym Preview 4 is installed. Without one take backend=mujoco_warp"
            )
        if not shutil.which(os.path.expanduser(python)):
            raise EnvError(f"env.python={python!r} is no program that can be run")
        super().__init__([os.path.expanduser(python), "-u", str(WORKER)], name, num_envs, labeller=labeller, **options)
        self.interface = interface(name, "isaacgym", options.get("image_size", 128))
        """Ours of the same name: Isaac Gym runs the same robot, protocol and camera."""

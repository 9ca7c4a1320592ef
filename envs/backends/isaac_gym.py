"""backend=isaacgym: NVIDIA's Isaac Gym Preview 4 in a worker process with its own Python, 3.6 to 3.8."""

import os
import shutil
from pathlib import Path

from envs.backends import isaacgym_worker
from envs.backends.remote import RemoteVectorEnv
from envs.backends.single import interface
from envs.errors import EnvError

WORKER = Path(isaacgym_worker.__file__)


class IsaacVectorEnv(RemoteVectorEnv):
    """`num_envs` environments of PixMC in Isaac Gym; see `RemoteVectorEnv` and `isaacgym_worker`.

    The labels come from this process, from an expert that needs only the observation: `labeller.act(privileged (N, D),
    proprio (N, P))` gives the actions (N, A), as in `policies.experts.LearnedExpert`. Experts that need MuJoCo can't
    label.
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
        """`python`: the interpreter of the environment that has Isaac Gym. `workers` is accepted and not used."""
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
                "backend=isaacgym has no scripted expert: those see a MuJoCo state. Give expert=RUN, a run of "
                f"train_expert in env={name} (backend=mujoco or isaacgym), or use backend=mujoco_warp"
            )
        if not python:
            raise EnvError(
                "backend=isaacgym needs env.python=PATH: the interpreter of an environment (Python 3.6 to 3.8) in "
                "which NVIDIA's Isaac Gym Preview 4 is installed. Without one use backend=mujoco_warp"
            )
        if not shutil.which(os.path.expanduser(python)):
            raise EnvError(
                f"env.python={python!r} is not a program that can be run; give the path of a Python interpreter"
            )
        super().__init__([os.path.expanduser(python), "-u", str(WORKER)], name, num_envs, labeller=labeller, **options)
        self.interface = interface(name, "isaacgym", options.get("image_size", 128))
        """That of our environment of the same name: Isaac Gym runs the same robot, protocol and camera."""

"""Our environments in Gymnasium's registry: `gymnasium.make("toto_robot/FrankaPick-v0")` after `import toto_robot`.

Registering imports no environment. `make` does, when one is wanted.
"""

import importlib
from pathlib import Path
from typing import Any

import gymnasium

from toto_robot.ground.siblings import shadowed

CONFIGS = Path(__file__).parents[1] / "conf" / "env"
"""There is a file for each environment."""


def names() -> list[str]:
    """The names of our own environments. Those of other simulators name their `backend:` in their file."""
    files = sorted(CONFIGS.glob("*.yaml"))
    return [f.stem for f in files if f.stem != "none" and "backend:" not in f.read_text(encoding="utf-8")]


def gymnasium_id(name: str) -> str:
    """`toto_robot/FrankaPick-v0` for `franka_pick`."""
    camel = "".join(word.capitalize() for word in name.split("_")).replace("Pixmc", "PixMC")
    return f"toto_robot/{camel}-v0"


def register() -> None:
    """Registers what is not registered yet."""
    for name in names():
        if gymnasium_id(name) not in gymnasium.registry:
            gymnasium.register(
                gymnasium_id(name),
                entry_point=f"{__name__}:make",
                kwargs={"name": name},
                disable_env_checker=True,
                order_enforce=True,
            )


def make(name: str, **options: Any) -> gymnasium.Env:
    """`envs.make(name, **options)`. Raises ImportError if a folder hides our `envs`."""
    if why := shadowed("envs"):
        raise ImportError(why)
    return importlib.import_module("envs").make(name, **options)

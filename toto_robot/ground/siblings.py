"""Whether Python finds the packages of this project, or folders of the same names that hide them.

`python -m` looks into the working directory first, so a folder `envs/` there hides ours, even an empty one.
"""

import importlib.util
import sys
from pathlib import Path

PACKAGES = ("envs", "policies", "demos", "deploy")
HOME = Path(__file__).resolve().parents[2]


def shadowed(*names: str) -> str | None:
    """One sentence about the first of `names` (by default of `PACKAGES`) that is hidden, or None."""
    for name in names or PACKAGES:
        loaded = sys.modules.get(name)
        spec = importlib.util.find_spec(name) if loaded is None else loaded.__spec__
        found = [Path(place).resolve() for place in (spec.submodule_search_locations or ())] if spec is not None else []
        if spec is not None and found[:1] != [HOME / name]:
            place = found[0] if found else spec.origin
            return (
                f"{place} hides the package {name} of toto_robot: rename it, start Python in another folder, or run "
                "`python -P`, which does not look into the working directory."
            )
    return None


def refuse_shadows() -> None:
    """Ends one of our commands that was started with `python -m` if a package is hidden: exit code 2, one sentence."""
    words = sys.orig_argv
    module = words[words.index("-m") + 1 :][:1] if "-m" in words else []
    if module and module[0].split(".")[0] in ("toto_robot", *PACKAGES) and (why := shadowed()):
        print(f"error: {why}", file=sys.stderr)
        sys.exit(2)

"""Every command that a recipe gives is one that exists, with keys and values that it takes.

The recipes run in a copy. A shell script takes the place of Python and of srun, and only writes down how it was called.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
UNIT, RECORD = "\x1f", "\x1e"
PYTHON = r"""#!/usr/bin/env bash
printf '%s\037' "$@" >> "$CALLS"; printf '\036' >> "$CALLS"
for word in "$@"; do case "$word" in run=*) mkdir -p "runs/${word#run=}";; -c) echo clip.mp4;; esac; done
"""
RECIPES = {
    "bc_cube": ["bc_cube.sh"],
    "experts": ["experts.sh"],
    "controls": ["controls.sh"],
    "egocentric": ["egocentric.sh", "videos"],
    "finetune_32": ["finetune_32.sh", "videos"],
    "gates": ["gates.sh"],
    "layers": ["layers.sh"],
    "foreign_sets": ["foreign_sets.sh", "sets"],
    **{f"scaling {mode}": ["scaling.sh", mode, "a,b", "c", "toto_tiny"] for mode in ("toy", "full")},
    **{f"tables {mode}": ["tables.sh", mode, "videos"] for mode in ("toy", "full")},
    **{f"rl_experts {mode}": ["rl_experts.sh", mode] for mode in ("reach", "pick", "mvp")},
    **{f"verdicts {part}": ["verdicts.sh", part] for part in ("shifts", "demonstrations")},
    "toto_tiny": ["toto_tiny.sh", "videos"],
    "pretrain.slurm": ["pretrain.slurm", "stores", "toto_tiny"],
}


def calls_of(tmp_path, script, *arguments):
    """The words of each call of Python in a recipe."""
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    for folder in ("videos", "bin", "docs", "data/toto_tiny/dvae"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "data/toto_tiny/dvae/reconstructions.png").touch()
    for name in ("python", "srun", "scontrol"):
        (tmp_path / "bin" / name).write_text(PYTHON if name != "scontrol" else "#!/bin/sh\necho node0\n")
        (tmp_path / "bin" / name).chmod(0o755)
    given = {
        "PY": "python",
        "CALLS": str(tmp_path / "calls"),
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "SLURM_JOB_ID": "7",
        "SLURM_NNODES": "2",
        "SLURM_JOB_NODELIST": "node[0-1]",
    }
    done = subprocess.run(
        ["bash", f"recipes/{script}", *arguments],
        cwd=tmp_path,
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    calls = (tmp_path / "calls").read_text().split(RECORD)[:-1]
    return [call.split(UNIT)[:-1] for call in calls]


def command_of(words):
    """(module, its arguments) of `python -m …`, also through torchrun; None for `python -c`."""
    if "-m" not in words:
        return None
    at = len(words) - 1 - words[::-1].index("-m")
    return words[at + 1], words[at + 2 :]


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_command_of_a_recipe_takes_the_keys_that_it_is_given(recipe, tmp_path, monkeypatch, compose_command):
    commands = [found for words in calls_of(tmp_path, *RECIPES[recipe]) if (found := command_of(words))]
    assert commands
    monkeypatch.chdir(tmp_path)
    # A composition takes a third of a second: one of the commands with the same keys and the same choices of groups.
    groups = {path.name for path in (ROOT / "toto_robot/conf").iterdir()}
    shape = lambda word: word if word.partition("=")[0] in groups else word.partition("=")[0] if "=" in word else "path"
    different = {(module, *map(shape, arguments)): arguments for module, arguments in commands}
    for (module, *_), arguments in different.items():
        compose_command(module, arguments)


def test_a_run_goes_on_only_where_it_left_a_checkpoint(tmp_path):
    for number, (left, resumes) in enumerate({".step-00000010.tmp": False, "step-00000010": True}.items()):
        root = tmp_path / str(number)
        (root / "runs/egocentric/toto/resume" / left).mkdir(parents=True)
        (pretrain,) = (words for words in calls_of(root, "egocentric.sh", "videos") if "toto_robot.pretrain" in words)
        assert ("resume=true" in pretrain) == resumes


def test_every_recipe_is_tried():
    shipped = {path.name for path in (ROOT / "recipes").glob("*.s*")}
    assert {script for script, *_ in RECIPES.values()} == shipped

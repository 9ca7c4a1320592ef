"""The README and the pages of docs/ name commands, files and headings that exist."""

import re
import runpy
import shlex
import signal
import sys
import warnings
from pathlib import Path

import pytest

from deploy import calibrate, check, run_real

ROOT = Path(__file__).parent.parent
PAGES = sorted(ROOT.glob("docs/**/*.md"))
ROOT_PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")]
ARGPARSE = {
    "deploy/run_real.py": run_real.parser().parse_args,
    "deploy.check": check.arguments,
    "deploy.calibrate": calibrate.arguments,
}


def prose_and_code(path):
    """(text without code blocks, lines of the fenced code blocks)."""
    text = path.read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S))
    return re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), code.splitlines()


def commands():
    """(module or script, arguments) of each Python command in README.md and docs/commands.md."""
    for path in (ROOT / "README.md", ROOT / "docs/commands.md"):
        for line in prose_and_code(path)[1]:
            words = shlex.split(line, comments=True)
            if words and words[0] in ("python", "torchrun"):
                words = words[words.index("-m") + 1 :] if "-m" in words else words[1:]
                yield words[0], words[1:]


COMMANDS = list(commands())
LONGEST = {name: max((a for n, a in COMMANDS if n == name), key=len) for name, _ in COMMANDS}
"""Of each command the line with the most arguments: to compose them all would take a minute."""


def test_the_readme_is_read_in_one_sitting():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


@pytest.mark.parametrize("name", LONGEST)
def test_a_command_on_the_pages_takes_the_keys_that_it_is_given(name, tmp_path, monkeypatch, compose_command):
    monkeypatch.chdir(tmp_path)
    if name in ARGPARSE:
        ARGPARSE[name](LONGEST[name])
    elif name != "deploy.emulator":  # its parser starts it; tests/deploy/emulator does
        compose_command(name, LONGEST[name])


def named_commands():
    """Each of our commands that a page names, in code or in a sentence, as the words after `python`."""
    text = "\n".join(path.read_text("utf-8") for path in (*PAGES, *ROOT_PAGES))
    modules = re.findall(r"python -m ((?:toto_robot|demos|deploy|envs|policies)\.[\w.]*\w)", text)
    scripts = re.findall(r"python (\w+/[\w/]*\w\.py)", text)
    return sorted(set(modules) | {name for name in scripts if name.split("/")[0] in ("toto_robot", "demos", "deploy")})


@pytest.mark.parametrize("name", named_commands())
def test_every_command_that_a_page_names_has_a_help(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the module has been imported before
        try:
            if name.endswith(".py"):
                runpy.run_path(str(ROOT / name), run_name="__main__")
            else:
                runpy.run_module(name, run_name="__main__", alter_sys=True)
        except SystemExit as end:
            assert not end.code
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) > 5 and shown.err == "", shown.err


def test_recipes_on_the_pages_exist():
    named = {
        name for path in (*PAGES, *ROOT_PAGES) for name in re.findall(r"recipes/\w+\.\w+", path.read_text("utf-8"))
    }
    assert named and not [name for name in named if not (ROOT / name).exists()]


@pytest.mark.parametrize("path", [*ROOT_PAGES, *PAGES], ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_exist(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose_and_code(path)[0]):
        if re.match(r"https?://|reference/", target):  # pages made from docstrings: make docs checks them
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)", there.read_text(encoding="utf-8"), re.M)
            assert anchor in {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}, target

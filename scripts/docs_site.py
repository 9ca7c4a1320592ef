"""Hooks of the documentation site (mkdocs.yml): reference pages from the docstrings, and links to files outside docs/.

The reference has one page for each package and one for each of its rooms. It is made from the folders, so that a new
module appears by itself. A link from a page to a file of the repository that is no page, such as `../recipes/LOG.md`,
becomes a link to that file at the project's address; a file that does not exist is a warning, and `make docs` fails.
"""

import ast
import logging
import re
from pathlib import Path

import griffe
from mkdocs.structure.files import File

ROOT = Path(__file__).parent.parent
PACKAGES = ("toto_robot", "envs", "policies", "demos", "deploy")
LINK = re.compile(r"(?<=\]\()(\.\.?/[^)#\s]+)")
log = logging.getLogger("mkdocs.hooks.docs_site")


def summary(path: Path) -> str:
    """The first sentence of a module's docstring, without a final full stop."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return re.split(r"(?<=\w)[.:](?=\s|$)", " ".join(text.split("\n\n")[0].split()))[0]


def modules(folder: Path) -> list[str]:
    """Dotted names of the modules directly in `folder`; `__init__` comes first, as the name of the package."""
    found = []
    for path in sorted(folder.glob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


def rooms(package: str) -> dict[str, list[Path]]:
    """Rooms of a package by name, each with its folders: a room's inner rooms are on the same page."""
    folders = sorted({path.parent for path in (ROOT / package).rglob("*.py")})
    named: dict[str, list[Path]] = {}
    for folder in folders:
        if inner := folder.relative_to(ROOT / package).parts:
            named.setdefault(inner[0], []).append(folder)
    return named


def pages() -> dict[str, str]:
    """Markdown of each reference page by its address."""
    made = {}
    for package in PACKAGES:
        rows = []
        for room, folders in rooms(package).items():
            names = [name for folder in folders for name in modules(folder)]
            made[f"reference/{package}/{room}.md"] = f"# {package}/{room}\n\n" + "\n".join(f"::: {n}\n" for n in names)
            about = summary(folders[0] / "__init__.py") if (folders[0] / "__init__.py").exists() else ""
            rows.append(f"| [{room}]({package}/{room}.md) | {about} |")
        own = "\n".join(f"::: {name}\n" for name in modules(ROOT / package))
        made[f"reference/{package}.md"] = (
            f"# {package}\n\n| room | what is in it |\n|---|---|\n" + "\n".join(rows) + f"\n\n{own}"
        )
    return made


def on_config(config):
    """Puts the reference at the end of the navigation."""
    entries = []
    for package in PACKAGES:
        inner = [{room: f"reference/{package}/{room}.md"} for room in rooms(package)]
        entries.append({package: [{f"{package}": f"reference/{package}.md"}, *inner]})
    config.nav = [*config.nav, {"Reference": entries}]
    return config


def on_files(files, config):
    """Adds the reference pages to those in docs/."""
    for address, text in pages().items():
        files.append(File.generated(config, address, content=text))
    return files


def on_page_markdown(markdown, page, config, files):
    """Sends links to files outside docs/ to the project's address."""
    here = (ROOT / "docs" / page.file.src_uri).parent

    def send(match: re.Match) -> str:
        target = (here / match[1]).resolve()
        if target.is_relative_to(ROOT / "docs") or not target.is_relative_to(ROOT):
            return match[1]
        if not target.exists():
            log.warning("%s links to %s, which does not exist", page.file.src_uri, match[1])
        kind = "tree" if target.is_dir() else "blob"
        return f"{config.repo_url}/{kind}/main/{target.relative_to(ROOT).as_posix()}"

    return LINK.sub(send, markdown)


class PlainDocstrings(griffe.Extension):
    """Docstrings are plain text: `<name>`, `*` and `__init__` in them are no HTML and no Markdown."""

    def on_instance(self, *, obj, **kwargs) -> None:
        if obj.docstring:
            obj.docstring.value = "\n".join(escaped(line) for line in obj.docstring.value.split("\n"))


def escaped(line: str) -> str:
    """One line of a docstring as Markdown: code in backticks and indented examples stay as they are."""
    if line.startswith("    "):
        return line
    parts = re.split(r"(`[^`]*`)", line)
    return "".join(p if p.startswith("`") else re.sub(r"(?<!^)\*|__|[<\[\]]", plain, p) for p in parts)


def plain(match: re.Match) -> str:
    return {"<": "&lt;"}.get(match[0], "".join("\\" + letter for letter in match[0]))

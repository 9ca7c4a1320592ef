"""The manual page of a command (`--help`): its docstring, and the docstrings of its keys."""

import ast
import dataclasses
import inspect
import sys
import textwrap
import typing
from collections.abc import Callable

import yaml
from omegaconf import OmegaConf

from toto_robot.command.compose import compose_config, group_options, not_none


def help_text(fn: Callable, schema: type, name: str, positional: tuple[str, ...] = ()) -> str:
    """The manual page of a command: its module docstring, then each key with its default and its docstring."""
    manual = inspect.getdoc(sys.modules[fn.__module__]) or inspect.getdoc(fn) or name
    defaults = OmegaConf.to_container(compose_config(schema, name, [], ()), resolve=False)
    usage = " ".join([*(f"[{p.upper()}]" for p in positional), "[key=value ...]", "[--multirun] [--cfg job] [--help]"])
    spec = sys.modules[fn.__module__].__spec__  # a command may stand in another room
    command = spec.name if spec and spec.name.endswith(f".{name}") else f"toto_robot.{name}"
    lines = [manual, "", f"usage: python -m {command} {usage}", "", "keys (and their defaults):"]
    return "\n".join(lines + list(_key_lines(schema, defaults, "")))


def _key_lines(kind: type, defaults: typing.Any, prefix: str) -> typing.Iterator[str]:
    """Two lines for each key of the dataclass `kind`; `defaults` holds the composed values, usually a dict."""
    docs = field_docs(kind)
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        key, inner = prefix + field.name, not_none(hints[field.name])
        default = defaults.get(field.name) if isinstance(defaults, dict) else None
        if isinstance(inner, type) and dataclasses.is_dataclass(inner):
            options = group_options(key)
            yield f"  {key}" + (f"=  one of: {', '.join(options)}" if options else "")
            yield from _wrapped(docs.get(field.name, ""))
            yield from _key_lines(inner, default or {}, key + ".")
        else:
            shown = yaml.safe_dump(default, default_flow_style=True, width=1000).removesuffix("\n...\n").strip()
            yield f"  {key}={'(required)' if default == '???' else shown}"
            yield from _wrapped(docs.get(field.name, ""))


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(" ".join(text.split()), 108, initial_indent=" " * 8, subsequent_indent=" " * 8)


def field_docs(kind: type) -> dict[str, str]:
    """The docstring under each field of the dataclass `kind` and of its bases."""
    docs: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        try:
            (node,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        except (OSError, TypeError, SyntaxError):
            continue
        body = node.body if isinstance(node, ast.ClassDef) else []
        for statement, after in zip(body, body[1:]):
            match statement, after:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    docs[name] = inspect.cleandoc(text)
    return docs

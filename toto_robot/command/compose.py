"""From Hydra overrides to one validated dataclass. Every command starts here.

`conf/<name>.yaml` starts with `defaults: [<name>_schema, _self_]`. A field that is itself a dataclass and has a folder
`conf/<field>/` is a group (`env=franka_pick`, then `env.key=value`). Every other field is a value.
"""

import dataclasses
import re
import types
import typing
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from toto_robot.command.robot_key import with_robot
from toto_robot.ground.errors import UserError, unknown

CONF = Path(__file__).parents[1] / "conf"
FLAGS = "--help, --cfg job, --multirun"
SHORT = {"backend": "env.backend"}
"""Keys that may be written without their group, in commands that have the group."""
KEY = re.compile(r"[+~]*((?:[A-Za-z_][\w.]*|hydra[/\w.@]+)?)=", re.ASCII)
"""The beginning of `key=value`. Every other argument is positional, also a path with `=` in it such as ./a=b."""
PLAIN = "_plain_values_"
"""Holds values during composition whose key is also the name of a group of another command (evaluate's policy=)."""


def compose(schema: type, name: str, argv: list[str], positional: tuple[str, ...] = ()) -> Any:
    """The instance of `schema` composed from `conf/<name>.yaml` and the overrides `argv`. Raises UserError."""
    return to_dataclass(compose_config(schema, name, argv, positional))


def group_options(group: str) -> list[str]:
    """Names of the YAML files in `conf/<group>/`, sorted."""
    return sorted(p.stem for p in (CONF / group).glob("*.yaml"))


def compose_config(schema: type, name: str, argv: list[str], positional: tuple[str, ...] = ()) -> DictConfig:
    """The composed DictConfig, whose leaves are not yet validated. Callers usually want `compose`."""
    overrides = prepare(schema, name, argv, positional)
    ConfigStore.instance().store(name=f"{name}_schema", node=schema)
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module("toto_robot.conf", version_base="1.3"):
            return settled(hydra_compose(config_name=name, overrides=overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise composition_error(error, overrides) from error


def prepare(
    schema: type, name: str, argv: list[str], positional: tuple[str, ...] = (), sweep: bool = False
) -> list[str]:
    """`argv` as Hydra overrides: positional arguments get their names, keys and group options are checked, values
    quoted.

    Raises UserError naming what exists for an unknown flag, key, or group option, and for an unexpected argument.
    """
    overrides, waiting, fields = [], list(positional), {f.name for f in dataclasses.fields(schema)}
    if "env" in fields and "robot" not in fields:
        argv = with_robot(argv, CONF / f"{name}.yaml", group_options("env"))
    for argument in argv:
        if argument.startswith("-"):
            raise UserError(f"Unknown flag {argument!r}. What exists: {FLAGS}; everything else is written key=value.")
        assigned = KEY.match(argument)
        if not assigned or (waiting and assigned[1].split(".")[0] not in fields and Path(argument).exists()):
            if argument.startswith("~"):
                raise UserError(f"{argument}: a key can't be removed. Write key=value; `--help` lists the keys.")
            if not waiting:
                takes = f"takes {', '.join(positional)} and then key=value" if positional else "takes only key=value"
                raise UserError(f"Unexpected argument {argument!r}: {name} {takes}; `--help` lists the keys.")
            overrides.append(_override(schema, waiting.pop(0), argument, sweep, literal=True))
            continue
        key, value = argument.split("=", 1)
        if key.startswith("hydra.") or key.startswith("hydra/"):
            overrides.append(argument)
            continue
        key = key.lstrip("+")
        if key in SHORT and SHORT[key].split(".")[0] in fields:
            key = SHORT[key]
        waiting = [k for k in waiting if k != key]
        overrides.append(_override(schema, key, value, sweep))
    return overrides


def _override(schema: type, key: str, value: str, sweep: bool, literal: bool = False) -> str:
    """One override for Hydra: the choice of a group, or a value with quotes. A `literal` text is never taken apart."""
    kind = _type_of_key(schema, key)
    group = dataclasses.is_dataclass(kind)
    if group and not value.startswith("{"):
        options = group_options(key)
        if not options:
            raise UserError(f"{key}={value}: {key} holds keys, not a value. Its keys: {_keys(kind, key)}.")
        chosen = value.split(",") if sweep else [value]
        wrong = [c for c in chosen if c.strip("'\"") not in options and "(" not in c]
        named = "name" in {f.name for f in dataclasses.fields(kind)}
        if wrong and named and not sweep and (Path(value.strip("'\"")).is_dir() or ":" in value):
            return f"{key}.name={quoted(_inside(value))}"  # a folder, or KIND:FILE: the group's default with that name
        if wrong:
            raise unknown(f"{key}", wrong[0], options, f"Write {key}=NAME.")
        return f"{key}={value}"
    if literal:
        value = quoted(value.replace("${", "\\${"))  # not an interpolation
    elif kind is str and not sweep and value != "null":
        value = quoted(value if Path(value).exists() else _inside(value))
    if "." not in key and not group and group_options(key):
        key = f"++{PLAIN}.{key}"  # Hydra would read it as the choice of a group
    return f"{key}={value}"


def _type_of_key(schema: type, key: str) -> Any:
    """The type at the dotted `key` of `schema`. Raises UserError listing the keys of the level where it fails."""
    kind: Any = schema
    walked: list[str] = []
    for part in key.split("."):
        if not dataclasses.is_dataclass(kind):
            if typing.get_origin(kind) is dict or kind in (dict, Any):
                return Any
            raise UserError(f"Unknown key {key!r}: {'.'.join(walked)} is a value and has no keys inside.")
        hints = typing.get_type_hints(kind)
        if part not in {f.name for f in dataclasses.fields(kind)}:
            prefix = ".".join(walked) + "." if walked else ""
            names = [prefix + f.name for f in dataclasses.fields(kind)]
            raise unknown("key", key, names, "`--help` explains them.")
        walked.append(part)
        kind = not_none(hints[part])
    return kind


def quoted(text: str) -> str:
    """`text` in quotes for Hydra, so that it means exactly these characters."""
    return QuotedString(text, Quote.single).with_quotes()


def _inside(value: str) -> str:
    """A value without the quotes around it, if a person wrote it with quotes."""
    return value[1:-1] if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"" else value


def _keys(kind: Any, prefix: str) -> str:
    return ", ".join(f"{prefix}.{f.name}" for f in dataclasses.fields(kind))


def settled(cfg: DictConfig) -> DictConfig:
    """Move the values under `PLAIN` to their keys."""
    if PLAIN in cfg:
        with open_dict(cfg):
            values: Any = OmegaConf.to_container(cfg.pop(PLAIN), resolve=False)
        for key, value in values.items():
            cfg[key] = value
    return cfg


def composition_error(error: Exception, overrides: list[str]) -> UserError:
    """One sentence for an error of Hydra or OmegaConf, with the override that caused it."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OmegaConfBaseException):
        cause = cause.__cause__
    if cause is not None:
        first = str(cause).splitlines()[0]
        key = getattr(cause, "full_key", None)
        given = [o for o in overrides if key and o.removeprefix(f"++{PLAIN}.").split("=")[0] == key]
        return UserError(f"{given[0] if given else key}: {first}. `--help` lists every key with its default.")
    first = " ".join(str(error).split()).split(" See https://")[0]
    return UserError(f"The overrides {' '.join(overrides)} could not be composed: {first}")


def to_dataclass(cfg: DictConfig) -> Any:
    """The dataclass of a composed config. Raises UserError for missing keys and for values that it refuses."""
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        raise UserError(f"Missing {', '.join(missing)}: give {missing[0]}=VALUE. `--help` explains the keys.")
    try:
        return OmegaConf.to_object(cfg)
    except OmegaConfBaseException as error:
        raise composition_error(error, []) from error
    except ValueError as error:  # a dataclass that refuses its values in __post_init__
        if hasattr(error, "exit_code"):
            raise
        raise UserError(str(error)) from error


def not_none(kind: Any) -> Any:
    """T for the annotation T | None; any other annotation itself."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        rest = [a for a in typing.get_args(kind) if a is not type(None)]
        return rest[0] if len(rest) == 1 else kind
    return kind

"""What every command shares: Hydra overrides in, one validated dataclass to the room, one JSON line out.

A door is a short module with a docstring (its manual), a dataclass (its keys) and a function:

    def main(cfg: TokenizeConfig) -> dict: ...
    if __name__ == "__main__":
        door.run(main, TokenizeConfig, "tokenize", positional=("source", "out"))

`conf/<name>.yaml` starts with `defaults: [<name>_schema, _self_]`. A field that is itself a dataclass and has a
folder `conf/<field>/` is a group (`env=franka_pick`, then `env.key=value`); every other field is a value.
Exit codes: 0 done, 1 a bug (with its traceback), 2 a user's mistake (one sentence), 130 interrupted.
"""

import ast
import dataclasses
import inspect
import json
import os
import signal
import sys
import tempfile
import textwrap
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from toto_robot.errors import UserError, unknown
from toto_robot.robot_key import with_robot

CONF = Path(__file__).parent / "conf"
FLAGS = "--help, --cfg job, --multirun"
SHORT = {"backend": "env.backend"}
"""Keys that may be written without their group, in doors that have the group."""
PLAIN = "_plain_values_"  # where values travel whose key is the name of a group in other doors (evaluate's policy=)


def run(fn: Callable[[Any], dict | None], schema: type, name: str, positional: tuple[str, ...] = ()) -> None:
    """Run the door `name`: compose `conf/<name>.yaml` with `sys.argv[1:]` onto `schema` and call `fn` with it.

    Arguments without `=` fill the keys of `positional` in order. The dict that `fn` returns is printed as one
    JSON line, last on stdout. Always ends the process through SystemExit, except on success and on a bug.
    """
    argv = sys.argv[1:]
    try:
        if "--help" in argv or "-h" in argv:
            if hasattr(signal, "SIGPIPE"):
                signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a reader like `head` may close the pipe early
            print(help_text(fn, schema, name, positional))
        elif "--multirun" in argv or "-m" in argv:
            _multirun(fn, schema, name, [a for a in argv if a not in ("--multirun", "-m")], positional)
        elif "--cfg" in argv or "-c" in argv:
            flag = "--cfg" if "--cfg" in argv else "-c"
            at = argv.index(flag)
            if argv[at + 1 : at + 2] != ["job"]:
                raise UserError(f"{flag} {' '.join(argv[at + 1 : at + 2])}: expected `{flag} job`.")
            cfg = compose_config(schema, name, argv[:at] + argv[at + 2 :], positional)
            _to_dataclass(cfg)
            print(OmegaConf.to_yaml(cfg, resolve=True), end="")
        else:
            print_json(fn(compose(schema, name, argv, positional)))
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        _exit_if_users(error)
        raise


def compose(schema: type, name: str, argv: list[str], positional: tuple[str, ...] = ()) -> Any:
    """The instance of `schema` that `conf/<name>.yaml` and the overrides `argv` give. Raises UserError."""
    return _to_dataclass(compose_config(schema, name, argv, positional))


def print_json(result: dict | None) -> None:
    """Print `result` as one line of strict JSON on stdout (NumPy scalars and paths allowed; nan becomes null).

    Under torchrun the first process prints for all.
    """
    if result is not None and os.environ.get("RANK", "0") == "0":
        print(json.dumps(_plain(result), allow_nan=False), flush=True)


def group_options(group: str) -> list[str]:
    """Names of the YAML files in `conf/<group>/`, sorted."""
    return sorted(p.stem for p in (CONF / group).glob("*.yaml"))


# ------------------------------------------------------------------------------------------ composition


def compose_config(schema: type, name: str, argv: list[str], positional: tuple[str, ...] = ()) -> DictConfig:
    """The composed, still untyped-at-leaf-level config; `compose` is what a caller wants."""
    overrides = prepare(schema, name, argv, positional)
    ConfigStore.instance().store(name=f"{name}_schema", node=schema)
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module("toto_robot.conf", version_base="1.3"):
            return _settled(hydra_compose(config_name=name, overrides=overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise _composition_error(error, overrides) from error


def prepare(
    schema: type, name: str, argv: list[str], positional: tuple[str, ...] = (), sweep: bool = False
) -> list[str]:
    """`argv` as Hydra overrides: positional arguments named, keys and group options checked, values quoted.

    Raises UserError naming what exists for an unknown flag, key, or group option, and for one argument too many.
    """
    overrides, waiting, fields = [], list(positional), {f.name for f in dataclasses.fields(schema)}
    if "env" in fields and "robot" not in fields:
        argv = with_robot(argv, CONF / f"{name}.yaml", group_options("env"))
    for argument in argv:
        if argument.startswith("-"):
            raise UserError(f"Unknown flag {argument!r}. What exists: {FLAGS}; everything else is written key=value.")
        if "=" not in argument or (waiting and Path(argument).exists()):
            if argument.startswith("~"):
                raise UserError(f"{argument}: a key can't be removed. Write key=value; `--help` lists the keys.")
            if not waiting:
                takes = f"takes {', '.join(positional)} and then key=value" if positional else "takes only key=value"
                raise UserError(f"Unexpected argument {argument!r}: {name} {takes}; `--help` lists the keys.")
            overrides.append(_override(schema, waiting.pop(0), _quoted(argument), sweep))
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


def _override(schema: type, key: str, value: str, sweep: bool) -> str:
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
            return f"{key}.name={_quoted(value)}"  # a folder, or KIND:FILE: the group's default with that name
        if wrong:
            raise unknown(f"{key}", wrong[0], options, f"Write {key}=NAME.")
        return f"{key}={value}"
    if kind is str and not sweep and value != "null":
        value = _quoted(value)
    if "." not in key and not group and group_options(key):
        key = f"++{PLAIN}.{key}"  # Hydra would read it as the choice of a group
    return f"{key}={value}"


def _type_of_key(schema: type, key: str) -> Any:
    """The type at the dotted `key` of `schema`, or a UserError listing the keys at the level where it stops."""
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
        kind = _not_none(hints[part])
    return kind


def _not_none(kind: Any) -> Any:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        rest = [a for a in typing.get_args(kind) if a is not type(None)]
        return rest[0] if len(rest) == 1 else kind
    return kind


def _quoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    return "'" + value.replace("\\'", "\\\\'").replace("'", "\\'") + "'"


def _keys(kind: Any, prefix: str) -> str:
    return ", ".join(f"{prefix}.{f.name}" for f in dataclasses.fields(kind))


def _settled(cfg: DictConfig) -> DictConfig:
    """Move the values that travelled under `PLAIN` to their keys."""
    if PLAIN in cfg:
        with open_dict(cfg):
            values = cfg.pop(PLAIN)
        for key in values:
            cfg[key] = "???" if OmegaConf.is_missing(values, key) else values[key]
    return cfg


def _composition_error(error: Exception, overrides: list[str]) -> UserError:
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


def _to_dataclass(cfg: DictConfig) -> Any:
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        raise UserError(f"Missing {', '.join(missing)}: give {missing[0]}=VALUE. `--help` explains the keys.")
    try:
        return OmegaConf.to_object(cfg)
    except OmegaConfBaseException as error:
        raise _composition_error(error, []) from error
    except ValueError as error:  # a dataclass that refuses its values in __post_init__
        if hasattr(error, "exit_code"):
            raise
        raise UserError(str(error)) from error


# ------------------------------------------------------------------------------------------ running


def _multirun(fn: Callable, schema: type, name: str, argv: list[str], positional: tuple[str, ...]) -> None:
    """Hydra's own sweep over `key=a,b` and `key=range(...)`: one JSON line for each job, nothing else written."""
    import hydra

    overrides = prepare(schema, name, argv, positional, sweep=True)
    ConfigStore.instance().store(name=f"{name}_schema", node=schema)

    def job(cfg: DictConfig) -> None:
        try:
            print_json(fn(_to_dataclass(_settled(cfg))))
        except Exception as error:
            _exit_if_users(error)
            raise

    here = os.getcwd()
    with tempfile.TemporaryDirectory(prefix="sweep-") as scratch:
        quiet = [
            f"hydra.sweep.dir='{scratch}'",
            f"hydra.run.dir='{scratch}'",
            "hydra.sweep.subdir=.",
            "hydra.output_subdir=null",
            "hydra.job.chdir=false",
            "hydra/job_logging=none",
            "hydra/hydra_logging=none",
        ]
        given = {o.split("=")[0] for o in overrides}
        sys.argv = [sys.argv[0], "--multirun", *overrides, *(q for q in quiet if q.split("=")[0] not in given)]
        os.environ["HYDRA_FULL_ERROR"] = "1"
        GlobalHydra.instance().clear()
        try:
            OverridesParser.create().parse_overrides(overrides)
            hydra.main(config_path="pkg://toto_robot.conf", config_name=name, version_base="1.3")(job)()
        except (HydraException, OmegaConfBaseException) as error:
            raise _composition_error(error, overrides) from error
        finally:
            os.chdir(here)


def _exit_if_users(error: Exception) -> None:
    code = getattr(error, "exit_code", None)
    if code is not None:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(code)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # NumPy and torch scalars and arrays
        return _plain(value.tolist())
    if isinstance(value, float) and value != value or value in (float("inf"), float("-inf")):
        return None
    return value


# ------------------------------------------------------------------------------------------ help


def help_text(fn: Callable, schema: type, name: str, positional: tuple[str, ...] = ()) -> str:
    """The manual page of a door: its module docstring, then each key with its default and its docstring."""
    manual = inspect.getdoc(sys.modules[fn.__module__]) or inspect.getdoc(fn) or name
    defaults = OmegaConf.to_container(compose_config(schema, name, [], ()), resolve=False)
    usage = " ".join([*(f"[{p.upper()}]" for p in positional), "[key=value ...]", "[--multirun] [--cfg job] [--help]"])
    spec = sys.modules[fn.__module__].__spec__  # a door may stand in another room
    command = spec.name if spec and spec.name.endswith(f".{name}") else f"toto_robot.{name}"
    lines = [manual, "", f"usage: python -m {command} {usage}", "", "keys (and their defaults):"]
    return "\n".join(lines + list(_key_lines(schema, defaults, "")))


def _key_lines(kind: type, defaults: dict, prefix: str) -> typing.Iterator[str]:
    docs = field_docs(kind)
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        key, inner = prefix + field.name, _not_none(hints[field.name])
        default = defaults.get(field.name) if isinstance(defaults, dict) else None
        if dataclasses.is_dataclass(inner):
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
    """The docstring written under each field of the dataclass `kind`, its bases included."""
    docs: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0].body
        except (OSError, TypeError, SyntaxError):
            continue
        for statement, after in zip(body, body[1:]):
            is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if isinstance(statement, ast.AnnAssign) and is_text and isinstance(after.value.value, str):
                docs[statement.target.id] = inspect.cleandoc(after.value.value)
    return docs

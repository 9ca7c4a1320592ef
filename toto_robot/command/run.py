"""Run a command: read overrides, call a room with one validated dataclass, print one JSON line.

A command is a short module with a docstring (its manual), a dataclass (its keys) and a function:

    def main(cfg: TokenizeConfig) -> dict: ...
    if __name__ == "__main__":
        command.run(main, TokenizeConfig, "tokenize", positional=("source", "out"))

Exit codes: 0 done, 1 a bug (with its traceback), 2 a user's mistake or a disk's (one sentence), 130 interrupted.
"""

import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from toto_robot.command.compose import (
    compose,
    compose_config,
    composition_error,
    prepare,
    quoted,
    settled,
    to_dataclass,
)
from toto_robot.command.help import help_text
from toto_robot.ground.ending import ends_like_ctrl_c
from toto_robot.ground.errors import UserError
from toto_robot.ground.places import place_error


def run(fn: Callable[[Any], dict | None], schema: type, name: str, positional: tuple[str, ...] = ()) -> None:
    """Run the command `name`: compose `conf/<name>.yaml` with `sys.argv[1:]` onto `schema` and call `fn` with it.

    Arguments without `=` fill the keys of `positional` in order. The dict that `fn` returns is printed as one JSON
    line, last on stdout. A user's mistake, a place that can't be written and an interruption (Ctrl-C, SIGTERM, SIGHUP)
    end the process by SystemExit. A bug keeps its traceback.
    """
    with ends_like_ctrl_c():
        _run(fn, schema, name, positional)


def _run(fn: Callable[[Any], dict | None], schema: type, name: str, positional: tuple[str, ...]) -> None:
    argv = sys.argv[1:]
    try:
        if "--help" in argv or "-h" in argv:
            if hasattr(signal, "SIGPIPE"):
                signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a reader such as `head` may close the pipe early
            print(help_text(fn, schema, name, positional))
        elif "--multirun" in argv or "-m" in argv:
            _multirun(fn, schema, name, [a for a in argv if a not in ("--multirun", "-m")], positional)
        elif "--cfg" in argv or "-c" in argv:
            flag = "--cfg" if "--cfg" in argv else "-c"
            at = argv.index(flag)
            if argv[at + 1 : at + 2] != ["job"]:
                raise UserError(f"{flag} {' '.join(argv[at + 1 : at + 2])}: expected `{flag} job`.")
            cfg = compose_config(schema, name, argv[:at] + argv[at + 2 :], positional)
            to_dataclass(cfg)
            print(OmegaConf.to_yaml(cfg, resolve=True), end="")
        else:
            print_json(fn(compose(schema, name, argv, positional)))
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
    except SystemExit:
        raise
    except BaseException as error:  # torch's CheckpointException is no Exception
        _exit_if_users(error)
        raise


def print_json(result: dict | None) -> None:
    """Print `result` as one line of strict JSON on stdout. It may hold NumPy scalars and paths; nan becomes null.

    Under torchrun only the first process prints.
    """
    if result is not None and os.environ.get("RANK", "0") == "0":
        print(json.dumps(_plain(result), allow_nan=False), flush=True)


def _multirun(fn: Callable, schema: type, name: str, argv: list[str], positional: tuple[str, ...]) -> None:
    """Hydra's sweep over `key=a,b` and `key=range(...)`. It prints one JSON line for each job and writes no files."""
    import hydra

    overrides = prepare(schema, name, argv, positional, sweep=True)
    ConfigStore.instance().store(name=f"{name}_schema", node=schema)

    def job(cfg: DictConfig) -> None:
        try:
            print_json(fn(to_dataclass(settled(cfg))))
        except Exception as error:
            _exit_if_users(error)
            raise

    here = os.getcwd()
    with tempfile.TemporaryDirectory(prefix="sweep-") as scratch:
        quiet = [
            f"hydra.sweep.dir={quoted(scratch)}",
            f"hydra.run.dir={quoted(scratch)}",
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
            raise composition_error(error, overrides) from error
        finally:
            os.chdir(here)


def _exit_if_users(error: BaseException) -> None:
    if getattr(error, "exit_code", None) is None:
        error = place_error(error) or error
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

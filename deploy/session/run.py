"""Runs one deployment from the flags of `run_real`: settings, parts, session, report."""

import argparse
import contextlib
import dataclasses
import datetime
import sys
from dataclasses import replace

from rich.console import Console

from deploy.control import safety
from deploy.control.machine import Rules
from deploy.endings import Ending
from deploy.session import parts, recording
from deploy.session.panel import Panel
from deploy.session.report import outcome_line, periods_line
from deploy.session.session import Session
from deploy.session.settings import Resolved, Settings, at, check_rate, resolved
from policies.fit.conversion import Fit
from policies.fit.folder import About
from policies.fit.rules import FitKeys, Tolerance, check
from policies.scoring import trials
from toto_robot import command
from toto_robot.ground.errors import UserError, unknown


def run(args: argparse.Namespace) -> int:
    """One deployment. Prints the report on stdout, with the JSON line last. Returns the exit code."""
    # Everything that can be refused is refused before a process starts.
    s = resolved(settings_of(args), emulator_at)
    about = _policy(s.policy)
    env = parts.scene_for(about)
    check_rate(s.hz, env.control_hz if about is None or about.spec is None else about.spec.control_hz, s.policy)
    s = replace(s, camera_config=parts.camera_config(s, env, about))
    fit = _fit(s, env, about)
    with contextlib.ExitStack() as stack:
        if s.emulated and not s.simulated and s.console is None:
            s = at(s, *stack.enter_context(emulator(s)))
        panel = stack.enter_context(Panel())
        panel.say(_what(s))
        for warning in fit.warnings:
            panel.say(f"warning: {warning}")
        seeds, s = _seeds(s, env.name), replace(s, record=_record_path(s))
        made = parts.make(s, env, fit)
        session = Session(s, made, seeds, panel, _recorder(s, env, made, about))
        ending = session.run()
        witness = _emulator_says(s)
    result = session.result()
    if s.trials16 and result["episodes"]:
        result |= trials.report(result, result["seeds"])
    if witness:
        result["emulator"] = witness
    _print(session, ending, result)
    command.print_json(result)
    return ending.code


def settings_of(args: argparse.Namespace) -> Settings:
    """The settings in the flags. Raises UserError for a value that can't be read."""
    values = vars(args).copy()
    box, options, recoveries = values.pop("workspace"), values.pop("option"), values.pop("recoveries")
    values["fit"] = FitKeys(values.pop("convert"), tolerance(values.pop("tolerate")))
    for option in options:
        if "=" not in option:
            raise UserError(f"--option {option}: expected KEY=VALUE.")
    if box is not None:
        if not all(a < b for a, b in zip(box[::2], box[1::2])):
            raise UserError(f"--workspace {' '.join(map(str, box))}: expected X0 < X1, Y0 < Y1 and Z0 < Z1.")
        values["workspace"] = safety.Workspace(tuple(box[::2]), tuple(box[1::2]))
    if recoveries < 0:
        raise UserError(f"--recoveries {recoveries}: expected 0 or more.")
    return Settings(**values, rules=Rules(max_recoveries=recoveries), options=dict(o.split("=", 1) for o in options))


def tolerance(given: list[str]) -> Tolerance:
    """The values of the flags --tolerate KEY=NUMBER."""
    exist, values = [f.name for f in dataclasses.fields(Tolerance)], {}
    for one in given:
        key, _, number = one.partition("=")
        try:
            values[key] = float(number)
        except ValueError:
            raise UserError(f"--tolerate {one}: expected KEY=NUMBER with a key of {', '.join(exist)}.") from None
        if key not in exist:
            raise unknown("key of --tolerate", key, exist)
    return Tolerance(**values)


def _fit(s: Resolved, env, about: About | None) -> Fit:
    """How the policy is converted for the arm. Raises UserError for a policy that does not fit; no process runs yet."""
    if about is None:
        return Fit()
    where = f"--robot {s.robot}" + (f" --backend {s.backend}" if s.simulated else "")
    return check(about, parts.interface(s, env), given=s.policy, where=where, keys=s.fit, cuts=True)


def _policy(name: str) -> About | None:
    """The description in a policy's folder; None for the scripted expert."""
    if name == "scripted":
        return None
    from policies.policy import inspect

    about = inspect(name)
    if about.needs == "privileged":
        raise UserError(
            f"The policy {name} reads the simulator's privileged state, which no camera gives. Train one on pixels."
        )
    return about


def emulator_at(ip: str) -> tuple[tuple[str, int], dict] | None:
    """The console (ip, port) and the info of an emulator that listens at `ip`, or None."""
    from deploy.emulator.console import CONSOLE_PORT, ConsoleError
    from deploy.emulator.console import Console as EmulatorConsole

    try:
        with EmulatorConsole(ip) as console:
            return (ip, CONSOLE_PORT), console.ask("info")
    except ConsoleError:
        return None


def _emulator_says(s: Resolved) -> dict | None:
    """The emulated controller's counts: violations, lost packets, and more. None on a real arm."""
    from deploy.emulator.console import Console as EmulatorConsole
    from deploy.emulator.console import ConsoleError

    if s.console is None:
        return None
    try:
        with EmulatorConsole(*s.console) as console:
            return console.ask("counters")
    except ConsoleError:
        return None


def emulator(s: Resolved):
    """Starts an emulator; see `lockstep.started`."""
    from deploy.processes.lockstep import started

    return started(s.robot, s.clock, s.shift)


def _seeds(s: Resolved, env_name: str) -> list[int]:
    from policies.seeds import evaluation_seeds

    if s.trials16:
        if not s.emulated:
            raise UserError("--trials16 places the object in a simulated scene; on a robot give --episodes 16.")
        return [trial.seed for trial in trials.trials16(env_name, s.seed)]
    return evaluation_seeds(s.seed, s.episodes)


def _what(s: Resolved) -> str:
    """The first line that the operator sees: which arm this is, and whether it moves."""
    if s.simulated:
        return "No robot: the Gymnasium scene, stepped by this program (--backend sim)."
    if s.emulated:
        return (
            f"The robot is EMULATED: a {s.robot} in MuJoCo at {s.robot_ip}, {s.clock} clock, driven through the real "
            f"client {s.backend}. No arm moves."
        )
    return f"REAL ROBOT: {s.robot} at {s.robot_ip} through {s.backend}" + (
        ", dry run: no motion is sent." if s.dry_run else ". Keep the user stop in your hand."
    )


def _record_path(s: Resolved) -> str | None:
    """The set to which the episodes are appended; None where nothing is recorded."""
    if s.record == "none":
        return None
    return s.record or f"data/deployments/{datetime.datetime.now():%Y%m%d-%H%M%S}"


def _recorder(s: Resolved, env, made: parts.Parts, about: About | None) -> recording.Recorder | None:
    if s.record is None:
        return None
    notes = dict(
        source="deploy",
        policy=s.policy,
        policy_sha256=about.sha256 if about else s.policy,
        git=recording.revision(),
        robot=s.robot,
        backend=s.backend,
        robot_ip=s.robot_ip,
        emulated=s.emulated,
        clock=s.clock,
        speed_scale=s.speed_scale,
        home_speed=s.home_speed,
        camera=s.camera_file or s.camera,
        dry_run=s.dry_run,
        shift=s.shift,
        workspace=[*s.workspace.low_m, *s.workspace.high_m],
    )
    return recording.Recorder(s.record, recording.attributes(env, made.camera, notes, made.interface))


def _print(session: Session, ending: Ending, result: dict) -> None:
    """The report for a person: timing, periods, episodes, success."""
    from policies.scoring.statistics import summary_line

    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 120)
    if session.timings.values:
        console.print(session.timings.table())
        console.print(periods_line(session.counts, session.parts.period_s), highlight=False)
    for number, outcome in enumerate(session.outcomes, 1):
        console.print(outcome_line(number, *outcome), highlight=False)
    if result["episodes"]:
        console.print(summary_line(result["successes"], result["episodes"]), highlight=False)
    if session.s.emulated and not session.s.simulated:
        console.print(
            "The robot was emulated: this shows that the stack works, not how a real arm would do.", highlight=False
        )
    if ending.code:
        console.print(f"ended with {ending.name.lower()} ({ending.code}): {session.why}", highlight=False)

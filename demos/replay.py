"""Replay demonstrations: set every recorded state and compare the pixels, or run the recorded actions again.

    python -m demos.replay data/pick
    python -m demos.replay data/pick episode=3 video=replay.mp4
    python -m demos.replay data/pick mode=action
    python -m demos.replay data/imported.zarr video=imported.mp4                           pictures and actions only
    python -m demos.replay data/cube mode=robot episode=0                                  on an emulated arm
    python -m demos.replay data/cube mode=robot episode=0 robot=fr3 robot_ip=172.16.0.2 camera=wrist.yaml

mode=state restores the full simulator state of each step and draws it. On the renderer that recorded the set every
pixel must be equal, otherwise the exit code is 1. mode=action starts from each episode's first state, executes the
actions that were executed then, and reports how far the simulation drifts from the record and whether success comes
again. mode=robot moves an arm to where each episode began and sends it the actions, through the same limits, state
machine and exit codes as deploy/run_real.py, and reports how far the joints were from the record. A set of another
version of its environment is refused with the differences, unless force=true.
mode=pictures needs no environment: it reads every picture and action, and video= shows them. A set that no environment
of ours can simulate, such as an imported one, is played so, and `not_simulated` says why.
The last line is JSON: mode, episodes, steps, exact and max_abs_diff, or qpos_drift and success_reproduced; differs.
For mode=pictures: mode, episodes, steps, seconds, cameras, actions, not_simulated.
For mode=robot: mode, episodes, steps, drift_rad, successes, success_reproduced, ending.
"""

import sys
from dataclasses import dataclass

import numpy as np

import envs
from demos.errors import DemoError
from demos.formats.foreign_set import ForeignSet, open_set
from demos.recording.recorder import STATE
from demos.recording.restoring import environment_of, look_seeds, missing_states, snapshot
from demos.store import schema
from demos.store.demo_set import DemoSet
from demos.viewing.film import frames_of
from deploy.teaching.on_arm import ArmEnded, ArmKeys
from deploy.teaching.replaying import replay as on_robot
from envs.drawing import renderer
from envs.fingerprint import describe, fingerprint
from toto_robot import command
from toto_robot.ground.errors import UserError, unknown
from toto_robot.ground.screen import Bar
from toto_robot.video.decode import write_video

MODES = ("state", "action", "pictures", "robot")


class NotExact(UserError):
    """A state replay was not exact, though it should be."""

    exit_code = 1


@dataclass
class ReplayConfig(ArmKeys):
    """Keys of `python -m demos.replay`."""

    path: str = "???"
    """Folder of the set."""
    episode: int | None = None
    """Which episode; null for all."""
    mode: str = "state"
    """state: restore every state and compare pixels. action: execute the actions and compare states. pictures: show
    what was recorded, without an environment. robot: execute the actions on an arm (the keys robot, robot_ip, …)."""
    video: str | None = None
    """Path of an MP4: the recorded wrist camera beside a view of the replay from the side. mode=pictures: all cameras,
    with the actions as bars."""
    force: bool = False
    """Replay in an environment that differs from the recorded one."""

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise unknown("mode", self.mode, MODES)
        if self.video is not None and not self.video.endswith(".mp4"):
            raise UserError(f"video={self.video}: expected a name that ends in .mp4.")
        if (self.robot or self.robot_ip) and self.mode != "robot":
            raise UserError(f"mode={self.mode} replays in simulation; give mode=robot for an arm, or leave out robot=.")


def main(cfg: ReplayConfig) -> dict:
    """Replay the set, or one episode. Raises NotExact, after the JSON line, if pixels should be equal and are not."""
    demos = open_set(cfg.path)
    chosen = range(demos.episodes) if cfg.episode is None else [cfg.episode]
    if cfg.episode is not None:
        demos.episode(cfg.episode, ["action"])  # raises an error that names the episodes
    foreign = not_simulated(demos.attrs, demos.keys)
    if cfg.mode == "pictures" or cfg.mode == "state" and foreign:
        return _pictures(cfg, demos, chosen, foreign)
    if isinstance(demos, ForeignSet) or cfg.mode == "action" and foreign:
        raise UserError(
            f"mode={cfg.mode}: {foreign or 'it is not a set of ours'}. mode=pictures plays what was recorded."
        )
    if cfg.mode == "robot":
        return _on_robot(cfg, demos, chosen)
    env = _environment(demos, cfg)
    differs = _differs(demos, env)
    replay = _replay_states if cfg.mode == "state" else _replay_actions
    frames: list | None = [] if cfg.video else None
    rows = []
    with Bar("replaying", len(chosen)) as bar:
        for done, i in enumerate(chosen):
            bar.at(done, f"episode {i}")
            rows.append(replay(demos, i, env, frames))
    if cfg.video and frames:
        write_video(cfg.video, np.stack(frames), fps=env.control_hz)
    result = {
        "path": cfg.path,
        "mode": cfg.mode,
        "episodes": len(rows),
        "steps": sum(int(demos.lengths[i]) for i in chosen),
        "differs": differs,
    } | (_state_result if cfg.mode == "state" else _action_result)(rows)
    if cfg.mode == "state" and result["exact"] is False and not [d for d in differs if not d.startswith("versions.")]:
        command.print_json(result)
        worst = max(rows, key=lambda row: max(row["diff"].values()))
        raise NotExact(
            f"Episode {worst['episode']} of {cfg.path} does not replay exactly on the renderer it was recorded "
            f"with ({demos.attrs['renderer']}): greatest difference {worst['diff']}, first at step "
            f"{worst['first']}. Something that the fingerprint does not cover has changed"
            + (f"; {', '.join(differs)}." if differs else ".")
        )
    return result


def not_simulated(attrs: dict, keys: tuple[str, ...]) -> str:
    """Why no environment of ours can replay a set with these attributes and keys; empty if one can."""
    if attrs.get("env") in envs.names():
        return ""
    missing = missing_states(keys)
    states = f", and it has no {', '.join(missing)}" if missing else ""
    return f"its environment {attrs.get('env')!r} is not one of ours{states}: its motion and success can't be simulated"


def _pictures(cfg: ReplayConfig, demos: DemoSet | ForeignSet, chosen, foreign: str) -> dict:
    """Read every picture and action of the chosen episodes, and film them if the person asks for it."""
    if foreign:
        print(f"{cfg.path}: {foreign}. Its pictures and actions are played as recorded.", file=sys.stderr)
    frames, steps = [], 0
    with Bar("playing", len(chosen)) as bar:
        for done, i in enumerate(chosen):
            bar.at(done, f"episode {i}")
            for frame in frames_of(demos, i):
                steps += 1
                if cfg.video:
                    frames.append(frame)
    if cfg.video and frames:
        write_video(cfg.video, np.stack(frames), fps=demos.attrs["control_hz"])
    return {
        "path": cfg.path,
        "mode": "pictures",
        "episodes": len(chosen),
        "steps": steps,
        "seconds": steps / demos.attrs["control_hz"],
        "cameras": [key.removeprefix(schema.CAMERA) for key in demos.keys if key.startswith(schema.CAMERA)],
        "actions": demos.attrs["action"].get("names"),
        "not_simulated": foreign or None,
    }


def _on_robot(cfg: ReplayConfig, demos: DemoSet, chosen) -> dict:
    rows, ending, why = on_robot(cfg.path, chosen, cfg)
    known = [row for row in rows if row["was"] is not None]
    result = {
        "path": cfg.path,
        "mode": cfg.mode,
        "episodes": len(rows),
        "steps": sum(row["steps"] for row in rows),
        "drift_rad": max((row["drift_rad"] for row in rows), default=None),
        "successes": sum(row["success"] for row in rows),
        "success_known": len(known),
        "success_reproduced": sum(row["success"] == row["was"] for row in known),
        "ending": ending.name.lower(),
    }
    if ending.code:
        command.print_json(result)
        raise ArmEnded(ending, why)
    return result


def _environment(demos: DemoSet, cfg: ReplayConfig):
    env = environment_of(demos, cfg.path, "replay it as it is with force=true", force=cfg.force)
    missing = missing_states(demos.keys) + [key for key in ("proprio",) if key not in demos.keys]
    if cfg.mode == "state" and missing and demos.episodes:
        raise DemoError(
            f"{cfg.path} has no {', '.join(missing)}, which mode=state needs; it has {', '.join(demos.keys)}. "
            "Try mode=action."
        )
    if cfg.mode == "action" and demos.attrs["control_hz"] != env.control_hz and not cfg.force:
        raise UserError(
            f"{cfg.path} has actions for {demos.attrs['control_hz']:g} Hz, and {demos.attrs['env']} takes them at "
            f"{env.control_hz:g} Hz: it was converted to another rate. Replay the original, use mode=state, or see "
            "what happens with force=true."
        )
    return env


def _differs(demos: DemoSet, env) -> list[str]:
    """What differs now from the time of recording: versions, renderer, environment."""
    then, now = demos.attrs.get("versions") or {}, schema.installed()
    found = [f"versions.{key} was {then[key]}, is {now.get(key)}" for key in then if then[key] != now.get(key)]
    drawn = renderer(env.model)
    if demos.attrs.get("renderer") != drawn:
        found.append(f"renderer was {demos.attrs.get('renderer')}, is {drawn}")
    if demos.attrs.get("environment_fingerprint") != fingerprint(describe(env)):
        found.append("environment")
    return found


def _replay_states(demos: DemoSet, i: int, env, frames: list | None) -> dict:
    """{episode, diff: greatest absolute difference by key, first: first step that differs or None}."""
    data, look_seed = demos.episode(i), int(look_seeds(demos)[i])
    pictures = [key for key in demos.keys if key.startswith(schema.CAMERA)]
    diff: dict[str, float] = dict.fromkeys([*pictures, "proprio"], 0.0)
    first: int | None = None
    for t in range(int(demos.lengths[i])):
        obs = env.restore(snapshot(demos, data, t, env, look_seed))
        for key in diff:
            height, width = data[key].shape[1:3] if key in pictures else (0, 0)
            now = (
                obs["proprio"]
                if key == "proprio"
                else (obs["rgb"] if key == "rgb_wrist" else env.view(key.removeprefix(schema.CAMERA), width, height))
            )
            off = float(np.abs(now.astype(np.float64) - data[key][t]).max())
            diff[key] = max(diff[key], off)
            first = t if off and first is None else first
        if frames is not None:
            frames.append(_frame(env, data, t))
    return {"episode": i, "diff": diff, "first": first}


def _replay_actions(demos: DemoSet, i: int, env, frames: list | None) -> dict:
    """{episode, drift: greatest |qpos - recorded| (rad, m) or None, success, was}."""
    data = demos.episode(i)
    actions = data.get("action_applied", data["action"])
    drift = None
    if all(key in data for key in STATE):
        env.restore(snapshot(demos, data, 0, env, int(look_seeds(demos)[i])))
    elif "seed" in demos.meta_names:
        env.reset(seed=int(demos.meta("seed")[i]))
    else:
        raise DemoError(
            f"{demos.path} has neither states ({', '.join(STATE)}) nor meta/seed: so the start of an episode is unknown"
        )
    success = False
    for t, action in enumerate(actions):
        if "sim_state" in data:
            drift = max(drift or 0.0, float(np.abs(env.data.qpos - env.qpos_of(data["sim_state"][t])).max()))
        if frames is not None:
            frames.append(_frame(env, data, t))
        *_, info = env.step(action)
        success = info["success"]
    was = bool(demos.meta("success")[i]) if "success" in demos.meta_names else None
    return {"episode": i, "drift": drift, "success": bool(success), "was": was}


def _frame(env, data: dict, t: int) -> np.ndarray:
    """The recorded wrist camera beside the side view of the replay, uint8 (256, 512, 3)."""
    wrist = data["rgb_wrist"][t] if "rgb_wrist" in data else np.zeros((256, 256, 3), np.uint8)
    at = [np.arange(256) * n // 256 for n in wrist.shape[:2]]
    return np.concatenate([wrist[at[0][:, None], at[1]], env.view("side", 256, 256)], 1)


def _state_result(rows: list[dict]) -> dict:
    keys = sorted({key for row in rows for key in row["diff"]})
    worst = {key: max(row["diff"][key] for row in rows) for key in keys}
    return {
        "exact": not any(worst.values()) if rows else None,
        "max_abs_diff": worst,
        "inexact_episodes": [row["episode"] for row in rows if row["first"] is not None],
    }


def _action_result(rows: list[dict]) -> dict:
    known = [row for row in rows if row["was"] is not None]
    drifts = [row["drift"] for row in rows if row["drift"] is not None]
    return {
        "qpos_drift": max(drifts, default=None),
        "successes": sum(row["success"] for row in rows),
        "success_reproduced": sum(row["success"] == row["was"] for row in known),
        "success_known": len(known),
        "changed_episodes": [row["episode"] for row in known if row["success"] != row["was"]],
    }


if __name__ == "__main__":
    command.run(main, ReplayConfig, "replay", positional=("path",))

"""Environments in a worker process with its own Python, over the protocol of `messages`."""

import socket
import subprocess
import tempfile
from typing import NoReturn

import numpy as np

from envs.backends import messages
from envs.errors import EnvError

COUNTS = ("action_dim", "proprio_dim", "privileged_dim", "horizon")
"""Whole numbers that a worker's spec must have, besides `control_hz`."""
ACTED = {"reward": "<f8", "terminated": "|b1", "truncated": "|b1", "success": "|b1", "steps": "<i8"}


class RemoteVectorEnv:
    """`num_envs` environments that one worker steps together, with the contract of `envs.VectorEnv`.

    `command` starts the worker with the argument `--fd N`, the socket that it inherits. Its output goes to a file, and
    an error shows the end of that file. A worker that dies, does not answer for `timeout_s` (`start_s` for the first
    answer) or breaks the protocol is killed, and every later call says why. The worker ends when this process does. The
    labels come from this process: see `IsaacVectorEnv`.
    """

    def __init__(
        self,
        command: list[str],
        name: str,
        num_envs: int,
        *,
        hello: dict | None = None,
        image_size: int = 128,
        privileged: bool = False,
        render: bool = True,
        labeller=None,
        start_s: float = 600.0,
        timeout_s: float = 120.0,
    ):
        if num_envs < 1:
            raise EnvError(f"num_envs must be at least 1, got {num_envs}")
        self.name, self.num_envs, self.shift, self.timeout_s = name, num_envs, None, timeout_s
        self._why = ""
        """Why there is no worker any more; empty while there is one."""
        self.labeller, self._shows_privileged = labeller, privileged
        privileged = privileged or labeller is not None
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the environments)
        self._socket, theirs = socket.socketpair()
        self._process: subprocess.Popen | None = None
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [*command, "--fd", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=self._said,
                    stderr=subprocess.STDOUT,
                )
            self.spec = self._ask(
                "hello",
                dict(
                    hello or {},
                    protocol=messages.PROTOCOL,
                    version=messages.VERSION,
                    name=name,
                    num_envs=num_envs,
                    image_size=image_size,
                    privileged=privileged,
                    render=render,
                ),
                timeout_s=start_s,
            )[0]
            self._read_spec(privileged, image_size)
        except BaseException as error:
            self.close()
            if isinstance(error, OSError) and not isinstance(error, ConnectionError):
                raise EnvError(f"the worker of {name} could not be started with {command[0]!r}: {error}") from error
            raise

    def _read_spec(self, privileged: bool, image_size: int) -> None:
        """Takes the sizes from the worker's first answer."""
        wrong = [k for k in COUNTS if not isinstance(self.spec.get(k), int) or not 0 <= self.spec[k] < 1e6]
        hz = self.spec.get("control_hz")
        wrong += [] if isinstance(hz, (int, float)) and 0 <= hz < 1e6 else ["control_hz"]
        if (self.spec.get("protocol"), self.spec.get("version")) != (messages.PROTOCOL, messages.VERSION) or wrong:
            self._give_up(
                f"expected a spec of {messages.PROTOCOL} version {messages.VERSION} with numbers "
                f"{', '.join(COUNTS)}, control_hz; "
                f"got {str(self.spec)[:300]}"
            )
        self.action_dim, self.proprio_dim, self.horizon = (
            self.spec[k] for k in ("action_dim", "proprio_dim", "horizon")
        )
        self.privileged_dim = self.spec["privileged_dim"] if self._shows_privileged else 0
        self.control_hz = float(self.spec["control_hz"])
        n = self.num_envs
        self._observed = {"rgb": ("|u1", (n, image_size, image_size, 3)), "proprio": ("<f4", (n, self.proprio_dim))}
        if privileged:
            self._observed["privileged"] = ("<f4", (n, self.spec["privileged_dim"]))

    def reset(self, seeds, indices=None) -> dict[str, np.ndarray]:
        """Starts new episodes in `indices` (all by default), one seed each. Returns every slot's observation."""
        indices = np.arange(self.num_envs) if indices is None else np.asarray(indices, np.int64)
        if len(seeds) != len(indices):
            raise EnvError(f"reset takes one seed for each of the {len(indices)} slots, got {len(seeds)}")
        if len(indices) and not 0 <= indices.min() <= indices.max() < self.num_envs:
            raise EnvError(f"reset takes slots from 0 to {self.num_envs - 1}, got {indices.tolist()}")
        arrays = {"seeds": np.array([int(s) for s in seeds], np.int64), "indices": indices.astype(np.int64)}
        return self._labelled(self._checked(self._ask("reset", arrays=arrays)[1], self._observed))

    def step(self, actions, active=None):
        """(obs, reward, terminated, truncated, info) after one step of each active slot; actions (N, A)."""
        actions = np.asarray(actions, np.float32)
        if actions.shape != (self.num_envs, self.action_dim):
            raise EnvError(f"step takes actions {(self.num_envs, self.action_dim)}, got {actions.shape}")
        active = np.ones(self.num_envs, bool) if active is None else np.asarray(active, bool)
        if not np.isfinite(actions[active]).all():
            raise EnvError(f"{self.name} got an action with NaN or infinity")
        arrays = self._ask(
            "step", arrays={"actions": np.where(active[:, None], actions, 0).astype("<f4"), "active": active}
        )[1]
        layout = self._observed | {key: (dtype, (self.num_envs,)) for key, dtype in ACTED.items()}
        out = self._checked(arrays, layout)
        reward, terminated, truncated, success, steps = (out.pop(key) for key in ACTED)
        return self._labelled(out), reward, terminated, truncated, {"success": success, "steps": steps}

    def get_state(self) -> list[bytes]:
        """One opaque state for each slot: a message with the slot's row of each of the worker's arrays."""
        arrays = self._ask("get_state")[1]
        self._checked(arrays, {key: (a.dtype.str, (self.num_envs, *a.shape[1:])) for key, a in arrays.items()})
        return [messages.pack("state", {}, {key: a[i] for key, a in arrays.items()}) for i in range(self.num_envs)]

    def set_state(self, states: list[bytes]) -> dict[str, np.ndarray]:
        """Restores `get_state` of a worker of the same kind; returns the observations."""
        if len(states) != self.num_envs:
            raise EnvError(f"set_state takes {self.num_envs} states, got {len(states)}")
        rows = [_unpacked(state) for state in states]
        if len({tuple((k, a.dtype.str, a.shape) for k, a in row.items()) for row in rows}) != 1:
            raise EnvError("set_state takes states of one kind of worker, but these states have different arrays")
        arrays = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
        return self._labelled(self._checked(self._ask("set_state", arrays=arrays)[1], self._observed))

    def render(self, index: int, camera: str = "side", width: int = 256, height: int = 256) -> np.ndarray:
        raise EnvError(f"{self.name} in a worker has only its wrist camera, in obs['rgb']; leave out video=")

    def close(self) -> None:
        """Ends the worker; safe to call twice."""
        process, self._process = self._process, None
        if process is not None:
            try:
                messages.send(self._socket, "close")
                process.wait(timeout=10)
            except (messages.Closed, OSError, subprocess.TimeoutExpired):
                process.kill()
                process.wait()
        self._socket.close()
        self._said.close()
        self._why = self._why or "it was closed"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        if getattr(self, "_process", None) is not None:
            self.close()

    def _ask(self, kind: str, fields=None, arrays=None, timeout_s: float | None = None) -> tuple[dict, dict]:
        """(fields, arrays) of the answer to the message `kind`."""
        if self._why or self._process is None:
            raise RuntimeError(f"the worker of {self.name} is gone: {self._why or 'it did not start'}")
        timeout_s = timeout_s or self.timeout_s
        try:
            self._socket.settimeout(timeout_s)
            messages.send(self._socket, kind, fields, arrays)
            answer, fields, arrays = messages.receive(self._socket, timeout_s)
        except TimeoutError:
            self._give_up(f"no answer to {kind} within {timeout_s:g} s")
        except messages.Closed:
            try:
                code = str(self._process.wait(timeout=5))
            except subprocess.TimeoutExpired:
                code = "none: it closed the socket and still runs"
            self._give_up(f"it died at {kind} (exit code {code})")
        except messages.MessageError as error:
            self._give_up(f"it broke the protocol at {kind}: {error}")
        if answer == "error" and fields.get("kind") == "mistake":
            self._kill(str(fields.get("message")))
            raise EnvError(f"{self.name}: {fields.get('message')}")
        if answer != ("spec" if kind == "hello" else "done"):
            self._give_up(
                str(fields.get("message")) if answer == "error" else f"it answered {kind} with {answer[:40]!r}"
            )
        return fields, arrays

    def _labelled(self, obs: dict) -> dict:
        if self.labeller is not None:
            obs["expert"] = np.asarray(self.labeller.act(obs["privileged"], obs["proprio"]), np.float32)
            if not self._shows_privileged:
                del obs["privileged"]
        return obs

    def _checked(self, arrays: dict, layout: dict) -> dict:
        got = {key: (a.dtype.str, a.shape) for key, a in arrays.items()}
        if got != layout:
            self._give_up(f"expected the arrays {layout}, got {got}")
        return dict(arrays)

    def _give_up(self, why: str) -> NoReturn:
        said = self._kill(why)
        raise RuntimeError(
            f"the worker of {self.name} failed: {why}" + (f"\nThe end of what it printed:\n{said}" if said else "")
        )

    def _kill(self, why: str) -> str:
        """Kills the worker, and returns the end of what it has printed."""
        self._why = why
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
        self._said.seek(max(0, self._said.seek(0, 2) - 2000))
        return self._said.read().decode(errors="replace").strip()


def _unpacked(state: bytes) -> dict:
    try:
        return messages.unpack(state)[2]
    except messages.MessageError as error:
        raise EnvError(f"set_state got a state that is not from a worker: {error}") from error

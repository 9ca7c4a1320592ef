"""Starts commands by a fork of a process that has already imported the libraries, which saves seconds each time.

Each command still has a process of its own, with its own modules, arguments, folder, environment, output, signals and
exit code. `ForkServer` is the side of the tests. Run as a script, this file is the server. It loads no MuJoCo
and nothing of ours: a renderer does not survive a fork, and a test may ask what a command imports.
"""

import contextlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIBRARIES = (
    "torch",
    "numpy",
    "hydra",
    "omegaconf",
    "rich.progress",
    "safetensors.torch",
    "zarr",
    "PIL.Image",
    "gymnasium",
    "matplotlib.pyplot",
)


class Command:
    """A command that was started: what the tests need of `subprocess.Popen` with text output."""

    def __init__(self, server: "ForkServer", argv: list[str], folder) -> None:
        self.args, self.returncode, self._server = argv, None, server
        self._place = tempfile.TemporaryDirectory()
        self._out, self._err = (Path(self._place.name, name) for name in ("out", "err"))
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        where = {"cwd": str(folder), "env": env, "out": str(self._out), "err": str(self._err)}
        self.pid = server.ask({"argv": argv, **where})

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._server.ask({"poll": self.pid})
        return self.returncode

    def communicate(self, timeout: float = 300) -> tuple[str, str]:
        """Wait for the end; what it wrote to stdout and stderr."""
        until = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > until:
                os.kill(self.pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(self.args, timeout, self._out.read_text(), self._err.read_text())
            time.sleep(0.01)
        out, err = self._out.read_text(), self._err.read_text()
        self._place.cleanup()
        return out, err


class ForkServer:
    """Starts commands, each named by a module or by the path of a script."""

    def __init__(self) -> None:
        self._server: subprocess.Popen | None = None

    def start(self, folder, name: str, *argv) -> Command:
        return Command(self, [name, *map(str, argv)], folder)

    def run(self, folder, name: str, *argv) -> subprocess.CompletedProcess:
        """The finished process, as `subprocess.run` gives it."""
        started = self.start(folder, name, *argv)
        out, err = started.communicate()
        return subprocess.CompletedProcess(started.args, started.returncode, out, err)

    def ask(self, request: dict):
        if self._server is None:
            self._server = subprocess.Popen(
                [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())

    def close(self) -> None:
        """End the server. Its commands have ended before."""
        if self._server is not None:
            self._server.stdin.close()
            self._server.stdout.close()
            self._server.wait()


def serve() -> dict | None:
    """Answer the requests of the tests. Returns a request in its child, and None in the server at the end."""
    for line in sys.stdin:
        request = json.loads(line)
        if "poll" in request:
            pid, status = os.waitpid(request["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            answer = os.fork()
            if not answer:
                return request
        print(json.dumps(answer), flush=True)
    return None


def become(request: dict) -> None:
    """Make this child what a new `python -m MODULE ARGV`, or `python SCRIPT ARGV`, in that folder would be."""
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, request["out"], os.O_WRONLY | os.O_CREAT),
        (2, request["err"], os.O_WRONLY | os.O_CREAT),
    ):
        handle = os.open(path, flags, 0o600)
        os.dup2(handle, number)
        os.close(handle)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    name, *argv = request["argv"]
    script = name.endswith(".py")
    sys.argv = [name, *argv]
    sys.path[0] = str(Path(name).absolute().parent) if script else request["cwd"]
    if str(ROOT) not in sys.path:
        sys.path.insert(1, str(ROOT))
    if script:
        runpy.run_path(name, run_name="__main__")
    else:
        runpy.run_module(name, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):
            __import__(name)
    asked = serve()
    if asked is not None:
        become(asked)

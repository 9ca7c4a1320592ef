"""Emulators for the tests. Each has its own process and its own address, because the ports are fixed."""

import contextlib
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from deploy.emulator.console import Console, ConsoleError

ROOT = Path(__file__).parents[2]
CLIENTS = Path(__file__).parent / "emulator" / "clients"
# One block of addresses a test process, so that two runs on one machine don't meet.
ADDRESSES = (f"127.{os.getpid() >> 8 & 127 | 1}.{os.getpid() & 255}.{i}" for i in itertools.count(2))


class Running:
    """An emulator's process at `ip`, with a console."""

    def __init__(self, *flags: str):
        self.ip = next(ADDRESSES)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "deploy.emulator", "--ip", self.ip, "--parent-pid", str(os.getpid()), *flags],
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        self.ready = json.loads(self.process.stdout.readline())
        self.console = Console(self.ip)

    def run_free(self) -> None:
        """Lets time pass without end; in lockstep as fast as the client and this machine can."""

        def grant():
            with contextlib.suppress(ConsoleError), Console(self.ip) as console:
                console.ask("grant", until_ms=10**9)

        threading.Thread(target=grant, daemon=True).start()

    def client(self, library: str, scenario: str, *arguments, python: str = sys.executable, on_line=None) -> dict:
        """The report of the client's scenario. `on_line(line)` gets the lines that it prints before."""
        script, others = CLIENTS / f"{library}_client.py", os.environ.get("PYTHONPATH", "").split(os.pathsep)
        process = subprocess.Popen(
            [python, str(script), scenario, self.ip, *map(json.dumps, arguments)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *others])},
        )
        patience = threading.Timer(200, process.kill)
        patience.start()
        try:
            for line in process.stdout:
                if line.startswith("{"):
                    return json.loads(line)
                if on_line is not None:
                    on_line(line.strip())
            raise AssertionError(f"{library}'s {scenario} ended with {process.wait()} and no report")
        finally:
            patience.cancel()
            process.kill()
            process.wait()
            process.stdout.close()

    def inject(self, **fault):
        """For `on_line`: injects the fault when the client's motion has run for 50 ms."""

        def on_line(line):
            since_ms, end_s = None, time.monotonic() + 20
            while time.monotonic() < end_s:
                info = self.console.ask("info")
                if info["mode"] == "move":
                    since_ms = since_ms or info["time_ms"]
                    if info["time_ms"] > since_ms + 50:
                        return self.console.ask("fault", **fault)
                time.sleep(0.002)
            raise AssertionError("the client started no motion in 20 s")

        return on_line

    def close(self) -> None:
        self.console.close()
        self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()

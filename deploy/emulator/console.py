"""The operator's console over TCP: each line is a JSON request, each reply a JSON line. docs/emulator.md lists the
requests.

    python -m deploy.emulator.console '{"do": "fault", "name": "user_stop"}' 127.0.0.1

sends one request to the emulator at IP[:PORT] and prints its reply. In Python:

    Console("127.0.0.1").ask("fault", name="user_stop")

Exit codes: 0 for a reply, 2 for a request that is refused or an emulator that is not there (one sentence).
"""

import argparse
import inspect
import json
import math
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from toto_robot.ground.errors import UserError, expected, unknown

CONSOLE_PORT = 1339
LONGEST = 1 << 16
"""The longest request in bytes."""


class ConsoleError(UserError):
    """The emulator refused a request, or there is no emulator."""


def number(name: str, got: Any, low: float, high: float, whole: bool = True) -> Any:
    """The argument `name` of a request as an int, or as a float if it need not be `whole`. Raises ConsoleError for
    anything but a number from `low` to `high`."""
    good = isinstance(got, int | float) and not isinstance(got, bool) and low <= got <= high
    if not good or (whole and got != math.floor(got)):
        kind = "a whole number" if whole else "a number"
        raise expected(name, f"{kind} from {low:g} to {high:g}", f"{got!r:.80}", error=ConsoleError)
    return int(got) if whole else float(got)


def call(functions: Mapping[str, Callable], kind: str, name: Any, arguments: dict) -> Any:
    """Calls `functions[name]` with the arguments of a request. Raises ConsoleError for an unknown name, and for
    arguments that are missing or unknown."""
    if not isinstance(name, str) or name not in functions:
        raise unknown(kind, str(name)[:80], functions, error=ConsoleError)
    try:
        inspect.signature(functions[name]).bind(**arguments)
    except TypeError as error:
        raise ConsoleError(f"{kind} {name}: {error}") from None
    return functions[name](**arguments)


class Console:
    """A client of the console. Several may be open; each belongs to one thread."""

    def __init__(self, ip: str = "127.0.0.1", port: int = CONSOLE_PORT, timeout_s: float | None = None):
        try:
            self._socket = socket.create_connection((ip, port), timeout=5.0)
        except OSError as error:
            raise ConsoleError(
                f"no emulator's console at {ip}:{port} ({error}); start one with "
                f"`python -m deploy.emulator --ip {ip} --console-port {port}`"
            ) from error
        self._socket.settimeout(timeout_s)
        self._file = self._socket.makefile("rwb")

    def ask(self, do: str, **arguments) -> dict:
        """The reply, without its "ok". If the emulator refuses, its sentence is raised as a ConsoleError."""
        self.send(do, **arguments)
        return self.receive()

    def send(self, do: str, **arguments) -> None:
        """Sends a request. `receive` reads the reply later."""
        self.put({"do": do, **arguments})

    def put(self, request: dict) -> None:
        """Sends a request as it is."""
        try:
            self._file.write(json.dumps(request).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise ConsoleError(f"the emulator did not take the request {request} ({error})") from error

    def receive(self) -> dict:
        """The reply to the oldest request without a reply."""
        try:
            line = self._file.readline()
        except OSError as error:
            raise ConsoleError(f"the emulator did not answer ({error})") from error
        if not line:
            raise ConsoleError("the emulator closed its console before it answered")
        reply = json.loads(line)
        if not reply.pop("ok"):
            raise ConsoleError(reply["error"])
        return reply

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def __enter__(self) -> "Console":
        return self

    def __exit__(self, *exception) -> None:
        self.close()


class ConsoleServer:
    """Answers requests with `answer(request) -> dict`, which raises ConsoleError to refuse. Each connection has a
    thread."""

    def __init__(self, ip: str, port: int, answer):
        self._answer = answer
        self._listener = socket.create_server((ip, port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, name="console", daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                tcp, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._session, args=(tcp,), name="console session", daemon=True).start()

    def _session(self, tcp: socket.socket) -> None:
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with tcp, tcp.makefile("rwb") as file:
            try:
                while line := file.readline(LONGEST + 1):
                    file.write(json.dumps(self._reply(line)).encode() + b"\n")
                    file.flush()
                    if len(line) > LONGEST:
                        break  # where the next request begins is not known
            except OSError:
                pass  # the client is gone

    def _reply(self, line: bytes) -> dict:
        """Every line gets a reply. A request that meets a bug of the emulator is refused, with the traceback on
        stderr."""
        try:
            return {"ok": True, **self._answer(parse(line))}
        except ConsoleError as error:
            return {"ok": False, "error": f"{error}"}
        except Exception as error:
            traceback.print_exc()
            return {"ok": False, "error": f"the emulator failed at this request: {type(error).__name__}: {error}"}


def parse(line: bytes | str) -> dict:
    """The request in a line. Raises ConsoleError if it is not a JSON object."""
    try:
        request = json.loads(line) if len(line) <= LONGEST else None
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict):
        wanted = f'a JSON object with a key "do", of at most {LONGEST} bytes'
        raise expected("request", wanted, f"{line[:80]!r}", error=ConsoleError)
    return request


def main(argv: list[str] | None = None) -> int:
    """Sends one request and prints its reply."""
    arguments = argparse.ArgumentParser(
        "python -m deploy.emulator.console",
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument("request", help="a JSON object; docs/emulator.md lists them")
    arguments.add_argument("address", nargs="?", default="127.0.0.1", metavar="IP[:PORT]", help="127.0.0.1 by default")
    given = arguments.parse_args(argv)
    ip, _, port = given.address.partition(":")
    try:
        request = parse(given.request)
        at = number("PORT", int(port) if port.isdecimal() else port or CONSOLE_PORT, 1, 65535)
        with Console(ip, at) as console:
            console.put(request)
            print(json.dumps(console.receive()))
    except ConsoleError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The operator's console over TCP: each line is a JSON request, each reply a JSON line. docs/emulator.md lists the
requests.

Console("127.0.0.1").ask("fault", name="user_stop")
"""

import json
import socket
import sys
import threading

from toto_robot.ground.errors import UserError

CONSOLE_PORT = 1339


class ConsoleError(UserError):
    """The emulator refused a request, or there is no emulator."""


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
        try:
            self._file.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise ConsoleError(f"the emulator did not take the request {do!r} ({error})") from error

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
                for line in file:
                    file.write(json.dumps(self._reply(line)).encode() + b"\n")
                    file.flush()
            except OSError:
                pass  # the client is gone

    def _reply(self, line: bytes) -> dict:
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise ConsoleError('a request is a JSON object with a key "do"')
            return {"ok": True, **self._answer(request)}
        except (ConsoleError, json.JSONDecodeError, TypeError, ValueError) as error:
            return {"ok": False, "error": f"{error}"}


def main(argv: list[str]) -> int:
    """Sends one request and prints its reply."""
    if len(argv) not in (1, 2) or not argv[0].startswith("{"):
        print('usage: python -m deploy.emulator.console \'{"do": "info"}\' [IP[:PORT]]', file=sys.stderr)
        return 2
    ip, _, port = (argv[1] if len(argv) == 2 else "127.0.0.1").partition(":")
    try:
        with Console(ip, int(port or CONSOLE_PORT)) as console:
            request = json.loads(argv[0])
            print(json.dumps(console.ask(request.pop("do"), **request)))
    except (ConsoleError, ValueError, KeyError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

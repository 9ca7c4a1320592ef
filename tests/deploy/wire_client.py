"""A client of the robot's server that does what libfranka does, one step at a time, so a test can delay each step."""

import select
import socket
import struct

import numpy as np

from deploy.emulator.wire import (
    PROTOCOLS,
    ROBOT_HEADER,
    ROBOT_PORT,
    Control,
    Generator,
    MoveStatus,
    message,
    read_message,
)

PROTOCOL = PROTOCOLS[10]
NUMBER = {name: i for i, name in enumerate(PROTOCOL.commands)}


class WireClient:
    """Connected to the robot at `ip`. It drops every state whose number is not newer, as libfranka does."""

    def __init__(self, ip: str):
        self.tcp = socket.create_connection((ip, ROBOT_PORT), timeout=20)
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.udp.settimeout(20)
        self.ask("Connect", struct.pack("<HH", 10, self.udp.getsockname()[1]))
        self.number, self.dropped = -1, 0
        self.state()

    def ask(self, command: str, payload: bytes = b"") -> int:
        """The status of the reply."""
        self.tcp.sendall(message(ROBOT_HEADER, NUMBER[command], 7, payload))
        return read_message(self.tcp, ROBOT_HEADER, 1 << 20)[2][0]

    def state(self) -> np.void:
        """The newest state that has come, or the next one."""
        newest = None
        while newest is None or select.select([self.udp], [], [], 0)[0]:
            data, self._server = self.udp.recvfrom(4096)
            state = np.frombuffer(data, PROTOCOL.state)[0]
            if state["message_id"] > self.number:
                newest, self.number = state, int(state["message_id"])
            else:
                self.dropped += 1
        return newest

    def begin_torques(self) -> None:
        """Starts a motion with torques and waits until the state reports it."""
        move = struct.pack("<II6d?7d", Control.EXTERNAL, Generator.NONE, *[1.0] * 6, False, *[0.0] * 7)
        assert self.ask("Move", move) == MoveStatus.MOTION_STARTED
        while self.state()["controller_mode"] != Control.EXTERNAL:
            pass

    def answer(self, tau_nm, finished: bool = False) -> None:
        """Answers the newest state."""
        command = np.zeros((), PROTOCOL.command)
        command["message_id"], command["tau_J_d"], command["torque_command_finished"] = self.number, tau_nm, finished
        self.udp.sendto(command.tobytes(), self._server)

    def close(self) -> None:
        self.tcp.close()
        self.udp.close()

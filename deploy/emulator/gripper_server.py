"""The gripper's server: it receives commands over TCP and sends the state over UDP."""

import contextlib
import socket
import struct
import threading
import time

from deploy.emulator.gripper import MAX_WIDTH_M, Hand
from deploy.emulator.wire import (
    GRIPPER_COMMANDS,
    GRIPPER_HEADER,
    GRIPPER_PORT,
    GRIPPER_STATE,
    GRIPPER_VERSION,
    GripperReply,
    message,
    read_message,
)

STATE_PERIOD_S = 0.03
"""Wall time, with both clocks, because a client that is asked for the width waits for the next state."""
TEMPERATURE_C = 30


class GripperServer:
    """Listens on `ip`. It holds `lock` while it uses `hand`. `width_m()` is the measured width."""

    def __init__(self, ip: str, hand: Hand, width_m, lock: threading.RLock):
        self.ip, self.hand, self.width_m, self.lock = ip, hand, width_m, lock
        self._listener = socket.create_server((ip, GRIPPER_PORT))
        threading.Thread(target=self._serve, name="gripper", daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                tcp, (client_ip, _) = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._session, args=(tcp, client_ip), name="gripper session", daemon=True).start()

    def _session(self, tcp: socket.socket, client_ip: str) -> None:
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        open_ = threading.Event()
        open_.set()
        try:
            number, command_id, body = read_message(tcp, GRIPPER_HEADER)
            if GRIPPER_COMMANDS[number] != "Connect":
                return
            version, port = struct.unpack("<HH", body)
            status = struct.pack("<HH", version != GRIPPER_VERSION, GRIPPER_VERSION)
            tcp.sendall(message(GRIPPER_HEADER, 0, command_id, status))
            if version != GRIPPER_VERSION:
                return
            threading.Thread(
                target=self._stream, args=((client_ip, port), open_), name="gripper state", daemon=True
            ).start()
            while True:
                self._handle(tcp, *read_message(tcp, GRIPPER_HEADER))
        except (OSError, struct.error, IndexError):
            pass
        finally:
            open_.clear()
            tcp.close()

    def _handle(self, tcp: socket.socket, number: int, command_id: int, body: bytes) -> None:
        def reply(status: GripperReply) -> None:
            with contextlib.suppress(OSError):  # the client is gone; the hand finishes its command
                tcp.sendall(message(GRIPPER_HEADER, number, command_id, struct.pack("<H", status)))

        name = GRIPPER_COMMANDS[number]
        with self.lock:
            if name == "Homing":
                self.hand.homing(reply)
            elif name == "Move":
                width_m, speed_m_s = struct.unpack("<dd", body)
                self.hand.move(width_m, speed_m_s, reply)
            elif name == "Grasp":
                width_m, inner_m, outer_m, speed_m_s, force_n = struct.unpack("<5d", body)
                self.hand.grasp(width_m, speed_m_s, force_n, inner_m, outer_m, reply)
            elif name == "Stop":
                self.hand.stop()
                reply(GripperReply.SUCCESS)

    def _stream(self, address, open_: threading.Event) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind((self.ip, 0))
            count = 0
            while open_.is_set():
                count += 1
                # Without the lock: a busy loop might hold it for longer than the second that a client waits.
                state = GRIPPER_STATE.pack(count, self.width_m(), MAX_WIDTH_M, self.hand.grasped, TEMPERATURE_C)
                with contextlib.suppress(OSError):  # the client is gone; the TCP side ends this loop
                    udp.sendto(state, address)
                time.sleep(STATE_PERIOD_S)

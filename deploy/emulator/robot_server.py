"""The robot's server for one client: commands come over TCP; states and the client's answers go over UDP."""

import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from deploy.emulator import model_library
from deploy.emulator.arm import F_T_NE, HAND_COM_M, HAND_INERTIA_KGM2, HAND_MASS_KG, urdf
from deploy.emulator.controller import Command, Controller
from deploy.emulator.faults import Faults
from deploy.emulator.plant import Plant, Sensed
from deploy.emulator.wire import (
    PROTOCOLS,
    ROBOT_HEADER,
    ROBOT_PORT,
    Control,
    MoveStatus,
    Reply,
    message,
    read_exactly,
    read_message,
    setter,
)


class RobotServer:
    """Listens on `ip`. All code that uses `controller` or `plant` holds `lock`. Each millisecond the loop calls `take`,
    `publish` and `settle` in this order, and in lockstep `wait_answered` before them. `wake()` is called after each
    command."""

    def __init__(
        self,
        ip: str,
        version: int,
        controller: Controller,
        plant: Plant,
        faults: Faults,
        lock: threading.RLock,
        wake: Callable[[], None],
    ):
        self.ip, self.protocol = ip, PROTOCOLS[version]
        self.controller, self.plant, self.faults, self.lock, self.wake = controller, plant, faults, lock, wake
        self.commands = self.connections = 0
        self.tcp: socket.socket | None = None
        self.udp: socket.socket | None = None
        self._number = {name: i for i, name in enumerate(self.protocol.commands)}
        self._state = np.zeros((), self.protocol.state)
        self._move_id: int | None = None
        self._recovery_id: int | None = None
        """The commands whose end the client has not been told yet."""
        self._count = self._sent = self._taken = self._client_port = self._greetings = 0
        self._pending: np.void | None = None
        self._sensed: Sensed | None = None
        self._lost, self._begun = False, False
        self._listener = socket.create_server((ip, ROBOT_PORT))
        threading.Thread(target=self._serve, name="robot", daemon=True).start()

    @property
    def F_T_EE(self) -> np.ndarray:
        """The end effector in the flange frame, (4, 4)."""
        return F_T_NE @ self.controller.settings["NE_T_EE"].reshape(4, 4, order="F")

    # ------------------------------------------------------------------------------------------------------------- TCP

    def _serve(self) -> None:
        session = None
        while True:
            try:
                tcp, (client_ip, _) = self._listener.accept()
            except OSError:
                return
            if session is not None:
                session.join(1.0)  # a client that has just closed may come back at once
            if session is not None and session.is_alive():
                tcp.close()
                continue
            session = threading.Thread(target=self._session, args=(tcp, client_ip), name="session", daemon=True)
            session.start()

    def _session(self, tcp: socket.socket, client_ip: str) -> None:
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if self._connect(tcp, client_ip):
                while True:
                    number, command_id, body = read_message(tcp, ROBOT_HEADER)
                    with self.lock:
                        self.commands += 1
                        self._handle(number, command_id, body)
                    self.wake()
        except OSError:
            pass
        finally:
            with self.lock:
                self.controller.abandon()
                self.controller.ended = self._move_id = self._recovery_id = None
                for each in (tcp, self.udp):
                    if each is not None:
                        each.close()
                self.tcp = self.udp = None

    def _connect(self, tcp: socket.socket, client_ip: str) -> bool:
        number, command_id, size = ROBOT_HEADER.unpack(read_exactly(tcp, ROBOT_HEADER.size))
        if number != 0 or size != ROBOT_HEADER.size + 4:
            return False
        version, port = struct.unpack("<HH", read_exactly(tcp, 4))
        own = self.faults.version or self.protocol.version
        with self.lock:
            tcp.sendall(message(ROBOT_HEADER, 0, command_id, struct.pack("<BH", version != own, own)))
            if version != own:
                return False
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            udp.bind((self.ip, 0))
            udp.connect((client_ip, port))
            udp.setblocking(False)
            self.tcp, self.udp, self._client_port, self._pending = tcp, udp, port, None
            self.connections += 1
            udp.send(self._state.tobytes())  # the client waits for a state, and time may stand still
            return True

    def _reply(self, name: str, command_id: int, status: int, extra: bytes = b"") -> None:
        if self.tcp is None:
            return
        with contextlib.suppress(OSError):  # the client is gone; the reading side ends the session
            self.tcp.sendall(message(ROBOT_HEADER, self._number[name], command_id, bytes([status]) + extra))

    def _handle(self, number: int, command_id: int, body: bytes) -> None:
        if number >= len(self.protocol.commands):
            raise ConnectionError(f"protocol {self.protocol.version} has no command {number}")
        name = self.protocol.commands[number]
        if name == "Move":
            self._move(command_id, body)
        elif name == "StopMove":
            self.controller.stop_move()
            self._reply(name, command_id, Reply.SUCCESS)
            self.settle()
        elif name == "AutomaticErrorRecovery":
            status = self.controller.recover()
            if status is Reply.SUCCESS:
                self._recovery_id = command_id
            else:
                self._reply(name, command_id, status)
        elif name == "GetRobotModel":
            self._reply(name, command_id, Reply.SUCCESS, urdf(self.plant.model, self.controller.limits).encode())
        elif name == "LoadModelLibrary":
            library = model_library.build(self.plant.model, *body) if len(body) == 2 else None
            self._reply(name, command_id, library is None, library or b"")
        elif name == "GetCartesianLimit":
            self._reply(name, command_id, Reply.SUCCESS, np.zeros(22).tobytes() + b"\0")  # an inactive wall
        else:
            self._set(name, command_id, body)

    def _move(self, command_id: int, body: bytes) -> None:
        try:
            status = self.controller.move(self.protocol.move(body))
        except ValueError:
            status = MoveStatus.INVALID_ARGUMENT
        self._reply("Move", command_id, status)
        if status is MoveStatus.MOTION_STARTED:
            self._move_id, self._pending, self._lost, self._begun = command_id, None, False, False
            self._taken, self._greetings = self._sent, 2

    def _set(self, name: str, command_id: int, body: bytes) -> None:
        try:
            status = self.controller.set(name, setter(name, body))
        except ValueError:
            status = Reply.INVALID_ARGUMENT
        self._reply(name, command_id, status)

    # ------------------------------------------------------------------------------------------------------------- UDP

    def take(self) -> tuple[Command | None, bool]:
        """The newest command since the last call, and whether the network lost it (an injected fault)."""
        self._receive()
        packet, self._pending = self._pending, None
        lost, self._lost = self._lost, False
        if packet is None:
            return None, lost
        return Command(packet["q_c"], packet["dq_c"], packet["tau_J_d"], self.protocol.finished(packet)), False

    def _receive(self) -> None:
        while self.udp is not None:
            try:
                data = self.udp.recv(2048)
            except BlockingIOError:
                return
            except OSError:
                continue  # the client's port was closed a moment ago
            if len(data) != self.protocol.command.itemsize:
                continue
            packet = np.frombuffer(data, self.protocol.command)[0]
            motion = self.controller.motion
            # Several targets of an asynchronous motion may come for one state.
            if packet["message_id"] < self._taken + (motion is None or not motion.use_async):
                continue
            self._taken, self._begun = int(packet["message_id"]), True
            if self.faults.loses_packet():
                self._lost = True
            else:
                self._pending = packet

    @property
    def _answers_all(self) -> bool:
        """Whether a motion runs whose client answers every state."""
        motion = self.controller.motion
        return self.udp is not None and motion is not None and not motion.use_async

    @property
    def owes_answer(self) -> bool:
        """Whether the client must answer before the next millisecond of its motion."""
        return self._answers_all and (not self._begun or self._taken < self._sent)

    @property
    def hurries(self) -> bool:
        """Whether the client waits for the end of its motion or of an error recovery. It can't ask for time then."""
        last = self._pending if self.controller.motion is not None else None
        return self._recovery_id is not None or (last is not None and self.protocol.finished(last))

    def wait_answered(self, timeout_s: float) -> bool:
        """For lockstep: waits while the client owes an answer. False: it still owes it after `timeout_s` of wall time.

        At the start of a motion libfranka waits for a state that reports the motion, and answers the state after it.
        Each of the two is sent when the client has read all states before it, because of two it sees only one.
        """
        end_s = time.monotonic() + timeout_s
        while True:
            with self.lock:
                self._receive()
                udp, owes = self.udp, self.owes_answer
                if owes and not self._begun and self._greetings and not _unread(self._client_port):
                    self._greetings -= 1
                    self.repeat()
            if udp is None or not owes:
                return True
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                return False
            with contextlib.suppress(OSError, ValueError):  # the session has ended
                select.select([udp], [], [], min(left_s, 0.005 if self._begun else 0.001))

    def publish(self, sensed: Sensed) -> None:
        """Sends the next state."""
        self._fill(sensed)
        self._sensed, self._count = sensed, self._count + 1
        if self.faults.in_gap():
            self._receive()
            self._pending = None
        else:
            self._send()

    def repeat(self) -> None:
        """Sends the last state again as the next one, although no time has passed: clients drop a number that they
        know."""
        if self._sensed is not None:
            self.publish(self._sensed)
            self.settle()

    def keep_alive(self) -> None:
        """Sends a state although no time has passed, because a client gives up after 1 s without one. In a running
        motion the client drops it, so it takes no step that the arm does not take."""
        if not self._answers_all or not self._begun:
            self.repeat()
        elif not self.faults.in_gap():
            self._send()

    def _send(self) -> None:
        if self.udp is not None:
            self._sent = int(self._state["message_id"])
            with contextlib.suppress(OSError):  # the client is gone; the session is about to end
                self.udp.send(self._state.tobytes())

    def settle(self) -> None:
        """Tells the client how its motion or its error recovery has ended."""
        if self.controller.ended is not None and self._move_id is not None:
            self._reply("Move", self._move_id, self.controller.ended)
            self._move_id = self.controller.ended = None
        if self._recovery_id is not None and not self.controller.recovering_ms:
            self._reply("AutomaticErrorRecovery", self._recovery_id, Reply.SUCCESS)
            self._recovery_id = None

    def close_tcp(self) -> bool:
        """Closes the client's connection, as an injected fault. Returns whether there was one."""
        if self.tcp is None:
            return False
        self.tcp.shutdown(socket.SHUT_RDWR)
        return True

    def close(self) -> None:
        self._listener.close()
        if self.tcp is not None:
            self.tcp.close()

    def _fill(self, sensed: Sensed) -> None:
        state, c, flat = self._state, self.controller, lambda pose: pose.ravel(order="F")
        F_T_EE = self.F_T_EE
        tau_before = state["tau_J"].copy()
        state["message_id"] = self._count
        state["O_T_EE"] = flat(sensed.O_T_F @ F_T_EE)
        desired = self.plant.flange(c.q_d) @ F_T_EE
        state["O_T_EE_d"] = state["O_T_EE_c"] = flat(desired)
        state["F_T_EE"], state["F_T_NE"] = flat(F_T_EE), flat(F_T_NE)
        state["m_ee"], state["F_x_Cee"], state["I_ee"] = HAND_MASS_KG, HAND_COM_M, np.diag(HAND_INERTIA_KGM2).ravel()
        for name in ("NE_T_EE", "EE_T_K", "m_load", "F_x_Cload", "I_load"):
            state[name] = c.settings[name]
        for name, q in (("elbow", sensed.q_rad), ("elbow_d", c.q_d), ("elbow_c", c.q_d)):
            state[name] = q[2], np.sign(q[3])
        state["tau_J"], state["tau_J_d"] = sensed.tau_nm, c.tau_d
        state["dtau_J"] = (state["tau_J"] - tau_before) * 1000
        state["q"] = state["theta"] = sensed.q_rad
        state["dq"] = state["dtheta"] = sensed.dq_rad_s
        state["q_d"], state["dq_d"], state["ddq_d"] = c.q_d, c.dq_d, c.ddq_d
        state["O_dP_EE_d"] = state["O_dP_EE_c"] = sensed.jacobian @ c.dq_d
        state["O_ddP_O"] = 0, 0, -9.81
        state["tau_ext_hat_filtered"], state["O_F_ext_hat_K"] = sensed.tau_ext_nm, sensed.wrench
        turn = (desired @ c.settings["EE_T_K"].reshape(4, 4, order="F"))[:3, :3].T
        state["K_F_ext_hat_K"][:3], state["K_F_ext_hat_K"][3:] = turn @ sensed.wrench[:3], turn @ sensed.wrench[3:]
        for name, level in (("contact", "lower"), ("collision", "upper")):
            state[f"joint_{name}"] = np.abs(sensed.tau_ext_nm) > c.settings[f"tau_{level}_nominal"]
            state[f"cartesian_{name}"] = np.abs(sensed.wrench) > c.settings[f"force_{level}_nominal"]
        state["motion_generator_mode"], state["controller_mode"] = self._modes()
        state["errors"], state["reflex_reason"] = c.errors, c.last_motion_errors
        state["robot_mode"], state["control_command_success_rate"] = c.mode, c.success_rate

    def _modes(self) -> tuple[int, int]:
        motion = self.controller.motion
        if motion is None:
            return 0, Control.OTHER
        return motion.generator + 1, motion.control


def _unread(port: int) -> bool:
    """Whether a UDP socket of this machine at `port` holds data that its owner has not read. False on systems without
    this information; Linux has it."""
    try:
        rows = Path("/proc/net/udp").read_text().splitlines()[1:]
    except OSError:
        return False
    fields = (row.split() for row in rows)
    return any(field[1].endswith(f":{port:04X}") and not field[4].endswith(":00000000") for field in fields)

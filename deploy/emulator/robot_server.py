"""The robot's server for one client: commands come over TCP; states and the client's answers go over UDP."""

import contextlib
import select
import socket
import struct
import threading
import time
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
    `publish` and `settle` in this order, and in lockstep `wait_answered` between them."""

    def __init__(
        self, ip: str, version: int, controller: Controller, plant: Plant, faults: Faults, lock: threading.RLock
    ):
        self.ip, self.protocol = ip, PROTOCOLS[version]
        self.controller, self.plant, self.faults, self.lock = controller, plant, faults, lock
        self.commands = self.connections = 0
        self.tcp: socket.socket | None = None
        self.udp: socket.socket | None = None
        self._number = {name: i for i, name in enumerate(self.protocol.commands)}
        self._state = np.zeros((), self.protocol.state)
        self._move_id: int | None = None
        self._recovery_id: int | None = None
        """The commands whose end the client has not been told yet."""
        self._sent = self._taken = self._client_port = self._handshake = 0
        self._pending, self._lost, self._due, self._announced = None, False, False, False
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
            self.tcp, self.udp, self._client_port, self._pending, self._due = tcp, udp, port, None, False
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
            library = model_library.build(self.plant.model, *body[:2])
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
            self._move_id, self._pending, self._lost, self._due = command_id, None, False, False
            self._taken, self._handshake = self._sent, 2

    def _set(self, name: str, command_id: int, body: bytes) -> None:
        try:
            status = self.controller.set(name, setter(name, body))
        except (ValueError, KeyError):
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
            self._taken = int(packet["message_id"])
            if self.faults.loses_packet():
                self._lost = True
            else:
                self._pending = packet

    def wait_answered(self, timeout_s: float) -> None:
        """For lockstep: returns when the client has answered the last state, or if no answer is due, or after
        `timeout_s` of wall time.

        At the start of a motion it waits until the client has read the state. The client answers from the second state
        of a motion on, and if two states wait together, it sees only one of them.
        """
        end_s = time.monotonic() + timeout_s
        while time.monotonic() < end_s:
            with self.lock:
                self._receive()
                udp, running = self.udp, self.controller.motion is not None
                due = running and self._due and self._taken < self._sent
                starting = running and self._handshake > 0
            if udp is None or not (due or starting and _unread(self._client_port)):
                self._handshake -= starting
                return
            try:
                select.select([udp], [], [], 0.005 if due else 0.001)
            except (OSError, ValueError):
                return  # the session has ended

    def publish(self, time_ms: int, sensed: Sensed) -> None:
        """Sends the state with the number `time_ms`."""
        self._fill(time_ms, sensed)
        motion = self.controller.motion
        # libfranka does not answer the first state of a motion, and answers every state from the second on.
        self._due = motion is not None and not motion.use_async and self._announced
        self._announced = motion is not None
        if self.udp is None:
            return
        if self.faults.in_gap():
            self._receive()
            self._pending, self._due = None, False
            return
        self._sent = time_ms
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

    def _fill(self, time_ms: int, sensed: Sensed) -> None:
        state, c, flat = self._state, self.controller, lambda pose: pose.ravel(order="F")
        F_T_EE = self.F_T_EE
        tau_before = state["tau_J"].copy()
        state["message_id"] = time_ms
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

"""The wire format: its sizes, and packed values come back."""

import contextlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deploy.emulator import wire
from deploy.emulator.wire import PROTOCOLS, Control, Generator

numbers = arrays(np.float64, 7, elements=st.floats(-1e3, 1e3))


@pytest.mark.parametrize("version, state, command", [(10, 1377, 371), (5, 2373, 370)])
def test_state_and_command_have_the_clients_sizes(version, state, command):
    protocol = PROTOCOLS[version]
    assert protocol.state.itemsize == state and protocol.command.itemsize == command


def test_there_are_41_errors_and_no_two_are_the_same():
    assert len(set(wire.ERRORS)) == len(wire.ERRORS) == 41
    assert wire.ERRORS.index("communication_constraints_violation") == 25


@given(st.sampled_from([10, 5]), st.data())
def test_a_state_comes_back_from_its_bytes(version, data):
    dtype = PROTOCOLS[version].state
    state = np.zeros((), dtype)
    name = data.draw(st.sampled_from(dtype.names))
    state[name] = data.draw(st.integers(0, 1 if dtype[name].base == np.uint8 else 100))
    assert np.frombuffer(state.tobytes(), dtype)[0] == state


@given(st.sampled_from([10, 5]), numbers, numbers, st.booleans())
def test_a_command_comes_back_from_its_bytes(version, q, tau, finished):
    protocol = PROTOCOLS[version]
    command = np.zeros((), protocol.command)
    command["q_c"], command["tau_J_d"] = q, tau
    command[protocol.command.names[-1] if version == 10 else "motion_generation_finished"] = finished
    back = np.frombuffer(command.tobytes(), protocol.command)[0]
    assert (back["q_c"] == q).all() and (back["tau_J_d"] == tau).all() and protocol.finished(back) is finished


@given(st.sampled_from(list(Control)[:3]), st.sampled_from(list(Generator)), st.booleans(), numbers)
def test_a_move_of_protocol_10_comes_back(control, generator, use_async, velocity):
    body = struct.pack("<II6d?7d", control, generator, *[0.0] * 6, use_async, *velocity)
    move = PROTOCOLS[10].move(body)
    assert (move.control, move.generator, move.use_async) == (control, generator, use_async)
    assert (move.dq_max_rad_s == velocity).all()


@given(st.sampled_from([10, 5]), st.binary(max_size=200))
def test_a_move_that_makes_no_sense_is_a_value_error_or_a_move(version, body):
    with contextlib.suppress(ValueError):
        PROTOCOLS[version].move(body)


def test_the_setters_have_the_clients_sizes():
    for name, size in {
        "SetCollisionBehavior": 416,
        "SetJointImpedance": 56,
        "SetCartesianImpedance": 48,
        "SetEEToK": 128,
        "SetNEToEE": 128,
        "SetLoad": 104,
        "SetFilters": 40,
    }.items():
        values = wire.setter(name, np.arange(size // 8, dtype="<f8").tobytes())
        assert np.concatenate(list(values.values())).tolist() == list(range(size // 8))
        with pytest.raises(ValueError, match="payload"):
            wire.setter(name, bytes(size - 1))
    assert wire.setter("SetGuidingMode", bytes(range(7)))["guiding_mode"].tolist() == list(range(7))


def test_headers_have_the_clients_sizes():
    assert wire.ROBOT_HEADER.size == 12 and wire.GRIPPER_HEADER.size == 10 and wire.GRIPPER_STATE.size == 23
    assert len(wire.message(wire.ROBOT_HEADER, 0, 1, b"abc")) == 15

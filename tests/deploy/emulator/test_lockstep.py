"""In lockstep a run does not depend on how long a client takes: every delay here lasts for several keep-alives."""

import threading
import time

import numpy as np
import pytest
from emulated import ADDRESSES
from wire_client import WireClient

from deploy.emulator import clock
from deploy.emulator.console import Console
from deploy.emulator.emulator import Emulator
from deploy.emulator.wire import MoveStatus, Reply

KEEPALIVE_S, DELAY_S, MS = 0.02, 0.1, 40


@pytest.fixture
def emulator(monkeypatch):
    """A function that starts an emulator in this process, and gives it with a console and a client."""
    monkeypatch.setattr(clock, "KEEPALIVE_S", KEEPALIVE_S)
    running = []

    def start():
        made = Emulator(ip=next(ADDRESSES), clock="lockstep", console_port=0, seed=3)
        thread = threading.Thread(target=made.run)
        thread.start()
        console, client = Console(made.ip, made.console.port), WireClient(made.ip)
        running.append((made, thread, console, client))
        return made, console, client

    yield start
    for made, thread, console, client in running:
        client.close()
        console.close()
        made.shutdown()
        thread.join()


def drive(start, slow: str) -> dict:
    """A motion of `MS` granted milliseconds whose client is slow in the steps that `slow` names."""
    pause = lambda step, i: time.sleep(DELAY_S * (step in slow and i % 20 == 3))
    _, console, client = start()
    client.begin_torques()
    pause("start", 3)
    q0 = client.state()["q"]
    client.answer(np.zeros(7))
    for i in range(MS):
        pause("policy", i)
        console.send("grant", ms=1)
        pause("read", i)
        state = client.state()
        pause("answer", i)
        client.answer(30 * (q0 - state["q"]) - 5 * state["dq"] + 0.4 * np.sin(i / 5))
        console.receive()
    return {"physics": console.ask("physics"), "counters": console.ask("counters"), "dropped": client.dropped}


@pytest.mark.parametrize("slow", ["start", "policy", "read", "answer"])
def test_a_slow_client_gets_the_same_bits_and_loses_no_packet(emulator, slow):
    quick, delayed = drive(emulator, ""), drive(emulator, slow)
    assert delayed["physics"] == quick["physics"] and delayed["counters"] == quick["counters"]
    assert delayed["counters"]["lost_packets"] == 0 and delayed["physics"]["time_ms"] == MS
    assert np.ptp(quick["physics"]["qvel"][:7]) > 1e-3  # the arm has moved
    assert slow == "start" or delayed["dropped"] > 0  # it was kept alive with states that it knew


def test_the_end_of_a_motion_and_a_recovery_need_no_grant(emulator):
    made, console, client = emulator()
    client.begin_torques()
    client.state()
    client.answer(np.zeros(7), finished=True)
    assert client.tcp.recv(100)[12] == MoveStatus.SUCCESS
    while console.ask("info")["mode"] != "idle":
        client.state()
    assert console.ask("physics")["time_ms"] == 1
    console.ask("fault", name="reflex")
    assert client.ask("AutomaticErrorRecovery") == Reply.SUCCESS
    assert console.ask("physics")["time_ms"] == 3 and console.ask("info")["mode"] == "idle"


def test_a_client_that_only_reads_gets_new_states_while_time_stands_still(emulator):
    _, console, client = emulator()
    numbers = [int(client.state()["message_id"]) for _ in range(3)]
    assert numbers == sorted(set(numbers)) and console.ask("physics")["time_ms"] == 0

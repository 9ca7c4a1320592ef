"""A signal that asks to end, and a place that can't be written, end a command as the person expects."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

SLEEPER = """
    import sys, time
    from toto_robot.ground.ending import ends_like_ctrl_c
    try:
        with ends_like_ctrl_c():
            print("ready", flush=True)
            time.sleep(60)
    except KeyboardInterrupt:
        print("saved", flush=True)
        sys.exit(130)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_sigterm_and_sighup_end_it_like_ctrl_c(number):
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(SLEEPER)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert process.communicate(timeout=60)[0] == "saved\n" and process.returncode == 130


def test_a_signal_that_is_ignored_stays_ignored_and_the_handlers_come_back():
    from toto_robot.ground.ending import ends_like_ctrl_c

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ends_like_ctrl_c():
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.01)
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)

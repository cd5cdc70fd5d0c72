"""Signals to stop wait for the step to end; a second one does not wait."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from qnewton.lab._experiments.exits import exit_status
from qnewton.lab._experiments.interrupts import SIGNALS, Stopped, raised, remembered


@pytest.fixture(autouse=True)
def without_nohup():
    """The tests may themselves run under `nohup`, which has HUP ignored by them and by what they start."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("which", SIGNALS)
def test_a_signal_inside_is_remembered_and_nothing_else(which):
    before = signal.getsignal(which)
    with remembered() as asked:
        assert asked() is None
        os.kill(os.getpid(), which)
        done = ["the rest of the step"]
        assert asked() == which
    assert done
    assert signal.getsignal(which) is before


@pytest.mark.parametrize("which", SIGNALS)
def test_outside_of_steps_a_signal_ends_the_command_with_its_status(which):
    before = signal.getsignal(which)
    with pytest.raises(Stopped, match=which.name) as stopped, raised():
        os.kill(os.getpid(), which)
    assert exit_status(stopped.value) == 128 + which
    assert signal.getsignal(which) is before
    assert exit_status(KeyboardInterrupt()) == 130


class Finalized:
    """Whose end takes a signal with it, as anything may at which Python ignores errors."""

    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)


def finalize_and_go_on() -> None:
    Finalized()
    time.sleep(10)


def test_a_signal_that_comes_where_errors_are_ignored_is_sent_again(capsys):
    with pytest.raises(Stopped, match="SIGTERM"), raised():
        finalize_and_go_on()
    assert capsys.readouterr().err == ""


def test_a_signal_whose_error_was_swallowed_stops_the_run_after_a_step():
    with raised():
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.1)
        with remembered() as asked:
            assert asked() == signal.SIGTERM
    with remembered() as asked:
        assert asked() is None


def test_what_nohup_has_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with raised(), remembered() as asked:
            os.kill(os.getpid(), signal.SIGHUP)
            assert asked() is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_error_inside_is_not_hidden():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError, match="mine"), remembered():
        raise ValueError("mine")
    assert signal.getsignal(signal.SIGINT) is before


def test_outside_the_main_thread_it_does_nothing():
    seen = []

    def work() -> None:
        with raised(), remembered() as asked:
            seen.append(asked())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [None]


SLOW = """
import ctypes
from qnewton.lab._experiments.interrupts import remembered
with remembered():
    print("step", flush=True)
    # Compiled code, into which no handler of Python's gets: libc's sleep, which a signal cuts short.
    for _ in range(600): ctypes.CDLL(None).usleep(100_000)
print("end")
"""


def test_a_second_signal_ends_the_process_at_once():
    with subprocess.Popen([sys.executable, "-c", SLOW], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"step\n"
        process.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGHUP)
        assert process.wait(10) == 128 + signal.SIGHUP
        assert b"at the second signal" in process.stderr.read()
        assert process.stdout.read() == b"", "nothing of the rest was done"

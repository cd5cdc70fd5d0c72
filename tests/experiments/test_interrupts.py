"""Ctrl-C and SIGTERM wait for the step to end."""

import os
import signal
import threading

import pytest

from qnewton.lab._experiments.interrupts import remembered


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_inside_is_remembered_and_nothing_else(which):
    before = signal.getsignal(which)
    with remembered() as asked:
        assert not asked()
        os.kill(os.getpid(), which)
        done = ["the rest of the step"]
        assert asked()
    assert done
    assert signal.getsignal(which) is before


def test_an_error_inside_is_not_hidden():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError, match="mine"), remembered():
        raise ValueError("mine")
    assert signal.getsignal(signal.SIGINT) is before


def test_outside_the_main_thread_it_does_nothing():
    seen = []

    def work() -> None:
        with remembered() as asked:
            seen.append(asked())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]

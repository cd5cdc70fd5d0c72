"""Ctrl-C waits for the step to end."""

import os
import signal
import threading

import pytest

from qnewton.lab._experiments.interrupts import finish_before_interrupt


def test_an_interrupt_inside_is_raised_after_the_last_line():
    done = []
    before = signal.getsignal(signal.SIGINT)

    def step() -> None:
        with finish_before_interrupt():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("the rest of the step")

    with pytest.raises(KeyboardInterrupt):
        step()
    assert done == ["the rest of the step"]
    assert signal.getsignal(signal.SIGINT) is before


def test_an_error_inside_is_not_hidden():
    def step() -> None:
        with finish_before_interrupt():
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        step()


def test_outside_the_main_thread_it_does_nothing():
    seen = []

    def work() -> None:
        with finish_before_interrupt():
            seen.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [True]

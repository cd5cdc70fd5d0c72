"""Signals that ask a run to stop: Ctrl-C, and what terminals and batch systems send. Between steps, never inside one.

The first one lets the step end and be recorded; a second one ends the process at once.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from types import FrameType

from .._runfile import Summary

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
SIGNALS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
"""Ctrl-C; what `kill` and batch systems send; a closed terminal; the warnings of batch systems before a limit."""


_CAME: ContextVar[Sequence[int]] = ContextVar("came", default=())
"""Signals that came while each raised an error."""
_AGAIN_SECONDS = 0.01
"""After which a signal is sent again: by then Python is where errors are heard."""


class Stopped(KeyboardInterrupt):
    """Error for a signal that asked the command to stop.

    Attributes:
        signal: its number.
    """

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.signal = number


def stopped_by(summary: Summary) -> Stopped:
    """Return the error for a training that a signal ended, as its summary says."""
    return Stopped(signal.Signals[summary.signal or "SIGINT"])


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Raise `Stopped` inside of the block for each of these signals, but for one that `nohup` has it ignore.

    One whose error nobody heard is sent again where Python says so, and known to `remembered` in any case.
    """
    came: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        came.append(number)
        raise Stopped(number)

    token = _CAME.set(came)
    try:
        with _handled(stop), _sent_again():
            yield
    finally:
        _CAME.reset(token)


@contextlib.contextmanager
def _sent_again() -> Iterator[None]:
    """Send a signal again whose error was raised where Python ignores errors: in finalizers, and as it collects."""
    before = sys.unraisablehook
    timers: list[threading.Timer] = []

    def hear(found: "sys.UnraisableHookArgs") -> None:
        if not isinstance(found.exc_value, Stopped):
            before(found)
            return
        timers.append(threading.Timer(_AGAIN_SECONDS, signal.raise_signal, (found.exc_value.signal,)))
        timers[-1].daemon = True
        timers[-1].start()

    sys.unraisablehook = hear
    try:
        yield
    finally:
        sys.unraisablehook = before
        for timer in timers:
            timer.cancel()
            timer.join()


@contextlib.contextmanager
def remembered() -> Iterator[Callable[[], int | None]]:
    """Hold back the first signal inside of the block; yields what says which one came, if one did.

    A step's parameters and its records belong together: an interrupt between the two would leave one without the other.
    Several processes must stop after the same step besides. A second signal ends the process at once, also while a step
    computes. Outside the main thread, where Python delivers no signals, nothing is held back.
    """
    asked = list(_CAME.get())

    def remember(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    with _handled(remember), _second_ends():
        yield lambda: asked[0] if asked else None


@contextlib.contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # `nohup` asks for this one to be ignored; a shell that starts a command in the background, for Ctrl-C by accident.
    heard = [n for n in SIGNALS if not (n == signal.SIGHUP and signal.getsignal(n) is signal.SIG_IGN)]
    before = {number: signal.signal(number, handler) for number in heard}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextlib.contextmanager
def _second_ends() -> Iterator[None]:
    """End the process at the second signal, which a thread hears of while the main one is inside of a compiled step."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    listener = threading.Thread(target=_listen, args=(reading,), daemon=True)
    listener.start()
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writing)
        listener.join()
        os.close(reading)


def _listen(reading: int) -> None:
    count = 0
    while received := os.read(reading, 1):
        count += received[0] in SIGNALS
        if count == 2:
            with contextlib.suppress(OSError):
                print("qnewton: stopped at once, at the second signal", file=sys.stderr, flush=True)
            os._exit(128 + received[0])

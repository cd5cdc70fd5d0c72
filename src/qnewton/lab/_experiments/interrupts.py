"""Ctrl-C between steps, never inside one."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def finish_before_interrupt() -> Iterator[None]:
    """Hold back Ctrl-C until the block is done, then raise `KeyboardInterrupt`.

    A step's parameters and its records belong together: an interrupt between the two would leave one without the other.
    Outside the main thread, where Python delivers no signals, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = False

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if asked:
        raise KeyboardInterrupt

"""Ctrl-C and SIGTERM between steps, never inside one."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def remembered() -> Iterator[Callable[[], bool]]:
    """Hold back Ctrl-C and SIGTERM inside of the block; yields what says whether one came.

    A step's parameters and its records belong together: an interrupt between the two would leave one without the other.
    Several processes must stop after the same step besides. Outside the main thread, where Python delivers no signals,
    nothing is held back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    asked = False

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True

    before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""The exit statuses of the command line, but for 0: done."""

import signal

from .interrupts import Stopped

FAILED, BAD_INPUT, LOST, UNREAD = 1, 2, 3, 141
"""The training failed; bad input; the run's directory was removed or changed while it went on; the reader of the output
is gone, as of a program that SIGPIPE ended."""


def exit_status(error: KeyboardInterrupt) -> int:
    """Return what a shell expects of a command that a signal ended: 128 and its number."""
    return 128 + (error.signal if isinstance(error, Stopped) else signal.SIGINT)

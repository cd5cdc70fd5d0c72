"""Output to terminals, pipes and files of any kind."""

import contextlib
import io
import sys
from typing import Any


class Unheard:
    """A stream to which nobody need listen: what a closed pipe or terminal does not take is dropped."""

    def __init__(self, stream: Any):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write what the stream takes."""
        try:
            return self._stream.write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        """Hand on what was written, if anybody takes it."""
        with contextlib.suppress(OSError):
            self._stream.flush()


def open_to_all() -> None:
    """Let this process write to streams that know few characters, and go on where nobody reads its messages."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.stderr = Unheard(sys.stderr)

"""Output to terminals, pipes and files of any kind."""

import contextlib
import io
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

OBEYED = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
"""Characters of a regular expression: those that a terminal obeys, and those that turn the direction of text."""
_OBEYED = re.compile(f"[{OBEYED}]")
_OTHERS = re.compile(rf"(\x1b\[[\d;?]*[A-Za-z]|\r)|[{OBEYED}]")
"""Of what may be sequences of our own for a terminal."""
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def harmless(text: str) -> str:
    """Replace what a terminal obeys by U+FFFD, so that names from outside show and do nothing."""
    return _OBEYED.sub(_REPLACEMENT, text.replace("\r\n", "\n").replace("\r", "\n"))


class Harmless:
    """A stream that shows names from outside, and never obeys them; on a terminal colours and bars still work."""

    def __init__(self, stream: Any, colored: bool):
        """Wrap a stream.

        Args:
            stream: to wrap.
            colored: whether sequences for a terminal are handed on, if it is one.
        """
        self._stream, self._colored = stream, colored

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def isatty(self) -> bool:
        """Whether it is a terminal that is to have colours."""
        return self._colored and self._stream.isatty()

    def write(self, text: str) -> int:
        """Write the text without what a terminal would obey."""
        if self.isatty():
            self._stream.write(
                _OTHERS.sub(lambda found: found[1] or (found[0] if found[0] == "\r" else "\ufffd"), text)
            )
        else:
            self._stream.write(harmless(text))
        return len(text)


@contextlib.contextmanager
def showing(arguments: Sequence[str]) -> Iterator[None]:
    """Let no name do anything to a terminal inside of the block.

    Args:
        arguments: of the command; where one holds what a terminal obeys, nothing is coloured.
    """
    colored = not any(_OBEYED.search(argument) for argument in arguments)
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (Harmless(stream, colored) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


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

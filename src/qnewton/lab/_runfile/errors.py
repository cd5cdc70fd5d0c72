"""What is wrong with a run file, and text that can be shown anywhere."""

import re

_NOT_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


class RunFileError(ValueError):
    """A run file is missing or is not what `docs/run-files.md` says; the message names file, line and field."""


class NotJSONError(RunFileError):
    """The text is not JSON: perhaps it was cut off while it was written."""


def clean_text(text: str) -> str:
    """Replace what neither HTML nor SVG can hold (control characters, lone surrogates) by U+FFFD."""
    return _NOT_TEXT.sub("\N{REPLACEMENT CHARACTER}", text)

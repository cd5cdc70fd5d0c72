"""Errors in run files, and text that can be shown anywhere."""

import re

_NOT_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


class RunFileError(ValueError):
    """Error for a missing or invalid run file (see `docs/run-files.md`); the message names file, line and field."""


class NotJSONError(RunFileError):
    """Error for text that is not JSON, e.g. cut off while it was written."""


def clean_text(text: str) -> str:
    """Replace characters that neither HTML nor SVG can hold (control characters, lone surrogates) by U+FFFD."""
    return _NOT_TEXT.sub("\N{REPLACEMENT CHARACTER}", text)

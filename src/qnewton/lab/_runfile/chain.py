"""The checksum that ends each line of a `*.jsonl`: of the line, and of all lines before it.

So a line that was altered, moved, left out or taken from another run is noticed, also where a killed run has no
manifest.
"""

import contextlib
import zlib
from pathlib import Path

import msgspec

_FIELD = b',"crc32":'


class _Begun(msgspec.Struct):
    """What tells one `config.json` from others, also from those of later schemas."""

    started: str
    seed: int


def origin(run: Path) -> int:
    """Return the checksum before the first line of a run's file."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        begun = msgspec.json.decode((run / "config.json").read_bytes(), type=_Begun)
        return zlib.crc32(f"{begun.started} {begun.seed}".encode())
    return 0


def run_around(path: Path) -> Path | None:
    """Return the directory of a run in which a path lies; None: there is none."""
    return next((folder for folder in path.resolve().parents if origin(folder)), None)


def last(file: Path) -> int:
    """Return the checksum after the last line of a file, which need not be there."""
    if not file.exists() or file.stat().st_size == 0:
        return origin(file.parent)
    with file.open("rb") as opened:
        opened.seek(0, 2)
        opened.seek(max(opened.tell() - 32, 0))
        found = opened.read().rpartition(_FIELD)[2].rstrip()[:-1]
    # Lines of an older version have none.
    return int(found) if found.isdigit() else 0


def chained(line: bytes, before: int) -> tuple[bytes, int]:
    """Return one JSON object with its checksum, and that."""
    body = line[:-1]
    checksum = zlib.crc32(body, before)
    return b"%b%b%d}" % (body, _FIELD, checksum), checksum


def unchained(line: bytes, before: int) -> tuple[bytes, int | None, bool]:
    """Take a line apart.

    Returns:
        The line without its checksum; that, None where it has none; whether it is the right one.
    """
    body, field, rest = line.rpartition(_FIELD)
    found = rest[:-1]
    if not field or not found.isdigit() or rest[-1:] != b"}":
        return line, None, False
    return body + b"}", int(found), int(found) == zlib.crc32(body, before)

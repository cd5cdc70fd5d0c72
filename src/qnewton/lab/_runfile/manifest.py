"""`manifest.json`: what each file of a run was when the run ended, and whether it still is.

A run that was killed has none, and its last lines may be cut off. `config.json` then has digests of itself
and of the calibration, a checkpoint those of its files, and each line of a `*.jsonl` one of all lines up to it.
"""

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType

from .base import Record
from .decode import decode
from .digests import file_digest, value_digest
from .errors import RunFileError

NAME, SUMMARY = "manifest.json", "summary.json"
_NAMES = (
    "config.json",
    "calibration.json",
    "steps.jsonl",
    "blocks.jsonl",
    "checkpoints.jsonl",
    "resumes.jsonl",
    "params.npz",
    SUMMARY,
)
_FOLDERS = ("checkpoints", "aside")


class FileRecord(Record, frozen=True):
    """A file as it was written.

    Attributes:
        bytes: in it.
        sha256: of them.
    """

    bytes: int
    sha256: str


class Manifest(Record, frozen=True):
    """All files of a run when it ended, but for its report and what loggers keep.

    Attributes:
        files: path in the run's directory to what it was.
        digest: SHA-256 of `files` as sorted JSON without spaces.
    """

    files: dict[str, FileRecord]
    digest: str


class AlteredError(RunFileError):
    """Error for a file that is not what the run wrote; the message names it."""


_ACCEPTED: ContextVar[list[str] | None] = ContextVar("accepted", default=None)


@contextlib.contextmanager
def unverified() -> Iterator[list[str]]:
    """Read altered files all the same inside of the block; yields what was found, in words."""
    found: list[str] = []
    token = _ACCEPTED.set(found)
    try:
        yield found
    finally:
        _ACCEPTED.reset(token)


def found_altered() -> list[str]:
    """What the present `unverified` has found so far; nothing outside of one."""
    return list(_ACCEPTED.get() or ())


def altered(what: str) -> str:
    """Raise an error for a file that was altered, or remember it inside of `unverified`.

    Returns:
        The sentence for outputs.

    Raises:
        AlteredError: outside of `unverified`.
    """
    found = _ACCEPTED.get()
    if found is None:
        raise AlteredError(f"{what}: bring back what the run wrote, or read it as it is with --unverified")
    if what not in found:
        found.append(what)
    return f"Not verified: {what}."


def manifest_of(run: Path, pending: Mapping[str, bytes] = MappingProxyType({})) -> Manifest:
    """Return what the files of a run are now, but for those that are to be written with a content."""
    paths = [run / name for name in _NAMES] + [path for name in _FOLDERS for path in sorted((run / name).rglob("*"))]
    files = {
        path.relative_to(run).as_posix(): FileRecord(bytes=path.stat().st_size, sha256=file_digest(path))
        for path in paths
        if path.is_file()
    }
    files |= {name: FileRecord(bytes=len(raw), sha256=hashlib.sha256(raw).hexdigest()) for name, raw in pending.items()}
    return Manifest(files=files, digest=value_digest(files))


def verify(run: Path, names: Sequence[str]) -> list[str]:
    """Compare files of a run with its manifest, if it has one.

    Of a run without `summary.json` lines may be missing at the end of its files, as a kill leaves them.

    Args:
        run: its directory.
        names: of the files.

    Returns:
        What differs, in sentences: what is merely cut off, and inside of `unverified` all.

    Raises:
        AlteredError: if one was altered.
    """
    file = run / NAME
    if not file.is_file():
        return []
    try:
        manifest = decode(file.read_bytes(), Manifest, str(file))
    except RunFileError as error:
        return [altered(str(error))]
    notes = []
    if value_digest(manifest.files) != manifest.digest:
        notes.append(altered(f"{file} was altered after the run had written it"))
    ended = (run / SUMMARY).is_file()
    for name in names:
        path, wanted = run / name, manifest.files.get(name)
        if wanted is None:
            if path.is_file() and path.stat().st_size:  # an empty one says nothing
                notes.append(altered(f"{path} was not there when the run ended, by {NAME}"))
            continue
        size = path.stat().st_size if path.is_file() else None
        if size is None or size < wanted.bytes:
            left = "is missing" if size is None else f"has {size} of {wanted.bytes} bytes"
            if not ended and path.suffix == ".jsonl":
                notes.append(f"{name} {left}.")
            elif ended or name != SUMMARY:  # whose absence all readers state
                notes.append(altered(f"{path} {left}, by {NAME}"))
        elif size != wanted.bytes or file_digest(path) != wanted.sha256:
            notes.append(altered(f"{path} was altered after the run had written it, or is of another run than {NAME}"))
    return notes

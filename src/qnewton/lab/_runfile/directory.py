"""The directory of a run: created once, appended to, never overwritten."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from . import chain
from .base import Record
from .decode import decode
from .durable import move, sync_file, sync_folder, write_whole
from .encode import encode, encode_indented
from .manifest import NAME, SUMMARY, manifest_of
from .ownership import LostDirectory, Ownership

_ASIDE = ".unborn-"
"""In the names of files that runs left which were killed before they began."""
_ELSEWHERE = "name another directory with --out"
R = TypeVar("R", bound=Record)


class RunDirectory:
    """Writer of the files that docs/run-files.md describes."""

    def __init__(self, path: Path):
        """Name the directory, which is there; nobody owns it yet."""
        self.path = path
        self._own: Ownership | None = None
        self._checksums: dict[str, int] = {}

    @classmethod
    def create(cls, path: Path | None, prefix: str) -> "RunDirectory":
        """Make the directory, and own it.

        Args:
            path: where; None takes the next free `runs/<prefix>-<number>`.
            prefix: task and preset, for the name.

        Raises:
            FileExistsError: if `path` holds anything, or lies inside of a run.
            ValueError: if another process has just made it.
            OSError: if it cannot be written, with what to do.
        """
        if path is None:
            with _explained(Path("runs")):
                made = cls(_next_free(Path("runs"), prefix))
                made.take()
                made.probe()
            return made
        if os.path.lexists(path) and (not path.is_dir() or _holds_anything(path)):
            raise FileExistsError(
                f"{path} exists and is not an empty directory: nothing is ever overwritten. Name another one, or leave "
                "--out away for a new one under runs/"
            )
        if (outer := chain.run_around(path)) is not None:
            raise FileExistsError(
                f"{path} lies inside of {outer}, the directory of a run, which holds that run's files alone: name one "
                "outside of it"
            )
        with _explained(path):
            path.mkdir(parents=True, exist_ok=True)
            made = cls(path)
            made.take()
            made._set_unborn_aside()
            made.probe()
        return made

    def _set_unborn_aside(self) -> None:
        """Keep what a run left that was killed before it began, where no run looks for it."""
        for left in [each for each in self.path.iterdir() if _unborn(each)]:
            number = 1
            while (target := self.path / f".{left.name}{_ASIDE}{number}").exists():
                number += 1
            move(left, target)

    @property
    def place(self) -> Path:
        """Path of the directory itself for its owner, even if another one has taken its name."""
        return self.path if self._own is None else self._own.place

    def probe(self, advice: str = _ELSEWHERE) -> None:
        """Write a test file and remove it.

        Args:
            advice: what to do where it cannot be written.

        Raises:
            OSError: if nothing can be written there.
        """
        with _explained(self.path, advice), tempfile.TemporaryFile(dir=self.path) as file:
            file.write(bytes(4096))
            file.flush()

    def take(self) -> None:
        """Own the directory, if this object does not yet: no other process may write into it, nor discard it.

        Raises:
            ValueError: if another process does.
            LostDirectory: if it was removed in the meantime.
        """
        if self._own is None:
            self._own = Ownership(self.path)

    def release(self) -> None:
        """Let others own it; the end of the process, however it comes, does so too."""
        if self._own is not None:
            self._own.release()
            self._own = None

    @contextlib.contextmanager
    def owned(self) -> Iterator[None]:
        """Own the directory inside of the block."""
        self.take()
        try:
            yield
        finally:
            self.release()

    def check(self) -> None:
        """Notice that the directory, or a file that this object wrote or was told of, is not as it was left.

        Raises:
            LostDirectory: naming it.
        """
        if self._own is not None:
            self._own.check()

    def knows(self, *names: str) -> None:
        """Watch over these files, if present, as over those that this object writes."""
        for name in names:
            if self._own is not None and (self.place / name).exists():
                self._own.knows(name)

    def discard(self) -> None:
        """Remove the directory if nothing was written, for a run that could not start; only the owner does."""
        with contextlib.suppress(OSError, ValueError, LostDirectory):
            self.take()
            self.path.rmdir()  # which refuses where there is anything
        self.release()

    def take_back(self, *names: str) -> None:
        """Remove the files just written for a run that cannot start."""
        for name in names:
            (self.path / name).unlink(missing_ok=True)
            if self._own is not None:
                self._own.forgets(name)

    def write(self, name: str, content: Record) -> None:
        """Write a JSON file, completely or not at all."""
        self.check()
        write_whole(self.place / name, encode_indented(content))
        self.knows(name)

    def add(self, name: str, record: R) -> R:
        """Write a record, completely or not at all, and return it as read back."""
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        self.write(name, record)
        return decode(encode(record), type(record), name)

    def append(self, name: str, lines: Sequence[Record]) -> None:
        """Add lines to a JSON-lines file, all or none; they survive a later kill of the process.

        Raises:
            OSError: if there is no room, for example; the file is then as it was.
        """
        target = self.place / name
        self.check()
        checksum = self._checksums[name] if name in self._checksums else chain.last(target)
        text = b""
        for record in lines:
            line, checksum = chain.chained(encode(record), checksum)
            text += line + b"\n"
        before = target.stat().st_size if target.exists() else 0
        # A file that was there must not begin anew in the middle.
        made = 0 if self._own is not None and self._own.has(name) else os.O_CREAT
        try:
            with open(os.open(target, os.O_WRONLY | os.O_APPEND | made, 0o666), "ab") as file:
                file.write(text)
        except OSError:
            with contextlib.suppress(OSError):
                os.truncate(target, before)
            raise
        self._checksums[name] = checksum
        self.knows(name)

    def end(self, summary: Record) -> None:
        """Write the summary of a run that has ended, and before it the manifest, which has it.

        So a run that says it has ended has a manifest, whatever moment the power fails at or the disk is full.
        """
        self.sync("steps.jsonl", "blocks.jsonl", "checkpoints.jsonl", "resumes.jsonl")
        self.write(NAME, manifest_of(self.place, {SUMMARY: encode_indented(summary)}))
        self.write(SUMMARY, summary)

    def seal(self) -> None:
        """Write the manifest of a run that has ended anew."""
        self.write(NAME, manifest_of(self.place))

    def sync(self, *names: str) -> None:
        """Wait until these files, if present, would survive a power failure."""
        for name in names:
            sync_file(self.place / name)
        sync_folder(self.place)


class Elsewhere(RunDirectory):
    """The directory of a run into which another process writes: everything that would be written is left to that."""

    def probe(self, advice: str = _ELSEWHERE) -> None:
        """Do nothing: the first process does it."""

    def take(self) -> None:
        """The other one owns it."""

    def discard(self) -> None:
        """Do nothing: the first process does it."""

    def take_back(self, *names: str) -> None:
        """Nothing was written."""

    def write(self, name: str, content: Record) -> None:
        """Left to the other."""

    def append(self, name: str, lines: Sequence[Record]) -> None:
        """Left to the other."""

    def end(self, summary: Record) -> None:
        """Left to the other."""

    def seal(self) -> None:
        """Left to the other."""

    def sync(self, *names: str) -> None:
        """Left to the other."""


def _holds_anything(path: Path) -> bool:
    return any(not _unborn(each) and _ASIDE not in each.name for each in path.iterdir())


def _unborn(path: Path) -> bool:
    """Whether a file is one that a run writes before `config.json`, with which it begins."""
    return path.name == "calibration.json" or (path.name.startswith(".") and path.name.endswith(".partial"))


@contextlib.contextmanager
def _explained(path: Path, advice: str = _ELSEWHERE) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(f"{path} cannot be written ({reason}): {advice}") from error


def _next_free(parent: Path, prefix: str) -> Path:
    parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        path = parent / f"{prefix}-{number:03d}"
        try:
            # Two runs that start together must not share a directory: mkdir decides.
            path.mkdir()
        except FileExistsError:
            number += 1
        else:
            return path

"""The directory of a run: created once, appended to, never overwritten."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from .base import Record
from .decode import decode
from .encode import encode, encode_indented

R = TypeVar("R", bound=Record)


class RunDirectory:
    """Writer of the files that docs/run-files.md describes."""

    def __init__(self, path: Path):
        self.path = path

    @classmethod
    def create(cls, path: Path | None, prefix: str) -> "RunDirectory":
        """Make the directory.

        Args:
            path: where; None takes the next free `runs/<prefix>-<number>`.
            prefix: task and preset, for the name.

        Raises:
            FileExistsError: if `path` holds anything.
            OSError: if it cannot be written, with what to do.
        """
        if path is None:
            with _explained(Path("runs")):
                made = cls(_next_free(Path("runs"), prefix))
                made.probe()
            return made
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise FileExistsError(
                f"{path} exists and is not an empty directory: nothing is ever overwritten. Name another one, or leave "
                "--out away for a new one under runs/"
            )
        with _explained(path):
            path.mkdir(parents=True, exist_ok=True)
            made = cls(path)
            made.probe()
        return made

    def probe(self) -> None:
        """Write a test file and remove it.

        Raises:
            OSError: if nothing can be written there.
        """
        with _explained(self.path), tempfile.TemporaryFile(dir=self.path) as file:
            file.write(bytes(4096))
            file.flush()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second process from training here; the lock of a killed process is released.

        Raises:
            ValueError: if another process does already.
        """
        try:
            import fcntl
        except ImportError:  # Windows has no such locks
            yield
            return
        handle = os.open(self.path, os.O_RDONLY)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(
                    f"{self.path} belongs to a training that is going on: wait for it, or stop it"
                ) from None
            except OSError:
                pass  # a file system without locks
            yield
        finally:
            os.close(handle)

    def discard(self) -> None:
        """Remove the directory if nothing was written, for a run that could not start."""
        with contextlib.suppress(OSError):
            self.path.rmdir()  # which refuses where there is anything

    def take_back(self, *names: str) -> None:
        """Remove the files just written for a run that cannot start."""
        for name in names:
            (self.path / name).unlink(missing_ok=True)

    def write(self, name: str, content: Record) -> None:
        """Write a JSON file, completely or not at all."""
        target = self.path / name
        scratch = target.with_suffix(".partial")
        scratch.write_bytes(encode_indented(content))
        os.replace(scratch, target)

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
        text = b"".join(encode(line) + b"\n" for line in lines)
        target = self.path / name
        before = target.stat().st_size if target.exists() else 0
        try:
            with target.open("ab") as file:
                file.write(text)
        except OSError:
            with contextlib.suppress(OSError):
                os.truncate(target, before)
            raise

    def sync(self, *names: str) -> None:
        """Wait until these files, if present, would survive a power failure."""
        for name in names:
            if (self.path / name).exists():
                with (self.path / name).open("rb") as file:
                    os.fsync(file.fileno())


class Elsewhere(RunDirectory):
    """The directory of a run into which another process writes: everything that would be written is left to that."""

    def probe(self) -> None:
        """Not this one's affair."""

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Nothing to keep others from."""
        yield

    def discard(self) -> None:
        """Not this one's affair."""

    def take_back(self, *names: str) -> None:
        """Nothing was written."""

    def write(self, name: str, content: Record) -> None:
        """Left to the other."""

    def append(self, name: str, lines: Sequence[Record]) -> None:
        """Left to the other."""

    def sync(self, *names: str) -> None:
        """Left to the other."""


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(f"{path} cannot be written ({reason}): name another directory with --out") from error


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

"""One process owns a run's directory, and notices when the directory is no longer the one that it owns."""

import os
import weakref
from pathlib import Path


class LostDirectory(Exception):
    """Error for a run whose directory or files were removed or replaced while it went on; nothing more is written."""


class Ownership:
    """Lock on a directory, held until `release` or the end of the process, and what is known of its files."""

    def __init__(self, path: Path):
        """Take the lock.

        Args:
            path: of the directory.

        Raises:
            ValueError: if another process holds it.
            LostDirectory: if the directory was removed in the meantime.
        """
        self._path = path
        self._sizes: dict[str, int] = {}
        self._handle = _locked(path)
        self._closes = weakref.finalize(self, _close, self._handle)
        self.check()

    def release(self) -> None:
        """Let others own the directory."""
        self._closes()
        self._handle = None

    @property
    def place(self) -> Path:
        """The directory itself, where the system has a name for what is open; whatever stands under its own name now.

        What is written there cannot get into a directory that takes its place between a look and a write.
        """
        held = Path(f"/proc/self/fd/{self._handle}")
        return held if self._handle is not None and held.is_dir() else self._path

    def knows(self, name: str) -> None:
        """Remember the present size of a file, which nobody else may change from now on."""
        self._sizes[name] = (self.place / name).stat().st_size

    def has(self, name: str) -> bool:
        """Whether a file is watched over."""
        return name in self._sizes

    def forgets(self, name: str) -> None:
        """No longer watch over a file."""
        self._sizes.pop(name, None)

    def check(self) -> None:
        """Compare the directory and its known files with what this process left.

        Raises:
            LostDirectory: naming what is gone or changed.
        """
        if self._handle is not None:
            own = os.fstat(self._handle)
            try:
                there = os.stat(self._path)
            except OSError:
                raise self._lost(f"{self._path} was removed") from None
            if (own.st_dev, own.st_ino) != (there.st_dev, there.st_ino):
                raise self._lost(f"{self._path} was replaced by another directory")
        for name, size in self._sizes.items():
            self._check_file(name, size)

    def _check_file(self, name: str, size: int) -> None:
        try:
            found = os.stat(self._path / name).st_size
        except OSError:
            raise self._lost(f"{self._path / name} was removed") from None
        if found != size:
            raise self._lost(f"{self._path / name} was changed by another program ({found} bytes, {size} were written)")

    def _lost(self, what: str) -> LostDirectory:
        return LostDirectory(
            f"{what} while the run went on. It stops here and writes nothing more, since a file that begins in the "
            "middle is no record: bring back what was there and go on with --resume, or train anew"
        )


def _locked(path: Path) -> int | None:
    """The open directory, locked where the file system has locks; None where there are no such locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise ValueError(f"{path} belongs to a run that is going on: wait for it, or stop it") from None
    except OSError:
        pass  # a file system without locks
    return handle


def _close(handle: int | None) -> None:
    if handle is not None:
        os.close(handle)

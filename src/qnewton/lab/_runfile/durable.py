"""Writing that a power failure leaves whole: what a name stands for is on disk before the name changes its meaning."""

import io
import os
import shutil
from pathlib import Path
from typing import BinaryIO


def write_whole(path: Path, content: bytes) -> None:
    """Give a file this content, completely or not at all, also after a power failure.

    Raises:
        OSError: if there is no room, for example; the file is then as it was.
    """
    _write(path, io.BytesIO(content))


def copy_rest(path: Path, position: int, target: Path) -> None:
    """Give a file the content of another one from a position on, as `write_whole` does."""
    with path.open("rb") as file:
        file.seek(position)
        _write(target, file)


def _write(path: Path, content: BinaryIO) -> None:
    scratch = path.with_name(f".{path.name}.partial")
    try:
        with scratch.open("wb") as file:
            shutil.copyfileobj(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except OSError:
        scratch.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def move(path: Path, target: Path) -> None:
    """Move a file or folder within a file system; its new name is on disk before this returns."""
    if not target.parent.exists():
        target.parent.mkdir(parents=True)
        sync_folder(target.parent.parent)
    os.rename(path, target)
    sync_folder(target.parent)
    sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Wait until the content of a file, if there is one, is on disk."""
    if path.exists():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on disk."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(handle)
    except OSError:
        pass  # a file system that syncs no folders
    finally:
        os.close(handle)


def sync_tree(path: Path) -> None:
    """Wait until a folder, with everything in it, and its own name are on disk."""
    for inner in sorted(path.rglob("*"), reverse=True):
        if inner.is_dir():
            sync_folder(inner)
        else:
            sync_file(inner)
    sync_folder(path)
    sync_folder(path.parent)

"""The checkpoints of a run, which orbax's `CheckpointManager` keeps: the newest few, each whole or not there at all.

The manager names a checkpoint `checkpoints/STEP`, writes it under another name until it is complete, takes away what a
killed process left and what is beyond the newest few. What it does not promise is `about.json`, written last: whose
checkpoint this is, and a digest of each file. A checkpoint without it was not complete.
"""

import contextlib
import errno
import logging
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .._runfile import (
    CheckpointAbout,
    Config,
    Identity,
    RunDirectory,
    RunFileError,
    decode,
    file_digest,
    plain,
    sync_folder,
    sync_tree,
)
from .together import first, reading_alone

if TYPE_CHECKING:
    import orbax.checkpoint as orbax

FOLDER, ARRAYS, ABOUT = "checkpoints", "arrays", "about.json"
DESCRIPTIONS = 200_000
"""Bytes of what orbax writes about the arrays, at the upper end of what runs of ours have."""
KEPT = 3
"""Checkpoints that stay: one that cannot be read costs the steps since the one before, not the run."""

Arrays = dict[str, dict[str, np.ndarray]]
"""Group (`params`, `state`, `ledger`) to name to array."""


class DamagedCheckpoint(Exception):
    """Error for a checkpoint that differs from what was written; the message says how."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint.

    Attributes:
        step: steps that had been taken.
        identity: of the run that it belongs to, from `identity_of`.
        compilation_seconds: measured, of all processes that had worked on the run.
        arrays: with what to go on.
    """

    step: int
    identity: Identity
    compilation_seconds: float
    arrays: Arrays


def identity_of(config: Config) -> Identity:
    """Return the fields that a checkpoint shares with its run's `config.json` alone."""
    return Identity(
        task=config.task,
        schema_version=config.schema_version,
        qnewton=config.versions.get("qnewton"),
        started=config.started,
        # As they are read back, where a tuple is a list.
        options=plain(config.options),
    )


def write_checkpoint(run: Path, checkpoint: Checkpoint) -> int:
    """Add a checkpoint, and remove those beyond the newest few.

    Args:
        run: directory of the run.
        checkpoint: of a step that has none yet.

    Returns:
        Its bytes on disk; 0 of several processes but the first.

    Raises:
        OSError: if it could not be written; those before it are untouched.
    """
    target = run / FOLDER / str(checkpoint.step)
    try:
        _check_room(run, checkpoint.arrays)
        _save_arrays(run, checkpoint.step, checkpoint.arrays)
        if not first():
            return 0
        # Orbax syncs the arrays, but neither its own files beside them nor the folders.
        sync_tree(target)
        sync_folder(run)
        about = CheckpointAbout(
            step=checkpoint.step,
            identity=checkpoint.identity,
            compilation_seconds=checkpoint.compilation_seconds,
            files=_digests(target / ARRAYS),
            metadata=_metadata(target),
        )
        folder = RunDirectory(target)
        folder.write(ABOUT, about)
        folder.sync(ABOUT)
    except Exception as error:  # orbax and tensorstore raise a full disk as errors of their own
        # What there is of it takes room that the run has not.
        for left in (target, *target.parent.glob(f"{target.name}.*")) if first() else ():
            shutil.rmtree(left, ignore_errors=True)
        with contextlib.suppress(OSError):  # which are empty only if they were removed while it wrote
            target.parent.rmdir()
            run.rmdir()
        reason = str(error).partition(" [tensorstore_spec")[0]
        raise OSError(f"{target} could not be written: {reason}") from error
    return sum(path.stat().st_size for path in target.rglob("*") if path.is_file())


def _check_room(run: Path, arrays: Arrays) -> None:
    """Refuse what would fill the disk: orbax's threads fail one after the other then, each with a traceback."""
    # It writes the arrays twice, before it removes the first ones.
    needed = 2 * sum(array.nbytes for own in arrays.values() for array in own.values()) + DESCRIPTIONS
    if needed > shutil.disk_usage(run).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def about_digest(run: Path, step: int) -> str | None:
    """SHA-256 of the `about.json` of a checkpoint; None where this process wrote none."""
    path = run / FOLDER / str(step) / ABOUT
    return file_digest(path) if path.is_file() else None


def checkpoint_steps(run: Path) -> list[int]:
    """Return the steps with a checkpoint, the newest first; they are not verified to be readable."""
    with _manager(run) as manager:
        return sorted(manager.all_steps(), reverse=True)


def read_checkpoint(run: Path, step: int, wanted: str | None = None) -> Checkpoint:
    """Read a checkpoint after comparing its digests, so that orbax never reads damaged files.

    Args:
        run: directory of the run.
        step: of the checkpoint.
        wanted: SHA-256 of its `about.json`, from the run's `checkpoints.jsonl`; None where that has none.

    Raises:
        DamagedCheckpoint: if it is not what was written.
    """
    path = run / FOLDER / str(step)
    try:
        about = decode((path / ABOUT).read_bytes(), CheckpointAbout, ABOUT)
    except (OSError, RunFileError) as error:
        raise DamagedCheckpoint(f"{path} cannot be read ({error})") from error
    if wanted is not None and file_digest(path / ABOUT) != wanted:
        raise DamagedCheckpoint(f"{path} is not what was written ({ABOUT} has another digest)")
    found = {f"{ARRAYS}/{name}": digest for name, digest in _digests(path / ARRAYS).items()}
    written = {f"{ARRAYS}/{name}": digest for name, digest in about.files.items()} | about.metadata
    damaged = sorted(set((found | (_metadata(path) if about.metadata else {})).items()) ^ set(written.items()))
    if damaged:
        raise DamagedCheckpoint(f"{path} is not what was written ({damaged[0][0]} has another digest)")
    arrays = _load_arrays(run, step)
    return Checkpoint(about.step, about.identity, about.compilation_seconds, arrays)


def _manager(run: Path, *, writes: bool = False) -> "orbax.CheckpointManager":
    """Return the manager of the run's checkpoints; one that does not write changes nothing."""
    import orbax.checkpoint as orbax  # half a second, which only a run that saves pays

    who = orbax.options.MultiprocessingOptions(**({} if writes else reading_alone()))
    options = orbax.CheckpointManagerOptions(
        preservation_policy=orbax.checkpoint_managers.LatestN(KEPT),
        create=writes,
        cleanup_tmp_directories=writes,
        # A checkpoint counts when it is on disk.
        enable_async_checkpointing=False,
        save_root_metadata=False,
        multiprocessing_options=who,
    )
    return orbax.CheckpointManager((run / FOLDER).absolute(), options=options)


def _save_arrays(run: Path, step: int, arrays: Arrays) -> None:
    import orbax.checkpoint as orbax

    filled = {group: {name: array for name, array in own.items() if array.size} for group, own in arrays.items()}
    whole = orbax.args.PyTreeSave({group: own for group, own in filled.items() if own})
    with _unlogged(), _manager(run, writes=True) as manager:
        manager.save(step, args=orbax.args.Composite(**{ARRAYS: whole}), force=True)


@contextlib.contextmanager
def _unlogged() -> Iterator[None]:
    """Let nothing be printed of an error that is raised: orbax's threads do so, with tracebacks, and later still."""
    logged, heard = logging.root.manager.disable, sys.unraisablehook

    def hear(found: "sys.UnraisableHookArgs") -> None:
        if str(found.exc_value) != "Event loop is closed":
            heard(found)

    logging.disable()
    sys.unraisablehook = hear
    try:
        yield
        sys.unraisablehook = heard
    finally:
        logging.disable(logged)


def _load_arrays(run: Path, step: int) -> Arrays:
    import orbax.checkpoint as orbax

    whole = orbax.args.PyTreeRestore()
    with _manager(run) as manager:
        found = manager.restore(step, args=orbax.args.Composite(**{ARRAYS: whole}))[ARRAYS]
    return {group: {name: np.asarray(array) for name, array in own.items()} for group, own in found.items()}


def _metadata(target: Path) -> dict[str, str]:
    """Return the digest of each file that orbax keeps beside the arrays."""
    files = (path for path in sorted(target.iterdir()) if path.is_file() and path.name != ABOUT)
    return {path.name: file_digest(path) for path in files}


def _digests(folder: Path) -> dict[str, str]:
    """Return the digest of every file in a folder, by its relative path."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in files}

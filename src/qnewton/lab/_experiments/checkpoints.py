"""The checkpoints of a run on disk: the newest few, each whole or not there at all.

A checkpoint is a folder `checkpoints/STEP`: `arrays`, which orbax writes, and `about.json`, which says whose they are
and holds a digest of each file. It is written under another name and renamed when it is complete.
"""

import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .._runfile import CheckpointAbout, Config, Identity, RunFileError, decode, encode_indented, plain

FOLDER = "checkpoints"
KEPT = 3
"""Checkpoints that stay: one that cannot be read costs the steps since the one before, not the run."""

Arrays = dict[str, dict[str, np.ndarray]]
"""Group (`params`, `state`, `ledger`) to name to array."""


class DamagedCheckpoint(Exception):
    """A checkpoint that is not what was written; the message says in which way."""


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
    """What a checkpoint has in common with `config.json` of its run, and with no other's."""
    return Identity(
        task=config.task,
        schema_version=config.schema_version,
        qnewton=config.versions.get("qnewton"),
        started=config.started,
        # As they are read back, where a tuple is a list.
        options=plain(config.options),
    )


def write_checkpoint(run: Path, checkpoint: Checkpoint) -> int:
    """Add a checkpoint, and take away those beyond the newest few.

    Args:
        run: directory of the run.
        checkpoint: of a step that has none yet.

    Returns:
        Its bytes on disk.

    Raises:
        OSError: if it could not be written; those before it are untouched.
    """
    folder = run / FOLDER
    partial, target = folder / f".partial-{checkpoint.step}", folder / str(checkpoint.step)
    try:
        folder.mkdir(exist_ok=True)
        _sweep(folder)
        _save_arrays(partial / "arrays", checkpoint.arrays)
        about = CheckpointAbout(
            step=checkpoint.step,
            identity=checkpoint.identity,
            compilation_seconds=checkpoint.compilation_seconds,
            files=_digests(partial / "arrays"),
        )
        with (partial / "about.json").open("wb") as file:
            file.write(encode_indented(about))
            file.flush()
            os.fsync(file.fileno())
        size = sum(path.stat().st_size for path in partial.rglob("*") if path.is_file())
        os.replace(partial, target)
    except Exception as error:  # orbax and tensorstore raise a full disk as errors of their own
        shutil.rmtree(partial, ignore_errors=True)
        raise OSError(f"{target} could not be written: {error}") from error
    for step in checkpoint_steps(run)[KEPT:]:
        _remove(folder, step)
    return size


def checkpoint_steps(run: Path) -> list[int]:
    """Steps that have a checkpoint, the newest first; none of them is known to be readable."""
    folder = run / FOLDER
    names = (path.name for path in folder.iterdir()) if folder.is_dir() else ()
    return sorted((int(name) for name in names if name.isdecimal()), reverse=True)


def read_checkpoint(run: Path, step: int) -> Checkpoint:
    """Read a checkpoint, once it has been compared with its digests: orbax is not to see damaged files.

    Raises:
        DamagedCheckpoint: if it is not what was written.
    """
    path = run / FOLDER / str(step)
    try:
        about = decode((path / "about.json").read_bytes(), CheckpointAbout, "about.json")
    except (OSError, RunFileError) as error:
        raise DamagedCheckpoint(f"{path} cannot be read ({error})") from error
    found = _digests(path / "arrays")
    damaged = sorted(set(found.items()) ^ set(about.files.items()))
    if damaged:
        raise DamagedCheckpoint(f"{path} is not what was written (arrays/{damaged[0][0]} has another digest)")
    arrays = _load_arrays(path / "arrays")
    return Checkpoint(about.step, about.identity, about.compilation_seconds, arrays)


def _sweep(folder: Path) -> None:
    """Take away what a process that was killed left half-written or half-removed."""
    for path in folder.iterdir():
        if re.fullmatch(r"\.(partial|removed)-\d+", path.name):
            shutil.rmtree(path, ignore_errors=True)


def _remove(folder: Path, step: int) -> None:
    # Renamed first: a checkpoint that is half gone must not look like one.
    removed = folder / f".removed-{step}"
    os.replace(folder / str(step), removed)
    shutil.rmtree(removed, ignore_errors=True)


def _save_arrays(path: Path, arrays: Arrays) -> None:
    import orbax.checkpoint as orbax  # half a second, which only a run that saves pays

    filled = {group: {name: array for name, array in own.items() if array.size} for group, own in arrays.items()}
    with orbax.PyTreeCheckpointer() as checkpointer:
        checkpointer.save(path.absolute(), {group: own for group, own in filled.items() if own})


def _load_arrays(path: Path) -> Arrays:
    import orbax.checkpoint as orbax

    with orbax.PyTreeCheckpointer() as checkpointer:
        found = checkpointer.restore(path.absolute())
    return {group: {name: np.asarray(array) for name, array in own.items()} for group, own in found.items()}


def _digests(folder: Path) -> dict[str, str]:
    """Of every file in a folder, by its path in there."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

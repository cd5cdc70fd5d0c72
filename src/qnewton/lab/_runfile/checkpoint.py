"""Records for resuming a run: its checkpoints, and a log of each resumption."""

from typing import Any

from msgspec import field

from .base import Record


class Identity(Record, frozen=True):
    """Fields that a checkpoint shares with its run's `config.json` alone.

    Attributes:
        task, schema_version, started, options: as there.
        qnewton: its version.
    """

    task: str
    schema_version: int
    qnewton: str | None
    started: str
    options: dict[str, Any]


class CheckpointAbout(Record, frozen=True):
    """Identity of a checkpoint's run, and a digest of each file.

    Attributes:
        step: steps taken.
        identity: of the run; see below.
        compilation_seconds: measured, of all processes so far.
        files: path in `arrays/` to its SHA-256.
        metadata: path of each file beside `arrays/` to its SHA-256; empty of older files.
    """

    step: int
    identity: Identity
    compilation_seconds: float
    files: dict[str, str]
    metadata: dict[str, str] = field(default_factory=dict)


class CheckpointLine(Record, frozen=True):
    """Cost of a checkpoint.

    Attributes:
        step: steps taken.
        bytes: on disk.
        measured_seconds: of saving.
        about: SHA-256 of the checkpoint's `about.json`; null of older files.
    """

    step: int
    bytes: int
    measured_seconds: float
    about: str | None = None


class SetAside(Record, frozen=True):
    """Records beyond the checkpoint from which a run continued.

    Attributes:
        folder: where it is.
        files: what is in there.
    """

    folder: str
    files: tuple[str, ...]


class ResumeLine(Record, frozen=True):
    """One `--resume`.

    Attributes:
        resumed: ISO 8601, UTC.
        step: that it went on from.
        set_aside: see below.
        notes: sentences: what was damaged, or another commit.
        commit: of the package's checkout.
        breaks: what differed from where the run began, in words: `--anyway` was needed, and from this step on the
            numbers are not those of a run that was not stopped.
    """

    resumed: str
    step: int
    set_aside: SetAside | None
    notes: tuple[str, ...]
    commit: str | None
    breaks: tuple[str, ...] = ()

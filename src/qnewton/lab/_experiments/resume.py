"""A stopped run: its files, the part of them that counts, and the part removed before it continues."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import asdict, replace

from ..._hardware import calibration_environment, check_environment
from .._runfile import (
    SCHEMA_VERSION,
    Calibration,
    CheckpointLine,
    Config,
    Identity,
    Lines,
    ResumeLine,
    RunDirectory,
    RunFileError,
    SetAside,
    StepLine,
    SystemLine,
    config_digest,
    copy_rest,
    encode,
    file_digest,
    migration_from,
    move,
    plain,
    read_calibration,
    read_config,
    read_lines,
    read_summary,
    sync_folder,
    untyped,
    verify,
)
from .checkpoints import (
    FOLDER,
    Checkpoint,
    DamagedCheckpoint,
    checkpoint_steps,
    identity_of,
    read_checkpoint,
)
from .data_digests import data_digests
from .options import TrainOptions
from .own_task import check_unchanged
from .provenance import commit, machine, now, versions
from .saved import train_options
from .tallies import by_step
from .tasks.base import Task

T = TypeVar("T")
ASIDE = "aside"
# The libraries that compute; another version of them may round otherwise.
_COMPUTING = ("qnewton", "jax", "jaxlib", "equinox", "lineax", "optax", "numpy", "scipy")
_ELSEWHERE = (
    "The numbers would not be those of a run that was not stopped: go on where it began, train anew here, or go on "
    "with --anyway, which writes the break into the record"
)
_CALIBRATED_ELSEWHERE = (
    "Its decisions rest on that calibration, and no decision is ever taken by the seconds of another machine: go on "
    "where it began, or train anew here"
)


@dataclasses.dataclass(frozen=True)
class Halted:
    """A stopped run.

    Attributes:
        path: of its directory.
        config: of `config.json`.
        calibration: of `calibration.json`; None of a complete optimizer, and where there is none yet.
        checkpoint: to go on from; None: from the first step.
        steps, blocks: the whole lines of their files, some of them perhaps beyond the checkpoint.
        groups: systems that lines of an older schema had in those of the steps.
        notes: what was found that is not as it should be, in words.
        breaks: what differs from where the run began, in words.
    """

    path: Path
    config: Config
    calibration: Calibration | None
    checkpoint: Checkpoint | None
    steps: Lines[StepLine]
    blocks: Lines[SystemLine]
    groups: tuple[SystemLine, ...]
    notes: tuple[str, ...]
    breaks: tuple[str, ...]

    @property
    def done(self) -> int:
        """Steps that count."""
        return 0 if self.checkpoint is None else self.checkpoint.step

    @property
    def lines(self) -> Sequence[SystemLine]:
        """Lines of all systems of these steps."""
        own = self.blocks.records[: self.systems]
        older = [line for line in self.groups if line.step < self.done]
        return (*older, *own) if older else own

    @property
    def systems(self) -> int:
        """Lines of `blocks.jsonl` that count."""
        return sum(step.systems for step in self.steps.records[: self.done]) - sum(
            line.step < self.done for line in self.groups
        )


def resumable(path: Path, *, anyway: bool = False) -> tuple[Config, TrainOptions, tuple[str, ...]]:
    """Return config and options of a run that can continue, and what differs from where it began.

    Args:
        path: of its directory.
        anyway: accept what differs.

    Raises:
        ValueError, OSError: for a directory that is none of a run, a run that is finished or was altered, and, unless
            `anyway`, one of another version or machine; with what to do.
    """
    config = read_config(path)
    verify(path, ("config.json", "steps.jsonl", "blocks.jsonl", "resumes.jsonl", "calibration.json", "summary.json"))
    options = train_options(path, config)
    # What schemas 7 and 8 call otherwise changes nothing of what is computed.
    if config.schema_version not in (7, 8):
        _check_version(path, "schema_version", config.schema_version, SCHEMA_VERSION)
    check_unchanged(path, config.task, config.task_digest)
    if finished(path):
        raise ValueError(
            f"--resume {path}: the run is finished. It is not made "
            "longer, since its learning rates may depend on their number: train anew with more --steps, or write the "
            f"report again with qnewton report {path}"
        )
    # Which is gone on with line by line, also where no manifest tells that it is another run's.
    if (broken := read_lines(path / "resumes.jsonl", ResumeLine).broken) is not None:
        raise broken
    breaks = _differing(config)
    if breaks and not anyway:
        raise ValueError(f"--resume {path}: the run began elsewhere: {'; '.join(breaks)}. {_ELSEWHERE}")
    return config, options, breaks


def _check_version(path: Path, what: str, there: Any, here: Any) -> None:
    if there != here:
        raise ValueError(
            f"--resume {path}: the run was written by another version ({what} {there}, here {here}), which does not "
            "compute the same: go on with that one, or train anew"
        )


def finished(path: Path) -> bool:
    """Whether the run in a directory took all its steps."""
    try:
        return read_summary(path).status == "finished"
    except (OSError, RunFileError):
        return False  # there is none, or none that says so: then it is set aside and written anew


def _differing(config: Config) -> tuple[str, ...]:
    """Say what differs here of that on which bits and seconds depend."""
    there = _computes(asdict(config.machine), config.versions)
    here = _computes(asdict(machine()), versions())
    if config.machine.usable_cores is None:  # an older file, which does not say
        there |= {key: here[key] for key in ("usable_cores", "xla_flags")}
    return tuple(f"{key} {there[key]!r}, here {here[key]!r}" for key in here if there[key] != here[key])


def _computes(machine: dict[str, Any], versions: dict[str, str | None]) -> dict[str, Any]:
    own = {key: machine[key] for key in ("processor", "cores", "usable_cores", "xla_flags", "backend", "device")}
    return own | {f"version of {name}": versions.get(name) for name in _COMPUTING}


def read_halted(path: Path, config: Config, options: TrainOptions, breaks: tuple[str, ...] = ()) -> Halted:
    """Determine where a run continues; changes nothing.

    Args:
        path: of its directory.
        config: from `resumable`.
        options: from there, too.
        breaks: from there, too.

    Raises:
        ValueError: if a checkpoint belongs to another run, or the calibration to another machine.
    """
    notes: list[str] = []
    migration = migration_from(config.schema_version, str(path), len(config.model.blocks))
    steps = _in_order(path / "steps.jsonl", StepLine, lambda line, i: line.step == i, notes, migration.step)
    groups = migration.systems(str(path / "steps.jsonl"))
    fits = _ascending(len(config.model.blocks))
    blocks = _in_order(path / "blocks.jsonl", SystemLine, fits, notes, migration.system)
    lines = by_step(chain(groups, blocks.records))
    whole = next(
        (i for i, line in enumerate(steps.records) if line.systems and not _are_of(line, next(lines, []))),
        len(steps.records),
    )
    checkpoint = _newest(path, identity_of(config), whole, notes)
    calibration = None
    if config.scheduled:
        begun = checkpoint is not None or "calibration" in config.digests
        calibration = _calibration(path, options, begun=begun, elsewhere=bool(breaks))
    for name, kind in (("checkpoints.jsonl", CheckpointLine), ("resumes.jsonl", ResumeLine)):
        lines = read_lines(path / name, kind)
        if lines.broken is not None or lines.torn is not None:
            why = lines.broken or f"{path / name}: line {lines.torn} is cut off, or is no line"
            notes.append(f"{why}: what is there from that line on is set aside")
    if (path / "manifest.json").is_file() and not (path / "summary.json").is_file():
        notes.append(
            "summary.json is missing, and manifest.json is there: the run was killed at its very end, or the file was "
            "removed. It is written anew, with the seconds of what is computed again"
        )
    if commit() != config.commit:
        notes.append(f"the run began with commit {config.commit}, and goes on with {commit()}")
    return Halted(path, config, calibration, checkpoint, steps, blocks, groups, tuple(notes), breaks)


def check_data(halted: Halted, task: Task) -> None:
    """Refuse to continue with other data.

    Raises:
        ValueError: naming both.
    """
    data = halted.config.data
    was = data.description, data.train, data.test
    now = task.source, len(task.train), len(task.test)
    if was != now:
        shown = ["{} ({} and {} held out)".format(*each) for each in (was, now)]
        raise ValueError(
            f"--resume {halted.path}: the run's data were {shown[0]}, and are now {shown[1]}: bring them back"
        )
    found = data_digests(task)
    other = [name for name, digest in data.digests.items() if found.get(name) != digest]
    if other:
        raise ValueError(
            f"--resume {halted.path}: the run's data ({data.description}) are not what they were: the digest of "
            f"{other[0]} is {found.get(other[0], 'missing')[:12]}, and was {data.digests[other[0]][:12]}. Bring them "
            "back, or train anew"
        )


def with_digests(config: Config, calibration: Path) -> Config:
    """The same `config.json`, with the digests of itself and of the calibration, if there is one."""
    own = {"calibration": file_digest(calibration)} if calibration.is_file() else {}
    # Of what will be read back.
    content = untyped(encode(replace(config, digests=own)), "config.json")
    return replace(config, digests={"config": config_digest(content)} | own)


def set_aside(halted: Halted, directory: RunDirectory) -> None:
    """Move everything beyond the checkpoint out of the run's files into a folder of its own, and record it."""
    folder = _next_aside(halted.path)
    moved = []
    for name, position in (
        ("steps.jsonl", halted.steps.until(halted.done)),
        ("blocks.jsonl", halted.blocks.until(halted.systems)),
        ("checkpoints.jsonl", _end_of_records(halted.path / "checkpoints.jsonl", CheckpointLine)),
        ("resumes.jsonl", _end_of_records(halted.path / "resumes.jsonl", ResumeLine)),
    ):
        if _cut(halted.path / name, position, folder):
            moved.append(name)
    for step in checkpoint_steps(halted.path):
        if step > halted.done:
            move(halted.path / FOLDER / str(step), folder / f"checkpoint-{step}")
            moved.append(f"checkpoint-{step}")
    # The manifest first: without it, what is moved is not missing.
    for name in ("manifest.json", "summary.json"):
        if (halted.path / name).exists():
            move(halted.path / name, folder / name)
            moved.append(name)
    record = ResumeLine(
        resumed=now(),
        step=halted.done,
        set_aside=SetAside(folder=f"{ASIDE}/{folder.name}", files=tuple(moved)) if moved else None,
        notes=halted.notes,
        commit=commit(),
        breaks=halted.breaks,
    )
    directory.append("resumes.jsonl", [record])


def _newest(path: Path, identity: Identity, whole: int, notes: list[str]) -> Checkpoint | None:
    lines = read_lines(path / "checkpoints.jsonl", CheckpointLine).records
    wanted = {line.step: line.about for line in lines}
    for step in checkpoint_steps(path):
        try:
            checkpoint = read_checkpoint(path, step, wanted.get(step))
        except DamagedCheckpoint as error:
            notes.append(f"{error}; it is set aside, and the run goes on from the one before")
            continue
        _check_identity(path / FOLDER / str(step), checkpoint.identity, identity)
        if step > whole:
            notes.append(f"{FOLDER}/{step} is set aside: only {whole} steps are whole in steps.jsonl and blocks.jsonl")
            continue
        return checkpoint
    return None


def _check_identity(path: Path, found: Identity, own: Identity) -> None:
    there = _flat(plain(found))
    for name, value in _flat(plain(own)).items():
        other = there.get(name)
        if other != value:
            raise ValueError(
                f"{path} is the checkpoint of another run: its {name} is {other!r}, and this run's {value!r} by "
                "config.json. Put whichever is in the wrong place back, or delete the checkpoint to go on from the one "
                "before"
            )


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found = {}
    for key, value in tree.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def _calibration(path: Path, options: TrainOptions, *, begun: bool, elsewhere: bool) -> Calibration | None:
    file = path / "calibration.json"
    if not file.exists():
        if begun:
            raise ValueError(
                f"{file} is gone, and the run's decisions rest on it: bring it back, or train anew. It is not measured "
                "again, since other seconds would lead to other decisions"
            )
        return None
    found = read_calibration(path)
    if not elsewhere:  # which the record then says; decisions still rest on the run's own seconds
        here = calibration_environment(options.training.dtype, options.training.blas_threads)
        check_environment(found.environment, here, f"the calibration of {path}", _CALIBRATED_ELSEWHERE)
    return found


def _are_of(step: StepLine, lines: list[SystemLine]) -> bool:
    return len(lines) == step.systems and lines[0].step == step.step


def _ascending(width: int) -> Callable[[SystemLine, int], bool]:
    """Whether a line stands behind those before it, and is of one of so many blocks (0: of any group)."""
    last = -1, -1

    def fits(line: SystemLine, _: int) -> bool:
        nonlocal last
        before, last = last, (line.step, line.block)
        return before < last and (not width or line.block < width)

    return fits


def _in_order(
    path: Path,
    kind: type[T],
    fits: Callable[[T, int], bool],
    notes: list[str],
    upgrade: Callable[[Any], None] | None = None,
) -> Lines[T]:
    """Return the lines up to the first that is cut off, malformed or out of order."""
    lines: Lines[T] = read_lines(path, kind, upgrade)
    if lines.broken is not None:
        notes.append(f"{lines.broken}: the lines from there on are set aside")
    count = next((i for i, line in enumerate(lines.records) if not fits(line, i)), len(lines.records))
    return Lines(lines.records[:count], lines.places)


def _end_of_records(path: Path, kind: type[Any]) -> int:
    """Position after the last line that can be read: what follows would stand in front of the lines to come."""
    lines = read_lines(path, kind)
    return lines.until(len(lines.records))


def _cut(path: Path, position: int, folder: Path) -> bool:
    """Move the rest of a file from `position` into a file of that name in `folder`."""
    size = path.stat().st_size if path.exists() else 0
    if position == size:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    # Copied, and on disk, before it is cut off: a process that is killed in between leaves it twice, never nowhere.
    copy_rest(path, position, folder / path.name)
    sync_folder(folder.parent)
    os.truncate(path, position)
    return True


def _next_aside(path: Path) -> Path:
    number = 1
    while (path / ASIDE / f"{number:03d}").exists():
        number += 1
    return path / ASIDE / f"{number:03d}"

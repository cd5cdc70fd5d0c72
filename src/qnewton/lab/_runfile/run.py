"""The directory of a run, as all readers use it."""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, overload

from .calibration import Calibration
from .checkpoint import ResumeLine
from .config import Config
from .decode import Upgrade, decode, typed, untyped
from .digests import config_digest, file_digest
from .errors import RunFileError
from .group import GroupLine
from .group_sums import groups_by_step
from .lines import KEPT, Lines, read_lines
from .manifest import NAME as MANIFEST
from .manifest import altered, verify
from .migrate import migration_from
from .ranges import Ranges, apart
from .step import StepLine
from .summary import Summary
from .system import SystemLine

T = TypeVar("T")
_NAMED = 5
"""Steps that a note lists."""


class Decided(Sequence[tuple[SystemLine, ...]]):
    """For each whole step the lines of its blocks, in the order of the partition."""

    def __init__(self, blocks: Sequence[SystemLine], starts: Sequence[int], width: int):
        """Take what `read_run` has found.

        Args:
            blocks: lines of `blocks.jsonl`.
            starts: number of the first line of each whole step.
            width: blocks of a step.
        """
        self._blocks, self._starts, self._width = blocks, starts, width

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[tuple[SystemLine, ...]]:
        lines, at = iter(self._blocks), 0
        for start in self._starts:
            if start < at:
                lines, at = iter(self._blocks[start:]), start
            yield tuple(islice(lines, start - at, start - at + self._width))
            at = start + self._width

    @overload
    def __getitem__(self, index: int) -> tuple[SystemLine, ...]: ...
    @overload
    def __getitem__(self, index: slice) -> "Decided": ...
    def __getitem__(self, index: int | slice) -> "tuple[SystemLine, ...] | Decided":
        if isinstance(index, slice):
            return Decided(self._blocks, self._starts[index], self._width)
        start = self._starts[index]
        return tuple(self._blocks[start : start + self._width])


@dataclass(frozen=True)
class Run:
    """The files of a run.

    Attributes:
        path: of its directory.
        config: of `config.json`.
        steps: of `steps.jsonl`; of a long run each is read when it is asked for.
        blocks: of `blocks.jsonl`, those of a step that was cut off too; likewise.
        whole: number of the first line of each step that `blocks.jsonl` has all blocks of.
        summary: of `summary.json`; None where it is missing: the run was stopped, or goes on.
        notes: what was missing or cut off, in words.
        all_steps, all_blocks: of these files, where `steps` and `blocks` are some of their lines.
    """

    path: Path
    config: Config
    steps: Sequence[StepLine]
    blocks: Sequence[SystemLine]
    whole: Sequence[int]
    summary: Summary | None
    notes: tuple[str, ...]
    all_steps: Sequence[StepLine]
    all_blocks: Sequence[SystemLine]

    @property
    def aside(self) -> str:
        """The notes behind a sentence on what the run has not."""
        return f" ({' '.join(self.notes)})" if self.notes else ""

    @functools.cached_property
    def calibration(self) -> Calibration:
        """Content of `calibration.json`.

        Raises:
            RunFileError: if it is not there, or not what was written.
        """
        return read_calibration(self.path)

    @functools.cached_property
    def groups(self) -> tuple[tuple[GroupLine, ...], ...]:
        """Groups of equal systems of a complete optimizer for each step; empty if it has none."""
        return groups_by_step(self.steps)

    def thinned(self) -> "Run":
        """The run itself, or of a long one steps at equal distances, so few that their lines can be kept."""
        lines = max(len(self.steps), len(self.blocks))
        if lines <= KEPT:
            return self
        every = -(-lines // KEPT)
        steps = tuple(self.steps[::every])
        numbers = {step.step for step in steps}
        blocks = tuple(line for line in self.blocks if line.step in numbers)
        of_blocks = _Steps(len(self.config.model.blocks))
        for line in blocks:
            of_blocks.add(line)
        of_blocks.end()
        note = (
            f"The run has {len(self.steps)} steps. Figures and tables rest on every {every}th of them, and count the "
            "systems of these; seconds that are summed are those of all steps."
        )
        return replace(self, steps=steps, blocks=blocks, whole=of_blocks.whole, notes=(*self.notes, note))

    @functools.cached_property
    def decided(self) -> Decided:
        """Return, for each complete step, the lines of its blocks, in the order of the partition.

        Raises:
            RunFileError: for a complete optimizer, and where there is no such step.
        """
        check_scheduled(self.path, self.config)
        if not self.whole:
            raise RunFileError(f"{self.path / 'blocks.jsonl'} holds no whole step: the run ended before its first one")
        return Decided(self.blocks, self.whole, len(self.config.model.blocks))


class _Steps:
    """Steps of the lines of blocks, in the order of the file."""

    def __init__(self, width: int):
        self.width, self.numbers, self.whole = width, Ranges(), Ranges(width)
        self.parts: list[tuple[int, int]] = []
        """The first steps that have not all blocks, and how many they have."""
        self._count, self._step, self._have = 0, -1, 0

    def add(self, line: SystemLine) -> None:
        """Take up the next line."""
        if line.step != self._step:
            self.end()
            self._step, self._have = line.step, 0
            self.numbers.add(line.step)
        self._have += 1
        self._count += 1

    def end(self) -> None:
        """No further line of the present step comes."""
        if self._have == self.width:
            self.whole.add(self._count - self._have)
        elif self._have and len(self.parts) < _NAMED:
            self.parts.append((self._step, self._have))


def read_run(path: Path) -> Run:
    """Read the directory of a run.

    Args:
        path: what `qnewton train` wrote. `summary.json` may be missing, as may lines that a killed run never wrote, and
            the last line of a `*.jsonl` may be cut off: `Run.notes` then says so.

    Raises:
        RunFileError: if a file is not what `docs/run-files.md` says; names the file, the line and the field.
    """
    path = Path(path)
    config = read_config(path)
    migration = migration_from(config.schema_version, str(path / "config.json"))
    notes = verify(path, ("config.json", "steps.jsonl", "blocks.jsonl", "resumes.jsonl", "summary.json"))
    numbers, of_blocks = Ranges(), _Steps(len(config.model.blocks))
    steps = _whole(path / "steps.jsonl", StepLine, migration.step, notes, lambda line: numbers.add(line.step))
    blocks: Sequence[SystemLine] = ()
    if config.scheduled:
        blocks = _whole(path / "blocks.jsonl", SystemLine, migration.system, notes, of_blocks.add)
        of_blocks.end()
    resumes = path / "resumes.jsonl"
    notes += [
        f"From step {line.step} on it went on with --anyway, elsewhere than it began: {'; '.join(line.breaks)}."
        for line in (_whole(resumes, ResumeLine, None, notes) if resumes.exists() else ())
        if line.breaks
    ]
    summary = None
    if (path / "summary.json").is_file():
        summary = read_summary(path)
        if summary.steps != len(steps):
            notes.append(f"summary.json counts {summary.steps} steps, steps.jsonl holds {len(steps)}.")
    else:
        why = (
            f"the run had one when it ended, by {MANIFEST}"
            if (path / MANIFEST).is_file()
            else "the run was killed, or is still running"
        )
        notes.append(f"summary.json is missing: {why}. Totals are summed over the steps that were written.")
    notes += [f"blocks.jsonl: step {step} has {have} of {of_blocks.width} blocks." for step, have in of_blocks.parts]
    unfinished = apart(numbers, of_blocks.numbers, _NAMED) if config.scheduled else []
    if unfinished:
        listed = ", ".join(map(str, unfinished))
        notes.append(f"steps.jsonl and blocks.jsonl do not hold the same steps (step {listed} is in one of them only).")
    return Run(path, config, steps, blocks, of_blocks.whole, summary, tuple(notes), steps, blocks)


def read_config(path: Path) -> Config:
    """Read `config.json` of a run directory, brought to the present schema except `schema_version` itself.

    Raises:
        RunFileError: for a directory that holds none, or one that this version does not read.
    """
    file = Path(path) / "config.json"
    if not file.is_file():
        raise RunFileError(
            f"{path} holds no config.json: it is not the directory of a run, or of one that was stopped before it "
            "began: start that with its own command again"
        )
    content = untyped(file.read_bytes(), str(file))
    if not isinstance(content, dict):
        return typed(content, Config, str(file))  # which says what it is
    _check_digest(content, file)
    upgrade = migration_from(content.get("schema_version"), str(file)).config
    if upgrade is not None:
        upgrade(content)
    return typed(content, Config, str(file))


def _check_digest(content: dict[str, Any], file: Path) -> None:
    """Compare `config.json` with the digest in it, if it has any."""
    digests = content.get("digests")
    if isinstance(digests, dict) and digests and digests.get("config") != config_digest(content):
        altered(f"{file} was altered after the run had written it")


def read_calibration(path: Path) -> Calibration:
    """Read `calibration.json` of a run directory.

    Raises:
        RunFileError: if it is not there, or not what was written: `config.json` has its digest.
    """
    file = Path(path) / "calibration.json"
    if not file.is_file():
        raise RunFileError(f"{file} is missing: the run's predictions rest on it, so bring it back, or train again")
    digest = read_config(path).digests.get("calibration") if (Path(path) / "config.json").is_file() else None
    if digest is not None and file_digest(file) != digest:
        altered(f"{file} was altered after the run had written it, or is of another run than config.json")
    return decode(file.read_bytes(), Calibration, str(file))


def read_summary(path: Path) -> Summary:
    """Read `summary.json` of a run directory.

    Raises:
        RunFileError: if it is not what was written.
    """
    file = Path(path) / "summary.json"
    content = untyped(file.read_bytes(), str(file))
    if isinstance(content, dict):
        upgrade = migration_from(content.get("schema_version"), str(file)).summary
        if upgrade is not None:
            upgrade(content)
    return typed(content, Summary, str(file))


def check_scheduled(path: Path, config: Config) -> None:
    """Refuse a run without systems.

    Raises:
        RunFileError: for a complete optimizer.
    """
    if not config.scheduled:
        raise RunFileError(
            f"{path} is a run of {config.optimizer}, a complete optimizer, which has no blocks: there are no decisions "
            "on them in it"
        )


def _whole(
    path: Path,
    kind: type[T],
    upgrade: Upgrade | None,
    notes: list[str],
    seen: Callable[[T], object] = lambda record: None,
) -> Sequence[T]:
    lines: Lines[T] = read_lines(path, kind, upgrade, seen)
    if lines.broken is not None:
        raise lines.broken
    if lines.missing:
        notes.append(f"{path.name} is missing: the run ended before its first step.")
    if lines.torn is not None:
        notes.append(f"{path.name}: the last line ({lines.torn}) is cut off and was left out.")
    return lines.records

"""The directory of a run, as all readers use it."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from .calibration import Calibration
from .checkpoint import ResumeLine
from .config import Config
from .decode import Upgrade, decode, typed, untyped
from .digests import config_digest, file_digest
from .errors import RunFileError
from .lines import KEPT, Lines, read_lines
from .manifest import NAME as MANIFEST
from .manifest import altered, verify
from .migrate import migration_from
from .step import StepLine
from .summary import SetTotals, Summary
from .sums import set_totals
from .system import SystemLine
from .written import Decided, Spans, Written

T = TypeVar("T")
DRAWN = 5_000
"""Lines of a long run that its report looks at, about."""


@dataclass(frozen=True)
class Run:
    """The files of a run.

    Attributes:
        path: of its directory.
        config: of `config.json`.
        steps: of `steps.jsonl`; of a long run each is read when it is asked for.
        blocks: of `blocks.jsonl`, those of a step that was cut off too; likewise.
        written: which steps have all of their lines there.
        summary: of `summary.json`; None where it is missing: the run was stopped, or goes on.
        notes: what was missing or cut off, in words.
        all_steps, all_blocks, all_written: of the whole files, where `steps` and `blocks` are some of their lines.
    """

    path: Path
    config: Config
    steps: Sequence[StepLine]
    blocks: Sequence[SystemLine]
    written: Spans
    summary: Summary | None
    notes: tuple[str, ...]
    all_steps: Sequence[StepLine]
    all_blocks: Sequence[SystemLine]
    all_written: Spans

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
    def held(self) -> tuple[int, ...]:
        """Number of steps for which each entry of `decided` holds: of a block one, of groups until one changes."""
        return tuple(until - first for first, until in zip(self.written.firsts, self.written.untils, strict=True))

    @functools.cached_property
    def totals(self) -> dict[str, SetTotals]:
        """Totals of each assumption set over the systems of all steps, the acting set first; empty without any."""
        spans = self.all_written
        held = (until - first for first, until in zip(spans.firsts, spans.untils, strict=True))
        return set_totals(Decided(self.all_blocks, spans.starts, spans.ends), held)

    def thinned(self) -> "Run":
        """The run itself, or of a long one steps at equal distances, so few that their lines can be kept."""
        lines = max(len(self.steps), len(self.blocks))
        if lines <= KEPT:
            return self
        every = -(-lines // DRAWN)
        some = self.written.every(-(-len(self.blocks) // DRAWN))
        decided = Decided(self.blocks, some.starts, some.ends)
        blocks = tuple(line for lines in decided for line in lines)
        note = (
            f"The run has {len(self.steps)} steps. Figures and tables rest on every {every}th of them, and count the "
            "systems of these; seconds that are summed are those of all steps."
        )
        return replace(
            self, steps=tuple(self.steps[::every]), blocks=blocks, written=some.packed, notes=(*self.notes, note)
        )

    @functools.cached_property
    def decided(self) -> Decided:
        """Return, for each complete step with lines of its own, these, in the order of the partition or the groups.

        Raises:
            RunFileError: for an optimizer without priced systems, and where there is no such step.
        """
        if not self.written.starts:
            if not self.blocks:
                check_scheduled(self.path, self.config)
            raise RunFileError(
                f"{self.path / 'blocks.jsonl'} holds no whole step: the run ended before its first one{self.aside}"
            )
        return Decided(self.blocks, self.written.starts, self.written.ends)


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
    migration = migration_from(config.schema_version, str(path / "config.json"), len(config.model.blocks))
    notes = verify(path, ("config.json", "steps.jsonl", "blocks.jsonl", "resumes.jsonl", "summary.json"))
    written = Written(len(config.model.blocks))
    steps = _whole(path / "steps.jsonl", StepLine, migration.step, notes, written.step)
    blocks: Sequence[SystemLine] = migration.systems(str(path / "steps.jsonl"))
    for line in blocks:
        written.system(line)
    if config.scheduled or (path / "blocks.jsonl").exists() or written.lines > len(blocks):
        own = _whole(path / "blocks.jsonl", SystemLine, migration.system, notes, written.system)
        blocks = (*blocks, *own) if blocks else own
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
            f"{MANIFEST} has it, so the run was killed at its very end, or the file was removed"
            if (path / MANIFEST).is_file()
            else "the run was killed, or is still running"
        )
        notes.append(f"summary.json is missing: {why}. Totals are summed over the steps that were written.")
    notes += written.notes()
    spans = written.spans
    return Run(path, config, steps, blocks, spans, summary, tuple(notes), steps, blocks, spans)


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

    Args:
        path: of the directory, or of the file.

    Raises:
        RunFileError: if it is not there, or not what was written: `config.json` has its digest.
    """
    path = Path(path)
    file = path if path.is_file() else path / "calibration.json"
    if not file.is_file():
        raise RunFileError(f"{file} is missing: the run's predictions rest on it, so bring it back, or train again")
    run = file.parent if file.name == "calibration.json" else None  # A copy of it by another name stands for itself.
    digest = read_config(run).digests.get("calibration") if run and (run / "config.json").is_file() else None
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

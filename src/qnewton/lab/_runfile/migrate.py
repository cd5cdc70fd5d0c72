"""Migration of schemas 6 to 8: fields that were not always written, or under another name, or elsewhere.

Schema 6 grew while it stood. Its first runs have no second estimator and do not say why single examples served; no run
of a complete optimizer has a schedule. Up to schema 7 `execution` was called `fidelity`, and `modelled` was `model`. Up
to schema 8 groups of equal systems were records of another kind, in the lines of steps, and a system that nobody could
take had a choice that refused it.
"""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .base import SCHEMA_VERSION, Record
from .decode import T, Upgrade, typed, untyped
from .errors import RunFileError
from .system import SetDecision, SystemLine, VerdictName, group_line


@dataclass(frozen=True)
class Migration:
    """Migration of a run's files to the present schema; None: they have it already.

    What is of it already stays as it is, since a run that went on has lines of both.

    Attributes:
        config, step, system, summary: of the objects of these files.
        older: groups in the lines that `step` has brought up so far.
    """

    config: Upgrade | None = None
    step: Upgrade | None = None
    system: Upgrade | None = None
    summary: Upgrade | None = None
    older: "_Groups | None" = None

    def systems(self, place: str) -> tuple[SystemLine, ...]:
        """Return the lines that `blocks.jsonl` would have of these groups, once all lines of steps were read.

        Args:
            place: the file of the steps, for the message.

        Raises:
            RunFileError: for a group that is not as schema 8 had it.
        """
        return () if self.older is None else self.older.taken(place)


def migration_from(version: object, place: str, width: int = 0) -> Migration:
    """The migration of a run.

    Args:
        version: `schema_version` of its `config.json`.
        place: that file.
        width: blocks of its partition.

    Raises:
        RunFileError: for a schema that this version does not read.
    """
    if not isinstance(version, int) or isinstance(version, bool) or not 6 <= version <= SCHEMA_VERSION:
        raise _other_version(version, f"{SCHEMA_VERSION}, and 6 to 8, which it migrates", place)
    if version == SCHEMA_VERSION:
        return Migration()
    older = _Groups()
    step = functools.partial(_step, width, older)
    if version == 8:
        return Migration(step=step, system=_system, older=older)
    return Migration(_config, step, _older_system, _execution, older)


def read_version(file: Path, kind: type[T], version: int) -> T:
    """Read a file of one JSON object in a single schema, whose version is checked first.

    Args:
        file: that is there.
        kind: of the record.
        version: that is read.

    Raises:
        RunFileError: for another schema, naming both, and for what is no such record.
    """
    content = untyped(file.read_bytes(), str(file))
    if isinstance(content, dict) and content.get("schema_version") != version:
        raise _other_version(content.get("schema_version"), str(version), str(file))
    return typed(content, kind, str(file))


def _other_version(found: object, read: str, place: str) -> RunFileError:
    return RunFileError(
        f"{place}: schema_version is {found!r}, and this version of qnewton reads {read}: open it with the qnewton "
        "that its 'versions' name, or make it again"
    )


def _config(content: Any) -> None:
    scheduling = content.get("options")
    if isinstance(scheduling, dict) and isinstance(scheduling := scheduling.get("scheduling"), dict):
        scheduling.setdefault("second_estimator", None)


def _step(width: int, older: "_Groups", line: Any) -> None:
    if not isinstance(line, dict):
        return
    line.setdefault("predicted_schedule", {})
    own = line.get("systems", [])
    if own is None:
        line["systems"] = 0
    elif isinstance(own, list):
        line["systems"] = len(own) or width
        older.add(line.get("step", 0), own)


def _older_system(line: Any) -> None:
    if isinstance(line, dict):
        for name in ("independence", "second_log10_condition_number", "second_condition_number_kind"):
            line.setdefault(name, None)
    _execution(line)
    _system(line)


def _system(line: Any) -> None:
    sets = line.get("assumptions") if isinstance(line, dict) else None
    for entry in sets.values() if isinstance(sets, dict) else ():
        refused = entry.get("refused") if isinstance(entry, dict) else None
        if isinstance(refused, dict) and entry.get("choice") in list(refused):
            entry["choice"] = entry["machine"] = None


def _execution(line: Any) -> None:
    if isinstance(line, dict) and "fidelity" in line:
        found = line.pop("fidelity")
        line["execution"] = "modelled" if found == "model" else found


class _GroupDecision(Record, frozen=True):
    choice: str | None
    verdict: VerdictName
    predicted_seconds: dict[str, float | None]
    modelled_seconds: dict[str, float | None]
    at_least: tuple[str, ...]
    refused: dict[str, str]


class _Group(Record, frozen=True):
    name: str
    rows: int
    count: int
    vectors: int
    serves: int
    estimated: bool
    log10_condition_number: float | None
    assumptions: dict[str, _GroupDecision]


class _Groups:
    """Groups from the lines of steps, which may be read again."""

    def __init__(self):
        self._found: list[tuple[int, int, Any]] | None = []

    def add(self, step: int, groups: list[Any]) -> None:
        if self._found is not None:
            self._found += [(step, number, group) for number, group in enumerate(groups)]

    def taken(self, place: str) -> tuple[SystemLine, ...]:
        found, self._found = self._found or [], None
        return tuple(_line(step, place, number, typed(group, _Group, place)) for step, number, group in found)


def _line(step: int, place: str, number: int, group: _Group) -> SystemLine:
    if not group.assumptions:
        raise RunFileError(f"{place}: the field 'systems[{number}].assumptions' is empty; it must have a set")
    sets = {name: _decision(entry) for name, entry in group.assumptions.items()}
    acting = next(iter(sets))
    return group_line(
        step=step,
        block=number,
        name=group.name,
        size=(group.rows, group.count, group.vectors, group.serves),
        estimated=group.estimated,
        log10_condition_number=group.log10_condition_number,
        acting=acting,
        assumptions=sets,
    )


def _decision(entry: _GroupDecision) -> SetDecision:
    unknown = dict.fromkeys(entry.modelled_seconds)
    machine = None if entry.choice is None else "quantum" if entry.choice in unknown else "classical"
    return SetDecision(
        choice=entry.choice,
        machine=machine,
        worker=None,
        verdict=entry.verdict,
        predicted_seconds=entry.predicted_seconds | entry.modelled_seconds,
        refused=entry.refused,
        queries=unknown,
        copies=unknown,
        success_probability=unknown,
        clamped={},
        break_even_gate_time_s=unknown,
        predicted_quantum_seconds_by_gate_time={},
        at_least=entry.at_least,
    )

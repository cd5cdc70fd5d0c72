"""From schemas 6 and 7 to the present one: fields that their runs did not always write, and one with another name.

Schema 6 grew while it stood. Its first runs have no second estimator and do not say why single examples served; no run
of a complete optimizer has a schedule. Up to schema 7 `execution` was called `fidelity`, and `modelled` was `model`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .base import SCHEMA_VERSION
from .decode import T, Upgrade, typed, untyped
from .errors import RunFileError


@dataclass(frozen=True)
class Migration:
    """Migration of a run's files to the present schema; None: they have it already.

    What is of it already stays as it is, since a run that went on has lines of both.

    Attributes:
        config, step, system, summary: of the objects of these files.
    """

    config: Upgrade | None = None
    step: Upgrade | None = None
    system: Upgrade | None = None
    summary: Upgrade | None = None


def migration_from(version: object, place: str) -> Migration:
    """The migration of a run.

    Args:
        version: `schema_version` of its `config.json`.
        place: that file.

    Raises:
        RunFileError: for a schema that this version does not read.
    """
    known = {SCHEMA_VERSION: Migration(), 7: _FROM_7, 6: _FROM_6}
    if isinstance(version, int) and not isinstance(version, bool) and version in known:
        return known[version]
    raise _other_version(version, f"{SCHEMA_VERSION}, and 6 and 7, which it migrates", place)


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


def _step(line: Any) -> None:
    if isinstance(line, dict):
        line.setdefault("predicted_schedule", {})


def _system(line: Any) -> None:
    if isinstance(line, dict):
        for name in ("independence", "second_log10_condition_number", "second_condition_number_kind"):
            line.setdefault(name, None)
    _execution(line)


def _execution(line: Any) -> None:
    if isinstance(line, dict) and "fidelity" in line:
        found = line.pop("fidelity")
        line["execution"] = "modelled" if found == "model" else found


_FROM_7 = Migration(system=_execution, summary=_execution)
_FROM_6 = Migration(_config, _step, _system, _execution)

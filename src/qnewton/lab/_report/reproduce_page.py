"""The page of qnewton reproduce, from the files `figures/NAME.json` alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from msgspec.structs import asdict

from .._runfile import REPRODUCTION_VERSION, FigureFile, RunFileError, read_version
from . import (
    reproduce_claims,
    reproduce_gates,
    reproduce_inversion,
    reproduce_kappa,
    reproduce_language,
    reproduce_sweeps,
    reproduce_training,
)
from .chart import Clock
from .parts import Answered, Glance, Listing, Page, Part, Section, Text
from .render import write_page
from .reproduce_parts import Numbers
from .units import short_seconds


@dataclass(frozen=True)
class _Evaluation:
    answer: Callable[[Numbers], Answered]
    body: Callable[[Numbers], list[Part]]


def _language(name: str) -> _Evaluation:
    return _Evaluation(reproduce_language.answer, partial(reproduce_language.body, name))


def _sweep(name: str) -> _Evaluation:
    return _Evaluation(partial(reproduce_sweeps.answer, name), partial(reproduce_sweeps.body, name))


_SECTIONS = {
    "inversion-time": _Evaluation(reproduce_inversion.answer, reproduce_inversion.body),
    "training-time-mlp": _Evaluation(reproduce_training.answer, reproduce_training.body),
    "training-time-bert": _language("training-time-bert"),
    "training-time-gpt": _language("training-time-gpt"),
    "kappa-share": _Evaluation(reproduce_kappa.answer, reproduce_kappa.body),
    "gate-times": _Evaluation(reproduce_gates.answer, reproduce_gates.body),
    "keep-ratio": _sweep("keep-ratio"),
    "regularisation": _sweep("regularisation"),
}
_SETS = {
    "paper": "a query for each gate time, at subnormalisation 1, and nothing else: no read-out, no error correction, "
    "no load of the matrix",
    "end_to_end": "block encoding and right-hand side with all their gates, error correction, the read-out of "
    "direction and length, and the load of the matrix in each step",
    "paper-sparse": "the complexity of the paper's abstract, in which alone the sparsity counts",
}


@dataclass(frozen=True)
class Written:
    """A page of evaluations that was written.

    Attributes:
        page: its file.
        claims: of the paper, each with its answer.
        answers: each question with its answer.
    """

    page: Path
    claims: list[tuple[str, Answered]]
    answers: list[tuple[str, Answered]]


def write_reproduction(files: Sequence[Path], target: Path, figures: str | None = None) -> Written:
    """Write one page of the evaluations, replacing an older one in one move.

    Args:
        files: `figures/NAME.json`, in the order of the page.
        target: of the page.
        figures: as of `write_report`.

    Raises:
        RunFileError: for a file that is not one of them.
    """
    records = [_read(Path(file)) for file in files]
    answers = [(record, _SECTIONS[record.name].answer(record.numbers)) for record in records]
    title = "Q-Newton's evaluation, and the honest one beside it"
    parts: list[Part | Section] = []
    claims = reproduce_claims.claims({record.name: record.numbers for record in records})
    if claims:
        seed = records[0].options["seed"]
        about = f"All trainings have one seed, {seed}: no answer has an interval."
        parts.append(Glance("claims", "What the paper claims", claims, about))
    if len(records) > 1:
        entries = [(record.name, record.question, answer) for record, answer in answers]
        parts.append(Glance("glance", "At a glance", entries))
    parts.append(_reading(records))
    for record, answer in answers:
        body = _SECTIONS[record.name].body(record.numbers)
        parts.append(Section(record.name, record.question, [answer, *body, Text(_source(record), "source")]))
    page = Page(title, title, _about(records), parts, _facts(records[0]))
    return Written(
        write_page(page, target, figures),
        [(claim, answer) for _, claim, answer in claims],
        [(record.question, answer) for record, answer in answers],
    )


def _read(file: Path) -> FigureFile:
    found = read_version(file, FigureFile, REPRODUCTION_VERSION)
    if found.name not in _SECTIONS:
        raise RunFileError(f"{file}: the field 'name' must be one of {', '.join(_SECTIONS)}")
    return found


def _about(records: list[FigureFile]) -> str:
    options = records[0].options
    return (
        f"The evaluations of arXiv 2405.00252 by qnewton reproduce, size {options['size']}. Each is answered twice: "
        "under the paper's assumptions and end to end."
    )


def _reading(records: list[FigureFile]) -> Listing:
    lines: list[tuple[Clock | None, str]] = [
        ("measured", "wall clock of what ran on this machine."),
        (
            "predicted",
            "what decisions compare: classical seconds calibrated on this machine, quantum seconds modelled by a "
            "published query count. Where a figure holds both clocks, every line says which it is.",
        ),
        (
            None,
            "No quantum circuit ran: a classical solve stood in for every quantum one (execution `modelled`), so "
            "the trainings of all assumption sets are the same and only their costs differ.",
        ),
    ]
    shown = [name for name in _SETS if name != "paper-sparse" or any(r.name == "inversion-time" for r in records)]
    return Listing([*lines, *((None, f"Set `{name}`: {_SETS[name]}.") for name in shown)])


def _source(record: FigureFile) -> str:
    """Return the line of provenance under every section."""
    options = record.options
    versions = ", ".join(f"{name} {record.versions.get(name)}" for name in ("qnewton", "jax", "lineax"))
    parts = [
        "sets paper, end_to_end",
        f"quantum machine {options['hardware']} at {short_seconds(options['gate_time_s'])} per gate",
        f"error {options['precision']:g}",
        "query count jennings2023v1",
        f"classical: {record.machine.processor}",
        versions,
        f"seed {options['seed']}",
        f"commit {record.commit or 'not recorded'}",
        f"from {', '.join(record.files) or 'the calibration alone'}",
    ]
    return "; ".join(parts)


def _facts(record: FigureFile) -> list[tuple[str, str]]:
    machine = ", ".join(f"{key}: {value}" for key, value in sorted(asdict(record.machine).items()))
    versions = ", ".join(f"{key} {value}" for key, value in sorted(record.versions.items()))
    return [
        ("machine", machine),
        ("versions", versions),
        ("commit", record.commit or "not recorded"),
        ("started (UTC)", record.started),
        ("options", json.dumps(record.options, ensure_ascii=False)),
    ]

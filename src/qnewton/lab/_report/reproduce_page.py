"""The page of qnewton reproduce, from the files `figures/NAME.json` alone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from msgspec.structs import asdict

from .._runfile import REPRODUCTION_VERSION, FigureFile, RunFileError, read_version
from . import (
    reproduce_gates,
    reproduce_inversion,
    reproduce_kappa,
    reproduce_language,
    reproduce_sweeps,
    reproduce_training,
)
from .markup import escape, paragraph, section, tag
from .page import SECURITY
from .reproduce_parts import Answer, Numbers
from .style import stylesheet
from .units import short_seconds


@dataclass(frozen=True)
class _Section:
    answer: Callable[[Numbers], Answer]
    body: Callable[[Numbers], str]


def _language(name: str) -> _Section:
    return _Section(reproduce_language.answer, partial(reproduce_language.body, name))


def _sweep(name: str) -> _Section:
    return _Section(partial(reproduce_sweeps.answer, name), partial(reproduce_sweeps.body, name))


_SECTIONS = {
    "inversion-time": _Section(reproduce_inversion.answer, reproduce_inversion.body),
    "training-time-mlp": _Section(reproduce_training.answer, reproduce_training.body),
    "training-time-bert": _language("training-time-bert"),
    "training-time-gpt": _language("training-time-gpt"),
    "kappa-share": _Section(reproduce_kappa.answer, reproduce_kappa.body),
    "gate-times": _Section(reproduce_gates.answer, reproduce_gates.body),
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
_STYLE = (
    ".answer{max-width:80ch;border-left:5px solid var(--ink);padding-left:.8rem;margin:.6rem 0 1rem}"
    ".answer p{margin:.25rem 0}.source{font-size:.8rem;color:var(--muted);max-width:110ch}"
    ".glance>div{display:grid;grid-template-columns:1fr 1fr 1fr;gap:.2rem 1.4rem;border-top:1px solid var(--grid);"
    "padding:.5rem 0}.glance p{margin:0;font-size:.92rem}"
    ".glance div div p{color:var(--muted);font-size:.82rem}"
    ".glance p b{display:block;font-size:.78rem;color:var(--muted)}"
    ".glance a{color:inherit}@media(max-width:700px){.glance>div{grid-template-columns:1fr}}"
)


def write_reproduction(files: Sequence[Path], target: Path) -> tuple[Path, list[tuple[str, Answer]]]:
    """Write one page of the evaluations, replacing an older one in one move.

    Args:
        files: `figures/NAME.json`, in the order of the page.
        target: of the page.

    Returns:
        The page, and each question with its answer.

    Raises:
        RunFileError: for a file that is not one of them.
    """
    records = [_read(Path(file)) for file in files]
    answers = [(record.question, _SECTIONS[record.name].answer(record.numbers)) for record in records]
    page = _render(records, [answer for _, answer in answers])
    temporary = target.with_name(f".{target.stem}.{os.getpid()}.html")
    try:
        temporary.write_text(page, encoding="utf-8")
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return target, answers


def _read(file: Path) -> FigureFile:
    found = read_version(file, FigureFile, REPRODUCTION_VERSION)
    if found.name not in _SECTIONS:
        raise RunFileError(f"{file}: the field 'name' must be one of {', '.join(_SECTIONS)}")
    return found


def _render(records: list[FigureFile], answers: list[Answer]) -> str:
    title = "Q-Newton's evaluation, and the honest one beside it"
    body = [f"<header><h1>{escape(title)}</h1>{paragraph(_about(records), 'quiet')}</header>"]
    if len(records) > 1:
        body.append(_glance(records, answers))
    body.append(_reading(records))
    for record, answer in zip(records, answers, strict=True):
        inside = f"{_answer(answer)}{_SECTIONS[record.name].body(record.numbers)}"
        body.append(section(record.name, record.question, inside + _source(record)))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{SECURITY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{stylesheet()}{_STYLE}</style></head>\n"
        f"<body><main>{''.join(body)}</main>\n{_provenance(records[0])}</body></html>\n"
    )


def _about(records: list[FigureFile]) -> str:
    options = records[0].options
    return (
        f"The evaluations of arXiv 2405.00252 by qnewton reproduce, size {options['size']}. Each is answered twice: "
        "under the paper's assumptions and end to end."
    )


def _answer(answer: Answer) -> str:
    besides = f"<p>{escape(answer.besides)}</p>" if answer.besides else ""
    return (
        f'<div class="answer"><p><b>Under <code>paper</code>.</b> {escape(answer.paper)}</p>'
        f"<p><b>End to end.</b> {escape(answer.end_to_end)}</p>{besides}</div>"
    )


def _glance(records: list[FigureFile], answers: list[Answer]) -> str:
    rows = "".join(
        f'<div><div><h3><a href="#{record.name}">{escape(record.question)}</a></h3>'
        f"<p>{escape(answer.besides)}</p></div>"
        f"<p><b>Under paper</b>{escape(answer.paper)}</p><p><b>End to end</b>{escape(answer.end_to_end)}</p></div>"
        for record, answer in zip(records, answers, strict=True)
    )
    return f'<section class="glance" id="glance"><h2>At a glance</h2>{rows}</section>'


def _reading(records: list[FigureFile]) -> str:
    lines = [
        f"{tag('measured')}wall clock of what ran on this machine. {tag('predicted')}what decisions compare: classical "
        "seconds calibrated on this machine, quantum seconds modelled by a published query count. Where a figure holds "
        "both clocks, every line says which it is.",
        "No quantum circuit ran: a classical solve stood in for every quantum one (execution <code>modelled</code>), "
        "so the trainings of all assumption sets are the same and only their costs differ.",
    ]
    shown = [name for name in _SETS if name != "paper-sparse" or any(r.name == "inversion-time" for r in records)]
    lines += [f"Set <code>{name}</code>: {escape(_SETS[name])}." for name in shown]
    return '<ul class="reading">' + "".join(f"<li>{line}</li>" for line in lines) + "</ul>"


def _source(record: FigureFile) -> str:
    """One line under every section."""
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
    return f'<p class="source">{escape("; ".join(parts))}</p>'


def _provenance(record: FigureFile) -> str:
    from .markup import definitions

    machine = ", ".join(f"{key}: {value}" for key, value in sorted(asdict(record.machine).items()))
    versions = ", ".join(f"{key} {value}" for key, value in sorted(record.versions.items()))
    entries = [
        ("machine", machine),
        ("versions", versions),
        ("commit", record.commit or "not recorded"),
        ("started (UTC)", record.started),
        ("options", json.dumps(record.options, ensure_ascii=False)),
    ]
    return f'<footer id="provenance"><h2>Where this comes from</h2>{definitions(entries)}</footer>'

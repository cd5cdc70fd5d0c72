"""Footer of the page: provenance of the numbers."""

from __future__ import annotations

import json

from msgspec.structs import asdict

from .._runfile import Run, clean_text
from . import derive, headline
from .parts import Column, Table
from .units import MISSING, count, seconds

_OF_A_SCHEDULE = (
    "assumption set that acted",
    "assumption sets reported",
    "gate time of the choices",
    "execution of quantum solves",
    "blocks of the model",
)


def facts(run: Run) -> list[tuple[str, str]]:
    """Assumption set, machine, versions, seed, commit."""
    config, summary = run.config, run.summary
    status = summary.status if summary else "no summary.json"
    systems = f"blocks.jsonl ({len(run.all_blocks)} lines), " if run.blocks or config.scheduled else ""
    rest = f"{systems}summary.json ({'read' if summary else 'missing'})"
    entries = [
        ("status", status),
        ("optimizer", config.optimizer),
        ("assumption set that acted", derive.acting_set(run) or MISSING),
        ("assumption sets reported", ", ".join(derive.assumption_sets(run)) or MISSING),
        ("gate time of the choices", seconds(summary.gate_time_s) if summary else "in the options below"),
        ("execution of quantum solves", ", ".join(headline.executions(run)) or "no quantum solve"),
        ("machine", ", ".join(f"{key}: {_plain(value)}" for key, value in sorted(asdict(config.machine).items()))),
        ("versions", ", ".join(f"{key} {value}" for key, value in sorted(config.versions.items()))),
        ("seed", str(config.seed)),
        ("commit", config.commit or "not recorded"),
        ("started (UTC)", config.started),
        (
            "blocks of the model",
            ", ".join(f"{block.name} (n = {count(block.n)})" for block in config.model.blocks) or MISSING,
        ),
        ("read from", f"config.json, steps.jsonl ({len(run.all_steps)} lines), {rest}"),
    ]
    if not config.scheduled:
        entries = [entry for entry in entries if entry[0] not in _OF_A_SCHEDULE]
    return entries


def options(run: Run) -> Table:
    """The options that acted."""
    rows = [[name, value] for name, value in _flat(run.config.options)]
    heads = [Column("option", words=True), Column("value", wraps=True)]
    return Table("Options that acted", heads, rows, folded="Options", most=0)


def _flat(options: dict[str, object], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in sorted(options.items()):
        name = f"{prefix}{clean_text(key)}"
        rows += _flat(value, f"{name}.") if isinstance(value, dict) and value else [(name, _plain(value))]
    return rows


def _plain(value: object) -> str:
    return clean_text(value) if isinstance(value, str) else clean_text(json.dumps(value, ensure_ascii=False))

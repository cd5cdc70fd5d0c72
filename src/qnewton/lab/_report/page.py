"""Puts the page together: one section per question."""

from __future__ import annotations

from .._runfile import Run
from .headline import headline, notes, reading
from .markup import escape, paragraph
from .provenance import provenance
from .section_groups import groups_section
from .section_seconds import gate_time_section, measured_section, predicted_section
from .section_systems import choices_section, systems_section, training_section
from .style import stylesheet
from .units import count

SECURITY = "default-src 'none'; style-src 'unsafe-inline'"


def render(run: Run) -> str:
    """The whole page as text; the same text for the same run."""
    config = run.config
    title = f"{config.task}, preset {config.preset}"
    examples = f"{count(config.data.train)} training, {count(config.data.test)} test examples"
    parameters = f"{count(config.model.parameters)} parameters"
    about = f"{config.model.description} ({parameters}); {config.data.description} ({examples})"
    body = [
        f"<header><h1>qnewton run: {escape(title)}</h1>{paragraph(about, 'quiet')}</header>",
        notes(run),
        headline(run),
        reading(run),
    ]
    if run.steps:
        body += [training_section(run), groups_section(run)]
    if run.blocks:
        body += [systems_section(run), choices_section(run)]
    if run.steps:
        body += [measured_section(run), predicted_section(run)]
    if run.blocks:
        body.append(gate_time_section(run))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{SECURITY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>qnewton: {escape(title)}</title><style>{stylesheet()}</style></head>\n"
        f"<body><main>{''.join(body)}</main>\n{provenance(run)}</body></html>\n"
    )

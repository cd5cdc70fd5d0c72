"""The page of a run: one section per question."""

from __future__ import annotations

from .._runfile import Run
from . import provenance
from .headline import headline, notes, reading
from .parts import Page, Part, Section
from .section_choices import choices_section
from .section_gate_times import gate_time_section
from .section_measured import measured_section
from .section_predicted import predicted_section
from .section_systems import systems_section
from .section_training import training_section
from .section_workers import workers_section
from .units import count


def run_page(run: Run) -> Page:
    """The whole page of a run, as declared parts."""
    config = run.config
    title = f"{config.task}, preset {config.preset}"
    examples = f"{count(config.data.train)} training, {count(config.data.test)} test examples"
    parameters = f"{count(config.model.parameters)} parameters"
    parts: list[Part | Section | None] = [notes(run), headline(run), reading(run)]
    if run.steps:
        parts.append(training_section(run))
    # Systems of steps that are not there cannot be drawn over them; the notes at the top say so.
    if run.steps and run.blocks:
        parts += [systems_section(run), choices_section(run)]
    if run.steps:
        parts += [measured_section(run), workers_section(run), predicted_section(run)]
    if run.steps and run.blocks and config.scheduled:
        parts.append(gate_time_section(run))
    return Page(
        tab=f"qnewton: {title}",
        title=f"qnewton run: {title}",
        about=f"{config.model.description} ({parameters}); {config.data.description} ({examples})",
        parts=[part for part in parts if part is not None],
        facts=provenance.facts(run),
        options=provenance.options(run),
    )

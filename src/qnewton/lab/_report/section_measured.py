"""Section of the page: what the run took here, in measured seconds."""

from __future__ import annotations

import itertools

from msgspec.structs import asdict

from .._runfile import Run
from . import derive
from .chart import BINNED, MOST_POINTS, Chart, Line, Panel, Point, Scale, or_gap, over_steps
from .parts import Figures, Part, Section, Table, columns
from .styles import dotted
from .units import seconds


def measured_section(run: Run) -> Section:
    """Return the measured clock: per step, cumulative, and by part."""
    parts: list[Part] = [Figures([_per_step(run), _cumulative(run)])]
    if run.summary is not None:
        spent = asdict(run.summary.measured_breakdown).items()
        rows = [[part, seconds(value)] for part, value in spent if part != "calibration" or run.config.scheduled]
        parts.append(Table("Where the wall clock went", columns("part", "measured seconds"), rows, "measured"))
    return Section("measured", "What did it take here? Measured seconds", parts)


def _per_step(run: Run) -> Chart:
    """Wall clock of every step, and of the evaluations after it."""
    caption = "What ran on this machine; a modelled quantum solve costs here what its classical stand-in costs."
    if len(run.steps) > MOST_POINTS:
        caption += BINNED
    own = [(float(step.step), or_gap(step.measured_seconds)) for step in run.steps]
    evaluations = [(float(step.step), or_gap(step.measured_evaluation_seconds)) for step in run.steps]
    lines = {"step": own, "evaluation": [(x, y) for x, y in evaluations if y > 0]}
    panel = _panel(run, lines, "measured seconds per step")
    return Chart("f-measured-step", "Wall clock per step", caption, [panel], 2.9, "measured")


def _cumulative(run: Run) -> Chart:
    """Wall clock summed over the steps, without and with the evaluations."""
    own = [step.measured_seconds or 0.0 for step in run.steps]
    both = [seconds + (step.measured_evaluation_seconds or 0.0) for seconds, step in zip(own, run.steps, strict=True)]
    lines = {}
    for name, values in (("steps", own), ("with evaluations", both)):
        points = [(float(s.step), y) for s, y in zip(run.steps, itertools.accumulate(values), strict=True)]
        lines[name] = [group[-1] for group in derive.columns(points, MOST_POINTS)]  # a sum ends where its last term is
    caption = "Summed over the steps; what came before the first is not in it."
    panel = _panel(run, lines, "measured seconds, cumulative")
    return Chart("f-measured-sum", "Wall clock, cumulative", caption, [panel], 2.9, "measured")


def _panel(run: Run, lines: dict[str, list[Point]], label: str) -> Panel:
    marks = [
        Line(points, dotted(place, "os"[place]), beside=name)
        for place, (name, points) in enumerate(lines.items())
        if points
    ]
    return Panel(over_steps([step.step for step in run.steps]), Scale("seconds", label), marks)

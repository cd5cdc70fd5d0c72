"""Section of the page: what the run would take, in predicted seconds, by stage."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence

from .._runfile import STAGES, Run, StepLine
from . import derive, styles
from .chart import Cells, Chart, Fill, Key, Line, Mark, Note, Panel, Point, Scale, Stack, Style, over_steps, rows
from .parts import Figures, Section, Table, columns
from .units import seconds, shorten

MOST_COLUMNS = 160
_NAMES: dict[str, str] = dict(
    zip(
        STAGES,
        ("gradient", "curvature", "conditioning", "estimation", "classical solves", "quantum solves (modelled)"),
        strict=True,
    )
)


def predicted_section(run: Run) -> Section | None:
    """The predicted clock: totals, and per step, by stage; None where nothing is predicted."""
    names = [name for name in derive.assumption_sets(run) if any(name in step.predicted_seconds for step in run.steps)]
    if not names:
        return None
    charts = [_per_step(run, index, name) for index, name in enumerate(names)]
    parts = [_totals(run, names), _stage_table(run, names), *charts]
    return Section("predicted", "What would it take? Predicted seconds", [Figures(parts)])


def _totals(run: Run, names: list[str]) -> Chart:
    """Predicted seconds of the whole run: one bar per assumption set, and the bar without any quantum solver."""
    cells: list[Cells] = []
    totals: list[tuple[str, float | None]] = []
    for row, name in enumerate(derive.assumption_sets(run)):
        base = 0.0
        for stage, value in derive.predicted_stages(run, name).items():
            if stage != "total" and value:
                bar = [(row, base, base + value)]
                cells.append(Cells(bar, styles.STAGES[stage], _NAMES[stage], low=-0.31, high=0.31))
                base += value
        totals.append((name, derive.predicted_total(run, name)))
    cells.sort(key=lambda one: list(_NAMES.values()).index(one.label))
    marks: list[Mark] = [*cells]
    if run.summary is not None and run.summary.predicted_seconds_all_classical is not None:
        value = run.summary.predicted_seconds_all_classical
        marks.append(Cells([(len(totals), 0.0, value)], Fill(None, "", "ink", 0.9, "--"), low=-0.31, high=0.31))
        totals.append(("all classical", value))
    marks += [Note(row, seconds(value), x=value or 0.0, shift=(4, 0)) for row, (_, value) in enumerate(totals)]
    most = max([1e-30, *(value for _, value in totals if value)]) * 1.22
    panel = Panel(
        Scale("seconds", "predicted seconds, all steps", limits=(0, most)),
        rows([shorten(name) for name, _ in totals], ruled=False),
        marks,
    )
    caption = "All steps, stacked by stage. The seconds of quantum solves are modelled."
    height = 1.75 + 0.34 * len(names)
    return Chart("f-predicted-sum", "Total of the run", caption, [panel], height, "predicted")


def _stage_table(run: Run, names: list[str]) -> Table:
    stages = {name: derive.predicted_stages(run, name) for name in names}
    rows = [[_NAMES[stage], *(seconds(stages[name][stage]) for name in names)] for stage in STAGES]
    rows.append(["total", *(seconds(stages[name]["total"]) for name in names)])
    heads = columns("stage", *(f"predicted seconds, set {name}" for name in names))
    return Table("By stage, all steps", heads, rows, "predicted")


def _per_step(run: Run, index: int, name: str) -> Chart:
    """Predicted seconds of every step, stacked by stage; below, the solves alone, which is what a choice changes."""
    groups = derive.columns([step for step in run.steps if name in step.predicted_seconds], MOST_COLUMNS)
    edges = [group[0].step - 0.5 for group in groups] + [groups[-1][-1].step + 0.5]
    totals = [_mean([step.predicted_seconds[name].total for step in group]) for group in groups]
    layers = [(stage, [_stage_mean(group, name, stage) for group in groups]) for stage in STAGES]
    outline = Line(_stairs(edges, totals), Style(width=0.9), whole=True)
    keys = [Key(_NAMES[stage], styles.STAGES[stage]) for stage, heights in layers if any(heights)]
    panels = []
    for label, shown, share, more in (
        ("predicted s per step", layers, 5.0, [outline, *keys]),
        ("solves, predicted s", layers[-2:], 4.0, []),
    ):
        stack = Stack(edges, [("", heights, styles.STAGES[stage]) for stage, heights in shown])
        sums = [sum(column) for column in zip(*(heights for _, heights in shown), strict=True)]
        top = [*sums, *(total for total in totals if more and total == total)]
        panels.append((label, [stack, *more], share, top))
    x = over_steps([step.step for step in run.steps])
    caption = "Above: all stages stacked, and their total as a line. Below: the solves alone, on their own scale."
    if len(run.steps) > MOST_COLUMNS:
        caption += " A column is the mean over the steps it stands for."
    return Chart(
        f"f-predicted-step{index}",
        f"Per step, set {name}",
        caption,
        [Panel(x, Scale("seconds", label, values=top), marks, share) for label, marks, share, top in panels],
        height=3.9,
        clock="predicted",
    )


def _stage_mean(group: Sequence[StepLine], assumption_set: str, stage: str) -> float:
    return statistics.fmean(step.predicted_seconds[assumption_set].stage(stage) or 0.0 for step in group)


def _stairs(edges: Sequence[float], heights: Sequence[float]) -> list[Point]:
    """The corners of the outline of columns."""
    return [(x, y) for (left, right), y in zip(itertools.pairwise(edges), heights, strict=True) for x in (left, right)]


def _mean(values: list[float | None]) -> float:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else float("nan")

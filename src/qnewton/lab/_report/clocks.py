"""Figures of seconds: what was measured, and what was predicted. No axis holds both."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .._runfile import STAGES, Run, StepLine
from . import derive
from .axes import MOST_POINTS, NAN, Style, curve, labels_beside, line_style, seconds_axis, step_axis
from .svg import color
from .units import seconds, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_COLUMNS = 160
STAGE_NAMES = dict(
    zip(
        STAGES,
        ("gradient", "curvature", "conditioning", "estimation", "classical solves", "quantum solves (modelled)"),
        strict=True,
    )
)
STAGE_STYLES = {
    "gradient": ("stage0", ""),
    "curvature": ("stage1", ""),
    "conditioning": ("stage2", "\\\\\\\\"),
    "estimation": ("stage3", ""),
    "solve_classical": ("classical0", "---"),
    "solve_quantum": ("quantum0", "////"),
}


def draw_measured_per_step(figure: Figure, run: Run) -> None:
    """Wall clock of every step, and of the evaluations after it."""
    axes = figure.subplots()
    steps = [(float(step.step), _number(step.measured_seconds)) for step in run.steps]
    evaluations = [(float(step.step), _number(step.measured_evaluation_seconds)) for step in run.steps]
    evaluations = [(x, y) for x, y in evaluations if y > 0]
    labels = []
    for name, points, style in (("step", steps, 0), ("evaluation", evaluations, 1)):
        if points:
            end = curve(axes, points, line_style(style), "os"[style])
            labels.append((end, name, color(f"line{style}")))
    _finish(axes, run, "measured seconds per step")
    labels_beside(axes, labels)


def draw_measured_cumulative(figure: Figure, run: Run) -> None:
    """Wall clock summed over the steps, without and with the evaluations."""
    axes = figure.subplots()
    of_step = [step.measured_seconds or 0.0 for step in run.steps]
    with_evaluation = [
        own + (step.measured_evaluation_seconds or 0.0) for own, step in zip(of_step, run.steps, strict=True)
    ]
    labels = []
    for name, values, style in (("steps", of_step, 0), ("with evaluations", with_evaluation, 1)):
        points = [(float(s.step), y) for s, y in zip(run.steps, itertools.accumulate(values), strict=True)]
        ends = [group[-1] for group in derive.columns(points, MOST_POINTS)]  # a sum ends where its last term is
        labels.append((curve(axes, ends, line_style(style), "os"[style]), name, color(f"line{style}")))
    _finish(axes, run, "measured seconds, cumulative")
    labels_beside(axes, labels)


def draw_predicted_per_step(figure: Figure, run: Run, assumption_set: str) -> None:
    """Predicted seconds of every step, stacked by stage; below, the solves alone, which is what a choice changes."""
    whole, solves = figure.subplots(2, 1, sharex=True, height_ratios=(5, 4))
    steps = [step for step in run.steps if assumption_set in step.predicted_seconds]
    groups = derive.columns(steps, MOST_COLUMNS)
    _stack(whole, groups, assumption_set, STAGES)
    _stack(solves, groups, assumption_set, STAGES[-2:])
    totals = [_mean([step.predicted_seconds[assumption_set].total for step in group]) for group in groups]
    whole.stairs(totals, _edges(groups), baseline=None, color=color("ink"), linewidth=0.9)
    whole.set_ylim(top=max(whole.get_ylim()[1], *(1.08 * total for total in totals if total == total), 0.0))
    for axes, label in ((whole, "predicted s per step"), (solves, "solves, predicted s")):
        step_axis(axes, [step.step for step in run.steps], "step" if axes is solves else "")
        seconds_axis(axes.yaxis)
        axes.set_ylabel(label)
    _stage_legend(figure, run, [assumption_set])


def _stack(axes: Axes, groups: Sequence[Sequence[StepLine]], assumption_set: str, stages: Sequence[str]) -> None:
    """Stacks the mean seconds of the stages over the groups of steps."""
    base = [0.0] * len(groups)
    for stage in stages:
        means = [
            statistics.fmean(step.predicted_seconds[assumption_set].stage(stage) or 0.0 for step in group)
            for group in groups
        ]
        top = [low + mean for low, mean in zip(base, means, strict=True)]
        if any(means):
            axes.fill_between(_edges(groups), [*base, base[-1]], [*top, top[-1]], step="post", **_stage(stage))
        base = top
    axes.set_ylim(0, 1.08 * max(base) or 1.0)


def _edges(groups: Sequence[Sequence[StepLine]]) -> list[float]:
    return [group[0].step - 0.5 for group in groups] + [groups[-1][-1].step + 0.5]


def draw_predicted_totals(figure: Figure, run: Run) -> None:
    """Predicted seconds of the whole run: one bar per assumption set, and the bar without any quantum solver."""
    axes = figure.subplots()
    rows: list[tuple[str, float | None]] = []
    for assumption_set in derive.assumption_sets(run):
        base = 0.0
        for stage, value in derive.predicted_stages(run, assumption_set).items():
            if stage != "total" and value:
                axes.barh(len(rows), value, left=base, height=0.62, **_stage(stage))
                base += value
        rows.append((assumption_set, derive.predicted_total(run, assumption_set)))
    if run.summary is not None and run.summary.predicted_seconds_all_classical is not None:
        value = run.summary.predicted_seconds_all_classical
        axes.barh(
            len(rows), value, height=0.62, facecolor="none", edgecolor=color("ink"), linewidth=0.9, linestyle="--"
        )
        rows.append(("all classical", value))
    for row, (_, value) in enumerate(rows):
        place = {"xytext": (4, 0), "textcoords": "offset points", "va": "center", "fontsize": 8.5}
        axes.annotate(seconds(value), (value or 0.0, row), **place)
    axes.set_yticks(range(len(rows)), [shorten(name) for name, _ in rows], parse_math=False)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, max([1e-30, *(value for _, value in rows if value)]) * 1.22)
    seconds_axis(axes.xaxis)
    axes.set_xlabel("predicted seconds, all steps")
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    _stage_legend(figure, run, derive.assumption_sets(run))


def _stage_legend(figure: Figure, run: Run, assumption_sets: list[str]) -> None:
    from matplotlib.patches import Patch

    used = {
        stage
        for name in assumption_sets
        for stage, value in derive.predicted_stages(run, name).items()
        if value and stage != "total"
    }
    handles = [Patch(**_stage(stage), label=STAGE_NAMES[stage]) for stage in STAGES if stage in used]
    if handles:
        figure.legend(handles=handles, loc="outside upper left", ncols=2, handlelength=1.8)


def _stage(stage: str) -> Style:
    fill, hatch = STAGE_STYLES[stage]
    edge = color("paper" if stage == "solve_quantum" else "muted")
    return {"facecolor": color(fill), "hatch": hatch, "edgecolor": edge, "linewidth": 0.3}


def _finish(axes: Axes, run: Run, label: str) -> None:
    step_axis(axes, [step.step for step in run.steps])
    axes.set_ylim(bottom=0)
    seconds_axis(axes.yaxis)
    axes.set_ylabel(label)


def _mean(values: list[float | None]) -> float:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else NAN


def _number(value: float | None) -> float:
    return NAN if value is None else value

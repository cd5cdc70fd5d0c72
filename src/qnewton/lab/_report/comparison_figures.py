"""The figures of `qnewton compare`: a race to a target, and curves. No axis holds two clocks."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace

from .._runfile.comparison import (
    ComparedMethod,
    ComparedRun,
    ComparisonFile,
    CurvePoint,
    TargetMethod,
    TargetRecord,
)
from .chart import DOTTED, Chart, Clock, Key, Line, Mark, Note, Panel, Rule, Scale, Style, rows
from .styles import dotted
from .units import short_seconds

CLOCKS = ("steps", "measured", "modelled")
QUANTITIES = {"test_accuracy": "held-out accuracy", "test_loss": "held-out loss"}
_TAGS: dict[str, Clock | None] = {"steps": None, "measured": "measured", "modelled": "predicted"}
_SET_MARKERS = ("o", "X")


def race_chart(found: ComparisonFile, target: TargetRecord, clock: str, name: str) -> Chart:
    """One row per method, a mark where its median seed met the target; hollow where a clock stands in for the other.

    Args:
        found: the content of `compare.json`.
        target: one of its targets.
        clock: one of `CLOCKS`.
        name: begins the identifier of the figure.
    """
    marks: list[Mark] = []
    sets = found.assumptions if clock == "modelled" else [None]
    values = []
    for row, entry in enumerate(target.methods):
        method = _named(found, entry.name)
        # Without predictions all sets are one.
        met = [_when(entry, clock, assumed) for assumed in (sets if method.predicted else sets[:1])]
        hollow = clock == "modelled" and not method.predicted
        marks += [Line([(x, row)], _of_set(place, hollow)) for place, x in enumerate(met) if x is not None]
        known = [x for x in met if x is not None]
        if known:
            words = (f"{x:.0f}" if clock == "steps" else short_seconds(float(f"{x:.2g}")) for x in known)
            marks.append(Note(row, ", ".join(dict.fromkeys(words)), x=max(known), shift=(7, 0), size=8.0))
        values += known
        if entry.steps is None or (clock == "measured" and not method.measured):
            words = "not reached" if entry.steps is None else "not run"
            marks.append(Note(row, words, start=True, color="muted", size=8.0))
    if clock == "modelled":
        marks += [Key(str(assumed), _of_set(place)) for place, assumed in enumerate(sets)]
    caption = "Median over the seeds; a row without a mark did not get there within its budget."
    if clock == "modelled":
        caption += " Hollow: measured seconds, since nothing is predicted."
    labels = [_named(found, entry.name).label for entry in target.methods]
    panel = Panel(replace(_axis(clock, values), room=0.18 if len(sets) == 1 else 0.3), rows(labels), marks)
    title, height = f"{_words(clock)} to the target", 0.9 + 0.27 * len(found.methods)
    return Chart(f"{name}-{clock}", title, caption, [panel], height, _TAGS[clock], keys=max(1, len(sets)))


def _of_set(place: int, hollow: bool = False) -> Style:
    return Style("ink", "none", marker=_SET_MARKERS[place % 2], size=7.0, hollow=hollow, above=True)


def curve_charts(found: ComparisonFile, clock: str, prefix: str = "") -> Iterator[Chart]:
    """Each quantity against a clock, a line per method; for modelled seconds a figure per assumption set.

    Args:
        found: the content of `compare.json`.
        clock: one of `CLOCKS`.
        prefix: of every identifier.
    """
    for assumed in found.assumptions if clock == "modelled" else [None]:
        for field, words in QUANTITIES.items():
            if all(getattr(run, field) is None for method in found.methods for run in method.runs):
                continue
            caption = "Median over the seeds, at their evaluations."
            if clock == "modelled":
                caption += " Hollow markers: measured seconds, since nothing is predicted."
            yield Chart(
                f"{prefix}curve-{clock}-{assumed or 'all'}-{field}",
                f"{words} against {_words(clock)}{f', {assumed}' if assumed else ''}",
                caption,
                [_curves(found, field, clock, assumed)],
                height=4.3,
                clock=_TAGS[clock],
            )


def _curves(found: ComparisonFile, field: str, clock: str, assumed: str | None) -> Panel:
    """Median over the seeds of one quantity, a line per method; what Newton's method does, drawn thicker."""
    marks: list[Mark] = []
    everything: list[float] = []
    for index, method in enumerate(found.methods):
        if clock == "measured" and not method.measured:
            continue
        points = _median_curve(method.runs, field, clock, assumed)
        if not points:
            continue
        everything += [x for x, _ in points]
        style = replace(
            dotted(index, size=4.5, every=(index % 4, max(1, len(points) // 6))),
            width=2.0 if method.predicted else 1.1,
            hollow=clock == "modelled" and not method.predicted,
        )
        marks.append(Line(points, style, method.label, whole=True))
    marks += [
        Rule("y", target.value, Style(dashes=DOTTED, width=0.9)) for target in found.targets if target.quantity == field
    ]
    y = Scale("log ticks" if field == "test_loss" else "number", QUANTITIES[field])
    return Panel(_axis(clock, everything), y, marks)


def _axis(clock: str, values: Sequence[float]) -> Scale:
    kind = "log ticks" if clock == "steps" else "log seconds"
    return Scale(kind, _words(clock), values=[value for value in values if value > 0] or [1.0])


def _words(clock: str) -> str:
    """Return the label of the axis."""
    return clock if clock == "steps" else f"{clock} seconds"


def _median_curve(
    runs: Sequence[ComparedRun], field: str, clock: str, assumed: str | None
) -> list[tuple[float, float]]:
    """Return the median seed's value at every moment when a seed was evaluated and all had been before."""
    curves = [
        [
            (x, y)
            for point in run.curve
            if (x := _when(point, clock, assumed)) and (y := getattr(point, field)) is not None
        ]
        for run in runs
    ]
    if not all(curves):
        return []
    start, end = max(curve[0][0] for curve in curves), min(curve[-1][0] for curve in curves)
    moments = sorted({x for curve in curves for x, _ in curve if start <= x <= end})
    # As many as one seed has: between them nothing new is known.
    moments = moments[:: max(1, len(moments) // max(len(curve) for curve in curves))]
    found, places = [], [0] * len(curves)
    for moment in moments:
        for index, curve in enumerate(curves):
            while places[index] + 1 < len(curve) and curve[places[index] + 1][0] <= moment:
                places[index] += 1
        found.append((moment, statistics.median(curve[place][1] for curve, place in zip(curves, places, strict=True))))
    return found


def _when(what: CurvePoint | TargetMethod, clock: str, assumed: str | None) -> float | None:
    """An evaluation, or a target that was met, on a clock; `assumed` is None unless seconds are modelled."""
    if clock == "steps":
        return what.step if isinstance(what, CurvePoint) else what.steps
    return what.measured_seconds if assumed is None else what.modelled_seconds[assumed]


def _named(found: ComparisonFile, name: str) -> ComparedMethod:
    return next(method for method in found.methods if method.name == name)

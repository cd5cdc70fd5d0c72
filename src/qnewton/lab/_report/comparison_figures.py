"""The figures of `qnewton compare`: a race to a target, and curves. No axis holds two clocks."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .._runfile.comparison import (
    ComparedMethod,
    ComparedRun,
    ComparisonFile,
    CurvePoint,
    TargetMethod,
    TargetRecord,
)
from .axes import LINE_STYLES, log_seconds_axis
from .svg import color
from .units import short_seconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLOCKS = ("steps", "measured", "modelled")
QUANTITIES = {"test_accuracy": "held-out accuracy", "test_loss": "held-out loss"}
_MARKERS = "osD^vPX<>*"
_SETS = ("o", "X")  # of the assumption sets, in a race


def clock_words(clock: str) -> str:
    """What stands on the axis."""
    return clock if clock == "steps" else f"{clock} seconds"


def draw_race(figure: Figure, found: ComparisonFile, target: TargetRecord, clock: str) -> None:
    """One row per method, a mark where its median seed met the target; hollow where a clock stands in for the other."""
    from matplotlib.lines import Line2D

    axes = figure.subplots()
    sets = found.assumptions if clock == "modelled" else [None]
    values = []
    for row, entry in enumerate(target.methods):
        method = _named(found, entry.name)
        # Without predictions all sets are one.
        for place, assumed in enumerate(sets if method.predicted else sets[:1]):
            value = _when(entry, clock, assumed)
            if value is None:
                continue
            values.append(value)
            filled = clock != "modelled" or method.predicted
            ink = color("ink")
            style = {"markerfacecolor": ink if filled else "none", "markeredgecolor": ink, "markersize": 7}
            axes.plot(value, row, _SETS[place % 2], **style, linestyle="", zorder=3)
            if place == 0:
                axes.annotate(
                    f"{value:.0f}" if clock == "steps" else short_seconds(float(f"{value:.2g}")),
                    (value, row),
                    xytext=(7, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=8,
                )
        if entry.steps is None or (clock == "measured" and not method.measured):
            words = "not reached" if entry.steps is None else "not run"
            axes.annotate(
                words, (0.02, row), xycoords=axes.get_yaxis_transform(), va="center", fontsize=8, color=color("muted")
            )
    axes.set_yticks(range(len(target.methods)), [_named(found, e.name).label for e in target.methods])
    axes.set_ylim(len(target.methods) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    _axis(axes, clock, values)
    # Room for the number beside the mark.
    low, high = axes.get_xlim()
    axes.set_xlim(low, high * (high / low) ** 0.18)
    axes.set_xlabel(clock_words(clock))
    if clock == "modelled":
        handles = [
            Line2D([], [], marker=_SETS[place % 2], linestyle="", color=color("ink"), label=name)
            for place, name in enumerate(sets)
        ]
        figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))


def draw_curves(figure: Figure, found: ComparisonFile, field: str, clock: str, assumed: str | None) -> None:
    """Median over the seeds of one quantity, a line per method; what Newton's method does, drawn thicker."""
    axes = figure.subplots()
    everything: list[float] = []
    for index, method in enumerate(found.methods):
        if clock == "measured" and not method.measured:
            continue
        points = _median_curve(method.runs, field, clock, assumed)
        if not points:
            continue
        everything += [x for x, _ in points]
        line = color(f"line{index % 8}")
        newton = method.predicted
        hollow = clock == "modelled" and not newton
        axes.plot(
            [x for x, _ in points],
            [y for _, y in points],
            color=line,
            linestyle=LINE_STYLES[index % len(LINE_STYLES)],
            linewidth=2.0 if newton else 1.1,
            marker=_MARKERS[index % len(_MARKERS)],
            markevery=(index % 4, max(1, len(points) // 6)),
            markersize=4.5,
            markerfacecolor="none" if hollow else line,
            label=method.label,
        )
    for target in found.targets:
        if target.quantity == field:
            axes.axhline(target.value, color=color("ink"), linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
    _axis(axes, clock, everything)
    axes.set_xlabel(clock_words(clock))
    axes.set_ylabel(QUANTITIES[field])
    if field == "test_loss":
        _log_loss(axes)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2, handlelength=3.2)


def _axis(axes: Axes, clock: str, values: Sequence[float]) -> None:
    positive = [value for value in values if value > 0] or [1.0]
    if clock == "steps":
        from matplotlib.ticker import FuncFormatter, NullFormatter

        axes.set_xscale("log")
        axes.set_xlim(min(positive) / 1.3, max(positive) * 1.3)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        return
    log_seconds_axis(axes, "x", positive)


def _log_loss(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _median_curve(
    runs: Sequence[ComparedRun], field: str, clock: str, assumed: str | None
) -> list[tuple[float, float]]:
    """The median seed's value at every moment at which some seed was evaluated and all had been before."""
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

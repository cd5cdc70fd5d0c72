"""The one renderer: draws a declared `Chart` with matplotlib."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from . import scales
from .chart import Chart, Fill, Key, Line, Mark, Note, Panel, Rule, Style
from .labels import spread_out
from .marks import DRAWN, fill_keywords, line_keywords

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Paint = Callable[[str], str]
"""What stands for a colour of the palette."""
_GAP = 0.08  # least distance of two labels beside a panel, of its height
_BESIDE = 1.015  # where words beside a panel begin, of its width


def draw(figure: Figure, chart: Chart, paint: Paint) -> None:
    """Fills an empty figure with the panels of a chart and its legend.

    Args:
        figure: empty, with a layout that makes room for legends outside of the axes.
        chart: as declared.
        paint: gives the colour for a name of the palette.
    """
    lines = math.ceil(len(chart.panels) / chart.columns)
    shares = [chart.panels[line * chart.columns].share for line in range(lines)]
    grid = figure.subplots(lines, chart.columns, squeeze=False, sharex=_shared(chart), height_ratios=shares)
    everywhere = list(grid.ravel())
    for axes, panel in zip(everywhere, chart.panels, strict=False):
        _draw_panel(axes, panel, paint)
    for axes in everywhere[len(chart.panels) :]:
        axes.set_axis_off()
    if _shared(chart) == "col":
        for axes in grid[:-1].ravel():
            axes.set_xlabel("")
    if lines > 1:
        figure.align_ylabels()
    if chart.heading:
        figure.suptitle(chart.heading, x=0.01, ha="left", fontsize=10)
    if chart.keys:
        _legend(figure, chart, paint)


def _shared(chart: Chart) -> Literal["none", "col"]:
    """Whether panels stand over one x axis."""
    same = len({id(panel.x) for panel in chart.panels[:: chart.columns]}) == 1
    return "col" if same and len(chart.panels) > chart.columns else "none"


def _draw_panel(axes: Axes, panel: Panel, paint: Paint) -> None:
    ends: list[tuple[float, str, str]] = []
    scales.prepare(axes, "x", panel.x)
    scales.prepare(axes, "y", panel.y)
    for mark in panel.marks:
        if isinstance(mark, Note | Key):
            continue
        end = DRAWN[type(mark)](axes, mark, paint)
        if isinstance(mark, Line | Rule) and mark.beside:
            ends.append((float(end), mark.beside, paint(mark.style.color)))
    scales.apply(axes, "x", panel.x)
    scales.apply(axes, "y", panel.y)
    if panel.title:
        axes.set_title(panel.title, fontsize=9, loc="left", parse_math=False)
    if panel.corner:
        axes.set_title(panel.corner, fontsize=8.5, loc="right", pad=3, parse_math=False)
    for mark in panel.marks:
        if isinstance(mark, Note):
            _write(axes, mark, paint)
        elif isinstance(mark, Rule) and mark.note:
            _write_over(axes, mark)
    _write_beside(axes, ends, paint)


def _write(axes: Axes, note: Note, paint: Paint) -> None:
    vertical = {None: "center", True: "bottom", False: "top"}[note.above]
    beside = note.x is None
    x = note.x if note.x is not None else 0.02 if note.start else _BESIDE
    axes.annotate(
        note.words,
        (x, note.y),
        xytext=note.shift,
        xycoords=axes.get_yaxis_transform() if beside else "data",
        textcoords="offset points",
        ha="left" if beside else note.side,
        va=vertical,
        fontsize=note.size,
        fontweight="bold" if note.bold else "normal",
        color=paint(note.color),
        parse_math=False,
        annotation_clip=False,
    )


def _write_over(axes: Axes, rule: Rule) -> None:
    """The note of an upright rule, above the panel, on the side where there is more room."""
    low, high = axes.get_xlim()
    if not low <= rule.value <= high:
        return
    middle = math.sqrt(low * high) if axes.get_xscale() == "log" else 0.5 * (low + high)
    left = rule.value < middle
    axes.annotate(
        rule.note,
        xy=(rule.value, 1.0),
        xycoords=axes.get_xaxis_transform(),
        xytext=(3 if left else -3, 2),
        textcoords="offset points",
        ha="left" if left else "right",
        va="bottom",
        fontsize=8.5,
        parse_math=False,
    )


def _write_beside(axes: Axes, labels: Sequence[tuple[float, str, str]], paint: Paint) -> None:
    """Writes (y, text, colour) right of the axes at the height of y, apart from each other, with a leader line."""
    to_axes = axes.transData + axes.transAxes.inverted()
    placed = []
    for y, text, text_color in labels:
        height = float(to_axes.transform((axes.get_xlim()[1], y))[1]) if math.isfinite(y) else math.nan
        if -0.05 <= height <= 1.05:
            placed.append((height, text, text_color))
    placed.sort(key=lambda label: label[0])
    apart = spread_out([height for height, _, _ in placed], _GAP)
    for (height, text, text_color), at in zip(placed, apart, strict=True):
        axes.annotate(
            text,
            xy=(1.0, height),
            xytext=(1.05, at),
            xycoords="axes fraction",
            textcoords="axes fraction",
            color=text_color,
            va="center",
            ha="left",
            fontsize=8.5,
            parse_math=False,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "linewidth": 0.6, "color": paint("muted"), "shrinkA": 1, "shrinkB": 0},
        )


def _legend(figure: Figure, chart: Chart, paint: Paint) -> None:
    looks: dict[str, Style | Fill] = {}
    for panel in chart.panels:
        for mark in panel.marks:
            for label, look in _named(mark):
                looks.setdefault(label, look)
    if not looks:
        return
    where = "outside lower center" if chart.keys_below else "outside upper left"
    handles = [_handle(label, look, paint) for label, look in looks.items()]
    wide = any(len(label) > 32 for label in looks)
    legend = figure.legend(handles=handles, loc=where, ncols=1 if wide else chart.keys, handlelength=2.8)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _named(mark: Mark) -> list[tuple[str, Style | Fill]]:
    from .chart import Bars, Cells, Span, Stack

    match mark:
        case Line(label=label, style=look) | Rule(label=label, style=look) | Key(label=label, look=look):
            return [(label, look)] if label else []
        case Cells(label=label, fill=look) | Bars(label=label, fill=look) | Span(label=label, fill=look):
            return [(label, look)] if label else []
        case Stack(layers=layers):
            return [(label, look) for label, heights, look in layers if label and any(heights)]
        case _:
            return []


def _handle(label: str, look: Style | Fill, paint: Paint) -> Artist:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    if isinstance(look, Style):
        keywords: dict[str, Any] = {**line_keywords(look, paint), "markevery": None}
        return Line2D([], [], label=label, **keywords)
    return Patch(label=label, **{**fill_keywords(look, paint), "linewidth": max(0.4, look.width)})

"""Draws each kind of mark into a panel."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import derive
from .chart import BINS, MOST_POINTS, Bars, Cells, Feet, Fill, Line, Point, Ranges, Rule, Span, Stack, Style, Surface

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FEW = 40  # points that may each have a marker


def line_keywords(style: Style, paint: Callable[[str], str]) -> dict[str, Any]:
    """Return matplotlib's keywords of a style."""
    color = paint(style.color)
    found = {"color": color, "linestyle": style.dashes, "linewidth": style.width, "alpha": style.alpha}
    if style.marker:
        filled = paint("paper") if style.hollow else color
        edge = color if style.edge is None else paint(style.edge)
        found |= {"marker": style.marker, "markersize": style.size, "markerfacecolor": filled, "markeredgecolor": edge}
    if style.every is not None:
        found["markevery"] = style.every
    return found


def fill_keywords(fill: Fill, paint: Callable[[str], str]) -> dict[str, Any]:
    """Return matplotlib's keywords of a fill."""
    return {
        "facecolor": "none" if fill.color is None else paint(fill.color),
        "edgecolor": "none" if fill.edge is None else paint(fill.edge),
        "hatch": fill.hatch or None,
        "linewidth": fill.width,
        "linestyle": fill.dashes,
        "alpha": fill.alpha,
    }


def _line(axes: Axes, line: Line, paint: Callable[[str], str]) -> float:
    """Draw a line, and return the height at which it ends."""
    points: list[Point] = list(line.points)
    keywords = {**line_keywords(line.style, paint), "zorder": 3 if line.style.above else 2}
    if len(points) > MOST_POINTS and not line.whole:
        groups = derive.binned(points, BINS)
        xs = [x for x, _ in groups]
        low = [math.nan if spread is None else spread.low for _, spread in groups]
        high = [math.nan if spread is None else spread.high for _, spread in groups]
        points = [(x, math.nan if spread is None else spread.median) for x, spread in groups]
        axes.fill_between(xs, low, high, facecolor=keywords["color"], alpha=0.2, linewidth=0)
        keywords = {key: value for key, value in keywords.items() if not key.startswith("marker")}
    elif len(points) > _FEW and line.style.every is None and not line.whole:
        keywords = {key: value for key, value in keywords.items() if not key.startswith("marker")}
    axes.plot([x for x, _ in points], [y for _, y in points], **keywords)
    return next((y for _, y in reversed(points) if not math.isnan(y)), math.nan)


def _ranges(axes: Axes, ranges: Ranges, paint: Callable[[str], str]) -> None:
    style = ranges.style
    keywords = {"color": paint(style.color), "linewidth": style.width, "alpha": style.alpha}
    axes.vlines(*_columns(ranges.items), **keywords)
    if ranges.caps:
        for x, low, high in ranges.items:
            axes.plot([x, x], [low, high], "_", color=paint(style.color), markersize=6)


def _columns(items: Any) -> tuple[list[float], list[float], list[float]]:
    return [x for x, _, _ in items], [low for _, low, _ in items], [high for _, _, high in items]


def _feet(axes: Axes, feet: Feet, paint: Callable[[str], str]) -> None:
    heights = [0.02] * len(feet.at)
    axes.plot(feet.at, heights, "|", color=paint("ink"), markersize=7, transform=axes.get_xaxis_transform())


def _rule(axes: Axes, rule: Rule, paint: Callable[[str], str]) -> float:
    keywords = {**line_keywords(rule.style, paint), "zorder": 3 if rule.style.above else 1}
    if rule.axis == "x":
        axes.axvline(rule.value, **keywords)
    else:
        axes.axhline(rule.value, **keywords)
    return rule.value


def _span(axes: Axes, span: Span, paint: Callable[[str], str]) -> None:
    keywords = {**fill_keywords(span.fill, paint), "zorder": 0}
    if span.axis == "x":
        axes.axvspan(span.low, span.high, **keywords)
    else:
        axes.axhspan(span.low, span.high, **keywords)


def _cells(axes: Axes, cells: Cells, paint: Callable[[str], str]) -> None:
    """All rectangles as one path; neighbours in a row become one rectangle."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    merged: list[tuple[float, float, float]] = []
    for row, x0, x1 in cells.cells:
        if merged and merged[-1][0] == row and merged[-1][2] == x0:
            merged[-1] = (row, merged[-1][1], x1)
        else:
            merged.append((row, x0, x1))
    if not merged:
        return
    low, high = cells.low, cells.high
    corners = [
        corner
        for row, x0, x1 in merged
        for corner in ((x0, row + low), (x1, row + low), (x1, row + high), (x0, row + high), (x0, row + low))
    ]
    codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY] * len(merged)
    axes.add_patch(PathPatch(Path(corners, codes), **fill_keywords(cells.fill, paint)))


def _stack(axes: Axes, stack: Stack, paint: Callable[[str], str]) -> None:
    base = [0.0] * (len(stack.edges) - 1)
    for _, heights, fill in stack.layers:
        top = [low + height for low, height in zip(base, heights, strict=True)]
        if any(heights):
            keywords = fill_keywords(fill, paint)
            axes.fill_between(stack.edges, [*base, base[-1]], [*top, top[-1]], step="post", **keywords)
        base = top


def _bars(axes: Axes, bars: Bars, paint: Callable[[str], str]) -> None:
    lefts, widths = [left for left, _, _ in bars.items], [right - left for left, right, _ in bars.items]
    heights = [height for _, _, height in bars.items]
    axes.bar(lefts, heights, widths, align="edge", **fill_keywords(bars.fill, paint))


def shade(height: float) -> str:
    """The grey of heights from this one to the next line: the same in every panel, so that panels can be compared."""
    return f"{0.92 - 0.55 * min(max(height, 0.0), 45.0) / 45.0:.3f}"


def _surface(axes: Axes, surface: Surface, paint: Callable[[str], str]) -> None:
    import numpy as np

    x, y, heights = np.asarray(surface.x), np.asarray(surface.y), np.asarray(surface.heights, float)
    ink = paint("ink")
    axes.set_facecolor(paint("paper"))
    known = heights[np.isfinite(heights)]
    if len(known) < heights.size:
        # Behind everything, so that cells at the edge of what is known look like no number and not like a win.
        axes.fill_between(x[[0, -1]], y[0], y[-1], facecolor="none", edgecolor=ink, hatch="xxx", linewidth=0)
    if not len(known):
        return
    low, high = float(known.min()), float(known.max())
    lines = sorted(value for value in surface.lines if low < value < high)
    # A shade ends where a line is, and begins at the line below what is there.
    first = max((value for value in (0.0, *surface.lines) if 0 <= value <= max(low, 0.0)), default=0.0)
    levels = [first, *(value for value in lines if value > 0), max(high, first + 1.0) * (1 + 1e-9)]
    if low < 0:
        axes.contourf(x, y, heights, levels=[low - 1.0, 0.0], colors=[paint("paper")])
    axes.contourf(x, y, heights, levels=levels, colors=[shade(level) for level in levels[:-1]])
    if lines:
        drawn = axes.contour(x, y, heights, levels=lines, colors=ink, linewidths=0.6, linestyles="solid")
        axes.clabel(drawn, fmt="%d", fontsize=7, inline=True)
    if low < surface.heavy < high:
        axes.contour(x, y, heights, levels=[surface.heavy], colors=ink, linewidths=2.6)


DRAWN: dict[type, Callable[..., Any]] = {
    Line: _line,
    Ranges: _ranges,
    Feet: _feet,
    Rule: _rule,
    Span: _span,
    Cells: _cells,
    Stack: _stack,
    Bars: _bars,
    Surface: _surface,
}
"""The drawing function of each mark; a `Line` and a `Rule` say at which y they end."""

"""The figures of `qnewton breakeven`: a tornado of single variables, and maps of pairs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from .._runfile import BreakevenFile, BreakevenPair, BreakevenSingle
from .svg import PALETTE

INK, MUTED, PAPER = (PALETTE[name][0] for name in ("ink", "muted", "paper"))
_SETTINGS: Any = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
_SMALL: Any = {**_SETTINGS, "font.size": 8}


def write_tornado(found: BreakevenFile, path: Path) -> None:
    """Write a PNG: how far each variable moves the outcome over its range, and where both sides are equal.

    Args:
        found: of `breakeven.json`.
        path: of the figure.
    """
    import matplotlib
    from matplotlib.figure import Figure

    present = found.log10_quantum_over_classical
    known = [(one.least, one.most, one) for one in found.singles if one.least is not None and one.most is not None]
    rows = sorted(known, key=lambda row: row[1] - row[0], reverse=True)
    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=(9.5, 1.7 + 0.55 * len(rows)), layout="constrained")
        axes = figure.subplots()
        ends = [0.0, present, *(end for least, most, _ in rows for end in (least, most))]
        low, high = min(ends), max(ends)
        # The limits of what is swept are arbitrary: far beyond a draw, how far does not matter.
        low = max(low, -0.35 * max(high, 1.0)) if high > 0 else low
        pad = 0.04 * (high - low)
        axes.set_xlim(low - pad, high + pad)
        axes.axvspan(low - pad, 0, facecolor="#e6e6e6", edgecolor="none", zorder=0)
        for place, (least, most, row) in enumerate(rows):
            _bar(axes, place, (least, most), row, low - pad, 0.004 * (high - low))
        axes.axvline(0, color=INK, linewidth=2.2, zorder=3)
        axes.axvline(present, color=INK, linewidth=1.2, linestyle=(0, (4, 3)), zorder=3)
        axes.set_yticks(range(len(rows)), [_label(row) for _, _, row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.95)
        axes.tick_params(axis="y", length=0)
        for x, words in ((0.0, "equal"), (present, "as it is")):
            near = abs(present) < 0.12 * (high - low)
            side = "right" if near and x == min(0.0, present) else "left" if near else "center"
            axes.text(x, -0.98, f" {words} ", ha=side, va="bottom", fontsize=9, fontweight="bold")
        axes.set_xlabel("← quantum is faster      orders of magnitude between quantum and classical      slower →")
        title = f"{found.question}\nbars: what one number alone can do over its range\n"
        axes.set_title(title, loc="left", fontsize=10)
        figure.savefig(path, dpi=150)


def _bar(axes: Any, place: int, ends: tuple[float, float], row: BreakevenSingle, edge: float, narrowest: float) -> None:
    """What one variable does, from the left edge of the figure on, and in words beside it."""
    left, right = max(ends[0], edge), ends[1]
    crosses = row.value is not None
    axes.barh(
        place,
        max(right - left, narrowest),
        left=left,
        height=0.5,
        color=INK if crosses else "#b9bec3",
        edgecolor=INK,
        hatch=None if crosses else "////",
        linewidth=0.8,
        zorder=2,
    )
    if ends[0] < edge:
        axes.plot(edge, place, "<", color=INK, markersize=11, clip_on=False, zorder=4)
    still = "nothing depends on it" if ends[0] == ends[1] else "no value does it"
    axes.text(
        1.01,
        place,
        still if row.value is None else f"equal at {_value(row.value, row.unit)}",
        transform=axes.get_yaxis_transform(),
        va="center",
        fontweight="bold" if crosses else "normal",
    )


def write_maps(found: BreakevenFile, path: Path) -> None:
    """Write a PNG: `log10(quantum / classical)` over each pair of variables, the draw as a thick line.

    Args:
        found: of `breakeven.json`.
        path: of the figure.
    """
    import matplotlib
    from matplotlib.figure import Figure

    present = {one.name: one.present for one in found.singles}
    columns = 3
    lines = math.ceil(len(found.pairs) / columns)
    with matplotlib.rc_context(_SMALL):
        figure = Figure(figsize=(11.0, 0.9 + 2.9 * lines), layout="constrained")
        panels = figure.subplots(lines, columns, squeeze=False).ravel()
        for axes, pair in zip(panels, found.pairs, strict=False):
            _map(axes, pair, present)
        for axes in panels[len(found.pairs) :]:
            axes.set_axis_off()
        figure.suptitle(
            f"{found.question}\nlines: orders of magnitude by which quantum is slower; white: quantum is faster, "
            "thick line: equal, dot: as it is, hatched: no number",
            x=0.01,
            ha="left",
            fontsize=10,
        )
        figure.savefig(path, dpi=130)


def _map(axes: Any, pair: BreakevenPair, present: dict[str, float | None]) -> None:
    x, y = np.asarray(pair.x), np.asarray(pair.y)
    orders = np.array([[math.nan if value is None else value for value in line] for line in pair.orders])
    axes.set_facecolor(PAPER)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(pair.first_label)
    axes.set_ylabel(pair.second_label)
    axes.set_xlim(x[0], x[-1])
    axes.set_ylim(y[0], y[-1])
    known = orders[np.isfinite(orders)]
    if len(known):
        high = max(float(known.max()), 1.0)
        # Greys deepen with the loss; the side where quantum wins stays white.
        axes.contourf(x, y, orders, levels=[*np.linspace(0, high, 7)[:-1], high * (1 + 1e-9)], colors=_greys(6))
        lines = [value for value in (5, 10, 15, 20, 25, 30, 35, -5, -10, -20, -30) if known.min() < value < known.max()]
        if lines:
            drawn = axes.contour(x, y, orders, levels=sorted(lines), colors=INK, linewidths=0.6, linestyles="solid")
            axes.clabel(drawn, fmt="%d", fontsize=7, inline=True)
        if known.min() < 0 < known.max():
            axes.contour(x, y, orders, levels=[0], colors=INK, linewidths=2.6)
    if not np.all(np.isfinite(orders)):
        empty = np.where(np.isfinite(orders), np.nan, 1.0)
        axes.contourf(x, y, empty, levels=[0.5, 1.5], colors="none", hatches=["xxx"])
    here = present[pair.first], present[pair.second]
    if here[0] is not None and here[1] is not None:
        axes.plot(*here, "o", color=PAPER, markeredgecolor=INK, markeredgewidth=1.6, markersize=7, zorder=5)


def _greys(count: int) -> list[str]:
    return [f"{0.9 - 0.45 * i / (count - 1):.3f}" for i in range(count)]


def _label(row: BreakevenSingle) -> str:
    span = f"{_value(row.low, row.unit)} to {_value(row.high, row.unit)}"
    now = "" if row.present is None else f", now {_value(row.present, row.unit)}"
    return f"{row.label}\n{span}{now}"


def _value(value: float, unit: str) -> str:
    shown = f"{value:.3g}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")
    return f"{shown} {unit}".strip()

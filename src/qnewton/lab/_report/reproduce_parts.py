"""What the figures of a reproduction share: words for factors, a logarithmic axis, marked lines and dots."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from .axes import NAN, line_style
from .svg import color
from .units import count, percent, power_of_ten, short_seconds, significant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "osD^vP<>"
Numbers = dict[str, Any]
"""What an evaluation derived: the field `numbers` of its file."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an evaluation says, in words made from its numbers.

    Attributes:
        paper: under the paper's assumptions.
        end_to_end: with everything charged.
        besides: what holds for both.
    """

    paper: str
    end_to_end: str
    besides: str = ""


def times(value: float) -> str:
    """`3.2 times`, or `10¹² times` where nobody counts."""
    if value < 1e4:
        return f"{significant(value, 2)} times"
    return f"{power_of_ten(math.floor(math.log10(value)))} times"


def plain(value: float) -> str:
    """`1 000` or `10⁶`: a whole number as one reads it."""
    return (
        power_of_ten(round(math.log10(value)))
        if value >= 1e5 and math.log10(value) % 1 == 0
        else significant_whole(value)
    )


def significant_whole(value: float) -> str:
    """Whole numbers with their digits grouped, others to two digits."""
    return count(round(value)) if value >= 10 else significant(value, 2).removesuffix(".0")


def log10_ticks(axes: Axes, values: Iterable[float]) -> None:
    """The y axis of logarithms, from one whole power of ten to another (numbers may be beyond the floating point)."""
    known = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = math.floor(min(known)), max(math.ceil(max(known)), math.floor(min(known)) + 1)
    ticks = range(low, high + 1, max(1, (high - low) // 6))
    axes.set_ylim(low - 0.04 * (high - low), high + 0.04 * (high - low))
    axes.set_yticks(list(ticks), [power_of_ten(tick) for tick in ticks])


def far_seconds(axes: Axes, which: Literal["x", "y"], values: Iterable[float]) -> None:
    """A logarithmic axis of seconds that may run to the age of the universe and beyond: `10¹⁸ s`."""
    from matplotlib.ticker import FuncFormatter

    from .axes import log_seconds_axis

    log_seconds_axis(axes, which, values)
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: _decade(value)))


def _decade(value: float) -> str:
    return short_seconds(value) if 0.9e-18 < value < 1e3 else f"{power_of_ten(round(math.log10(value)))} s"


def faster(ratio: float, than: str) -> str:
    """`12 % faster than by LU`, `3.2 times as fast as by LU`: how one training compares with another."""
    if ratio >= 2:
        return f"{times(ratio)} as fast as {than}"
    if ratio <= 0.5:
        return f"{times(1 / ratio)} as slow as {than}"
    change = round(100 * abs(ratio - 1))
    if change == 0:
        return f"as fast as {than}"
    return f"{change} % {'faster' if ratio > 1 else 'slower'} than {than}"


def of_systems(share: float) -> str:
    """`none`, `38 %` or `all` of the systems."""
    return {0.0: "none", 1.0: "all"}.get(share, percent(share, 0)) + " of the systems"


def set_style(name: str | None) -> dict[str, Any]:
    """Of a line that belongs to an assumption set; None: to classical solves alone."""
    order = (None, "paper", "end_to_end", "paper-sparse")
    index = order.index(name)
    return {
        **line_style((6, 1, 0, 2)[index]),
        "linestyle": ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5)))[index],
    }


def marked(axes: Axes, xs: Sequence[float], ys: Sequence[float | None], index: int, label: str, **style: Any) -> None:
    """A line with markers that tell it apart without colour; a missing y is a gap."""
    kwargs = {**line_style(index), "marker": MARKERS[index % len(MARKERS)], "markersize": 4.5, **style}
    axes.plot(list(xs), [NAN if y is None else y for y in ys], label=label, **kwargs)


def log_axis(axes: Axes, which: Literal["x", "y"], values: Iterable[float], margin: float = 0.15) -> None:
    """A logarithmic axis of plain numbers around the positive `values`: ticks at powers of ten."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    logs = [math.log10(value) for value in values]
    low, high = min(logs) - margin, max(logs) + margin
    if high - low < 1.2:
        low, high = (low + high) / 2 - 0.6, (low + high) / 2 + 0.6
    every = max(1, math.ceil((high - low) / 8))
    decades = [power for power in range(math.ceil(low), math.floor(high) + 1) if power % every == 0]
    axis = axes.xaxis if which == "x" else axes.yaxis
    axes.set(**{f"{which}scale": "log", f"{which}lim": (10.0**low, 10.0**high)})
    axis.set_major_locator(FixedLocator([10.0**power for power in decades]))
    axis.set_minor_locator(FixedLocator([]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(round(math.log10(value)))))
    axis.set_minor_formatter(NullFormatter())


def legend_above(figure: Figure, axes: Axes, columns: int = 2) -> None:
    """A legend over the figure."""
    handles, labels = axes.get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="outside upper left", ncols=columns, handlelength=3)
    for text in legend.get_texts():
        text.set_parse_math(False)


def dots(axes: Axes, rows: Sequence[tuple[str, float | None, float | None, str]]) -> None:
    """One line per row on a logarithmic axis: a filled dot where the target is reached, an open square at the end.

    Args:
        axes: empty.
        rows: label, seconds to the target or None, seconds in all or None, words at the right.
    """
    from .axes import log_seconds_axis

    values = [value for _, to_target, total, _ in rows for value in (to_target, total) if value]
    log_seconds_axis(axes, "x", values or [1.0])
    for place, (_, to_target, total, words) in enumerate(rows):
        if total and to_target:
            axes.plot([to_target, total], [place] * 2, color=color("muted"), linewidth=2, zorder=2)
        if total:
            axes.plot(
                total, place, "s", markerfacecolor=color("paper"), markeredgecolor=color("ink"), markersize=7, zorder=3
            )
        if to_target:
            axes.plot(to_target, place, "o", color=color("ink"), markersize=7, zorder=4)
        axes.text(
            1.015, place, words, transform=axes.get_yaxis_transform(), va="center", fontsize=8.5, parse_math=False
        )
    axes.set_yticks(range(len(rows)), [label for label, *_ in rows], parse_math=False)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)

"""What several figures share: axis formats, labels beside lines, choice and line styles."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from . import derive
from .derive import Choice
from .svg import color
from .units import power_of_ten, short_seconds, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

LINE_STYLES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1)), (0, (8, 2, 1, 1, 1, 2)))
CLASSICAL_HATCHES = ("", "---", "|||", "++")  # lines only: a pattern of dots takes 180 kB of SVG
QUANTUM_HATCHES = ("////", "xxxx", "\\\\\\\\", "++++")
NAN = math.nan
Style = dict[str, Any]  # keyword arguments of a matplotlib artist, whose types differ from one to the next
MOST_POINTS = 200
BINS = 100
BINNED = f" Line: median of about {BINS} groups of steps; band: their range."


def block_labels(names: Mapping[int, str], length: int = 18) -> dict[int, str]:
    """Index and name of every block. Long names lose what all of them share; the index keeps them unique."""
    parts = {index: name.split(".") for index, name in names.items()}
    head = _common(list(parts.values())) if len(parts) > 1 else 0
    tail = _common([part[::-1] for part in parts.values()]) if len(parts) > 1 else 0
    shown = dict(names)
    for drop in range(1, head + tail + 1):
        if max(map(len, shown.values())) <= length:
            break
        left, right = min(drop, head), max(0, drop - head)
        for index, part in parts.items():
            kept = part[left : max(left + 1, len(part) - right)]
            shown[index] = ("…" if left else "") + ".".join(kept) + ("…" if right else "")
    return {index: f"{index} {shorten(name, length)}" for index, name in shown.items()}


def _common(names: list[list[str]]) -> int:
    """How many leading parts all names share, of which at least one must stay."""
    least = min(map(len, names)) - 1
    return next((at for at in range(least) if len({name[at] for name in names}) > 1), max(0, least))


def line_style(index: int) -> Style:
    """Colour and dash pattern of line `index`; two lines share both only after 24 lines."""
    return {"color": color(f"line{index % 8}"), "linestyle": LINE_STYLES[index % len(LINE_STYLES)]}


def choice_styles(choices: Sequence[Choice]) -> dict[Choice, Style]:
    """Fill and hatch per choice: quantum dark and hatched, classical light."""
    styles: dict[Choice, Style] = {}
    for machine, hatches in (("classical", CLASSICAL_HATCHES), ("quantum", QUANTUM_HATCHES)):
        for index, choice in enumerate(choice for choice in choices if choice.machine == machine):
            edge = color("muted" if machine == "classical" else "paper")
            hatch = hatches[(index + index // 4) % 4]
            styles[choice] = {"facecolor": color(f"{machine}{index % 4}"), "hatch": hatch, "edgecolor": edge}
    return styles


def curve(axes: Axes, points: Sequence[tuple[float, float]], style: Style, marker: str = "") -> float:
    """Draws a line through the points, or for many of them the median and the range of `BINS` groups.

    Args:
        axes: to draw into.
        points: (x, y); NaN is a gap.
        style: of the line.
        marker: on every point, where there are few enough to tell them apart.

    Returns:
        The y at which the line ends, for a label beside it.
    """
    if len(points) > MOST_POINTS:
        groups = derive.binned(points, BINS)
        low = [NAN if spread is None else spread.low for _, spread in groups]
        high = [NAN if spread is None else spread.high for _, spread in groups]
        middle = [(x, NAN if spread is None else spread.median) for x, spread in groups]
        axes.fill_between([x for x, _ in groups], low, high, facecolor=style["color"], alpha=0.2, linewidth=0)
    else:
        middle = list(points)
    few = {"marker": marker, "markersize": 3} if len(points) <= 40 else {}
    axes.plot([x for x, _ in middle], [y for _, y in middle], **style, **few)
    return next((y for _, y in reversed(middle) if not math.isnan(y)), NAN)


def step_axis(axes: Axes, steps: Sequence[int], label: str = "step") -> None:
    """The x axis of everything that is drawn over training."""
    from matplotlib.ticker import MaxNLocator

    low, high = min(steps), max(steps)
    margin = 0.5 if high - low < 60 else 0.005 * (high - low)
    axes.set_xlim(low - margin, high + margin)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, min_n_ticks=1))
    axes.set_xlabel(label)


def log10_axis(axis: Axis) -> None:
    """Ticks `10⁵` for an axis that holds logarithms (numbers may be beyond the floating-point range)."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(round(value))))


def seconds_axis(axis: Axis) -> None:
    """Ticks such as `20 µs` for a linear axis of seconds that starts at zero."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=5))
    axis.set_major_formatter(FuncFormatter(lambda value, _: short_seconds(value)))


def log_seconds_axis(axes: Axes, which: Literal["x", "y"], values: Iterable[float]) -> None:
    """A logarithmic axis of seconds around the positive `values`: ticks at 1 fs, 1 ps, ... or at every decade."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

    finite = [math.log10(value) for value in values]
    low, high = min(finite), max(finite)
    margin = max(0.15, 0.04 * (high - low))
    low, high = max(-300.0, low - margin), min(300.0, high + margin)
    if high - low < 1.5:
        middle = 0.5 * (low + high)
        low, high = middle - 0.75, middle + 0.75
    every = 1 if high - low <= 6 else 3 * math.ceil((high - low) / 21)
    decades = [10.0**power for power in range(math.ceil(low), math.floor(high) + 1)]
    major = [10.0**power for power in range(math.ceil(low), math.floor(high) + 1) if power % every == 0]
    axis = axes.xaxis if which == "x" else axes.yaxis
    axes.set(**{f"{which}scale": "log", f"{which}lim": (10.0**low, 10.0**high)})
    axis.set_major_locator(FixedLocator(major))
    axis.set_minor_locator(FixedLocator(decades) if every <= 3 else NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: short_seconds(value)))
    axis.set_minor_formatter(NullFormatter())


def labels_beside(axes: Axes, labels: Sequence[tuple[float, str, str]], gap: float = 0.075) -> None:
    """Writes (y, text, colour) right of the axes at the height of y, apart from each other, with a leader line.

    Args:
        axes: with its final y limits set.
        labels: y in data coordinates (outside the limits or NaN: left out).
        gap: least distance between two labels, as a fraction of the height of the axes.
    """
    to_axes = axes.transData + axes.transAxes.inverted()
    placed = []
    for y, text, text_color in labels:
        height = float(to_axes.transform((axes.get_xlim()[1], y))[1]) if math.isfinite(y) else NAN
        if -0.05 <= height <= 1.05:
            placed.append((height, text, text_color))
    placed.sort(key=lambda label: label[0])
    for (height, text, text_color), at in zip(
        placed, spread_out([height for height, _, _ in placed], gap), strict=True
    ):
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
            arrowprops={"arrowstyle": "-", "linewidth": 0.6, "color": color("muted"), "shrinkA": 1, "shrinkB": 0},
        )


def spread_out(heights: Sequence[float], gap: float) -> list[float]:
    """Moves ascending heights as little as needed to be `gap` apart, kept inside [0, 1] where there is room."""
    groups: list[list[float]] = []  # [sum of wanted starts, members]
    for index, height in enumerate(heights):
        groups.append([height - gap * index, 1.0])
        while len(groups) > 1 and groups[-2][0] / groups[-2][1] > groups[-1][0] / groups[-1][1]:
            last = groups.pop()
            groups[-1] = [groups[-1][0] + last[0], groups[-1][1] + last[1]]
    starts = [total / members for total, members in groups for _ in range(int(members))]
    room = 1.0 - gap * (len(heights) - 1)
    return [max(0.0, min(start, max(0.0, room))) + gap * index for index, start in enumerate(starts)]

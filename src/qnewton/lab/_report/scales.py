"""Sets up one axis of a panel: limits, ticks and their words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from .chart import Scale
from .units import power_of_ten, short_seconds, tick

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_TICKS = 8
_FARTHEST = 300.0  # decimal logarithm: beyond, matplotlib's own arithmetic overflows


def prepare(axes: Axes, which: Literal["x", "y"], scale: Scale) -> None:
    """What must be known before anything is drawn: where words stand on contour lines depends on it.

    Args:
        axes: of the panel.
        which: axis.
        scale: as declared.
    """
    if scale.kind in ("log", "log ticks", "log seconds"):
        axes.set(**{f"{which}scale": "log"})
    if scale.limits is not None and None not in scale.limits:
        axes.set(**{f"{which}lim": scale.limits})


def apply(axes: Axes, which: Literal["x", "y"], scale: Scale) -> None:
    """Gives the axis its scale, once everything is drawn that may decide its limits.

    Args:
        axes: of the panel.
        which: axis.
        scale: as declared.
    """
    axis = axes.xaxis if which == "x" else axes.yaxis
    _KINDS[scale.kind](axes, which, scale)
    if scale.limits is not None:
        low, high = scale.limits
        now = axes.get_xlim() if which == "x" else axes.get_ylim()
        axes.set(**{f"{which}lim": (now[0] if low is None else low, now[1] if high is None else high)})
    if scale.ticks:
        axis.set_ticks([value for value, _ in scale.ticks], [words for _, words in scale.ticks])
    axes.set(**{f"{which}label": scale.label})
    if not scale.ruled:
        axes.grid(False, axis=which)


def _number(axes: Axes, which: str, scale: Scale) -> None:
    from matplotlib.ticker import MaxNLocator

    if scale.values:
        low, high = min(scale.values), max(scale.values)
        axes.set(**{f"{which}lim": (low, high)})
    if not scale.ticks:
        _axis(axes, which).set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))


def _percent(axes: Axes, which: str, scale: Scale) -> None:
    from matplotlib.ticker import FuncFormatter

    _number(axes, which, scale)
    _axis(axes, which).set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g} %"))


def _step(axes: Axes, which: str, scale: Scale) -> None:
    from matplotlib.ticker import MaxNLocator

    low, high = min(scale.values), max(scale.values)
    margin = 0.5 if high - low < 60 else 0.005 * (high - low)
    axes.set(**{f"{which}lim": (low - margin, high + margin)})
    _axis(axes, which).set_major_locator(MaxNLocator(nbins=7, integer=True, min_n_ticks=1))


def _rows(axes: Axes, which: str, scale: Scale) -> None:
    _axis(axes, which).set_ticks(range(len(scale.names)), list(scale.names), parse_math=False)
    axes.tick_params(axis=which, length=0)  # pyright: ignore[reportArgumentType]


def _seconds(axes: Axes, which: str, scale: Scale) -> None:
    """Linear, from zero, with ticks such as `20 µs`."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis = _axis(axes, which)
    if scale.values:
        axes.set(**{f"{which}lim": (0.0, 1.08 * max(scale.values) or 1.0)})
    else:
        axes.set(**{f"{which}lim": (0.0, None)})
    axis.set_major_locator(MaxNLocator(nbins=5))
    axis.set_major_formatter(FuncFormatter(lambda value, _: short_seconds(value)))


def _log10(axes: Axes, which: str, scale: Scale) -> None:
    """The values are logarithms, which may be beyond the floating point; at least from one power of ten to another."""
    known = [value for value in scale.values if math.isfinite(value)] or [0.0]
    low, high = min(known), max(known)
    if high - low < 1.5:
        low, high = math.floor(low), max(math.ceil(high), math.floor(low) + 1)
    around = 0.05 * (high - low)
    low, high = low - around, high + around
    ticks = range(math.ceil(low), math.floor(high) + 1, max(1, round((high - low) / 6)))
    axes.set(**{f"{which}lim": (low, high)})
    _axis(axes, which).set_ticks(list(ticks), [power_of_ten(tick) for tick in ticks])


def _log(axes: Axes, which: str, scale: Scale) -> None:
    """Plain numbers: ticks at powers of ten, or at 1, 2 and 5 of each where fewer than two of those are in sight."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    low, high = _log_limits(scale.values or _drawn(axes, which), 0.15, 0.15, 1.2, scale.room)
    axes.set(**{f"{which}scale": "log", f"{which}lim": (10.0**low, 10.0**high)})
    if scale.limits is not None and None not in scale.limits:
        low, high = (math.log10(end) for end in scale.limits if end is not None)
    every = next(one for one in (1, 2, 3, 5, 10, 20, 50, 100) if (high - low) / one <= _MOST_TICKS)
    decades = [power for power in range(math.ceil(low), math.floor(high) + 1) if power % every == 0]
    if len(decades) < 2:
        _ticks_at_1_2_5(axes, which, every_decade_only=False)
        return
    axis = _axis(axes, which)
    axis.set_major_locator(FixedLocator([10.0**power for power in decades]))
    axis.set_minor_locator(FixedLocator([]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(round(math.log10(value)))))
    axis.set_minor_formatter(NullFormatter())


def _log_ticks(axes: Axes, which: str, scale: Scale) -> None:
    """Plain numbers over few decades: ticks at 1, 2 and 5 of each, where they have room."""
    axes.set(**{f"{which}scale": "log"})
    values = scale.values or _drawn(axes, which)
    if scale.values or scale.room:
        low, high = _log_limits(values, 0.115, 0.0, 0.0, scale.room)
        axes.set(**{f"{which}lim": (10.0**low, 10.0**high)})
    _ticks_at_1_2_5(axes, which, every_decade_only=bool(values) and max(values) > 1e3 * min(values))


def _ticks_at_1_2_5(axes: Axes, which: str, every_decade_only: bool) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis = _axis(axes, which)
    axis.set_major_locator(LogLocator(subs=(1,) if every_decade_only else (1, 2, 5), numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))
    axis.set_minor_formatter(NullFormatter())


def _log_seconds(axes: Axes, which: str, scale: Scale) -> None:
    """Ticks at 1 fs, 1 ps, ... or at every decade, and from 10³ s on as powers of ten."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

    low, high = _log_limits(scale.values or (1.0,), 0.15, 0.04, 1.5, scale.room)
    every = 1 if high - low <= 6 else 3 * math.ceil((high - low) / 21)
    decades = [10.0**power for power in range(math.ceil(low), math.floor(high) + 1)]
    major = [10.0**power for power in range(math.ceil(low), math.floor(high) + 1) if power % every == 0]
    axis = _axis(axes, which)
    # Of data that has one value only, matplotlib would first find limits of its own, and warn.
    axes.set(**{f"autoscale{which}_on": False})
    axes.set(**{f"{which}scale": "log", f"{which}lim": (10.0**low, 10.0**high)})
    axis.set_major_locator(FixedLocator(major))
    axis.set_minor_locator(FixedLocator(decades) if every <= 3 else NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: _decade(value)))
    axis.set_minor_formatter(NullFormatter())


def _log_limits(
    values: Sequence[float], least_margin: float, margin: float, least: float, room: float
) -> tuple[float, float]:
    """Decimal logarithms of the limits around positive values, at least `least` decades apart."""
    logs = [math.log10(value) for value in values if value > 0] or [0.0]
    low, high = min(logs), max(logs)
    around = max(least_margin, margin * (high - low))
    low, high = max(-_FARTHEST, low - around), min(_FARTHEST, high + around)
    if high - low < least:
        low, high = (low + high) / 2 - least / 2, (low + high) / 2 + least / 2
    return low, high + room * (high - low)


def _decade(value: float) -> str:
    return short_seconds(value) if 0.9e-18 < value < 1e3 else f"{power_of_ten(round(math.log10(value)))} s"


def _drawn(axes: Axes, which: str) -> list[float]:
    """The positive ends of what the panel holds."""
    box = axes.dataLim
    ends = (box.x0, box.minposx, box.x1) if which == "x" else (box.y0, box.minposy, box.y1)
    return [float(end) for end in ends if math.isfinite(end) and end > 0]


def _axis(axes: Axes, which: str) -> Any:
    return axes.xaxis if which == "x" else axes.yaxis


_KINDS = {
    "number": _number,
    "percent": _percent,
    "step": _step,
    "rows": _rows,
    "seconds": _seconds,
    "log10": _log10,
    "log": _log,
    "log ticks": _log_ticks,
    "log seconds": _log_seconds,
}

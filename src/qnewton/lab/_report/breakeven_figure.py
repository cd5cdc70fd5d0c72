"""The figures of `qnewton breakeven`: a tornado of single variables, and maps of pairs."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from .._runfile import BreakevenFile, BreakevenPair, BreakevenSingle
from .chart import Cells, Chart, Fill, Key, Line, Mark, Note, Panel, Rule, Scale, Span, Style, Surface, rows
from .svg import save_figure
from .units import of_unit

_COLUMNS = 3
_LINES = (*range(5, 65, 5), -5, -10, -20, -30)
_HERE = Style("paper", "none", marker="o", size=7.0, edge="ink", above=True)
_BEYOND = Style("paper", "none", marker="<", size=11.0, edge="ink", above=True)
_REACHES, _MISSES = Fill("ink", "", "ink", 0.8), Fill("stage1", "////", "ink", 0.8)


def write_tornado(found: BreakevenFile, path: Path) -> None:
    """Write a figure of each variable's effect over its range, and the value at which both sides are equal.

    Args:
        found: of `breakeven.json`.
        path: of the figure, `.svg`, `.pdf` or `.png`.
    """
    present = found.log10_quantum_over_classical
    known = [(one.least, one.most, one) for one in found.singles if one.least is not None and one.most is not None]
    bars = sorted(known, key=lambda row: row[1] - row[0], reverse=True)
    ends = [0.0, present, *(end for least, most, _ in bars for end in (least, most))]
    low, high = min(ends), max(ends)
    # The limits of what is swept are arbitrary: far beyond a draw, how far does not matter.
    low = max(low, -0.35 * max(high, 1.0)) if high > 0 else low
    pad, narrowest = 0.04 * (high - low), 0.004 * (high - low)
    marks: list[Mark] = [Span("x", low - pad, 0.0, Fill("stage2"), "quantum is faster")]
    marks += [Key("over its range, equal somewhere", _REACHES), Key("over its range, never equal", _MISSES)]
    if any(least < low - pad for least, _, _ in bars):
        marks.append(Key("goes on beyond the figure", _BEYOND))
    for place, (least, most, row) in enumerate(bars):
        marks += _bar(place, (least, most), row, low - pad, narrowest)
    marks += [
        Rule("x", 0.0, Style(width=2.2, above=True)),
        Rule("x", present, Style(dashes=(0, (4, 3)), width=1.2, above=True)),
    ]
    for x, words in ((0.0, "equal"), (present, "as it is")):
        near = abs(present) < 0.12 * (high - low)
        side = "right" if near and x == min(0.0, present) else "left" if near else "center"
        marks.append(Note(-0.98, f" {words} ", x=x, side=side, above=True, size=9.0, bold=True))
    panel = Panel(
        Scale(
            label="← quantum is faster      orders of magnitude between quantum and classical      slower →",
            limits=(low - pad, high + pad),
        ),
        rows([_label(row) for _, _, row in bars], top=-0.95, ruled=False),
        marks,
    )
    heading = f"{found.question}\nbars: what one number alone can do over its range\n"
    height = 1.7 + 0.55 * len(bars)
    chart = Chart("tornado", "", "", [panel], height + 0.3, keys=4, width=9.5, heading=heading, keys_below=True)
    save_figure(chart, path)


def _bar(place: int, ends: tuple[float, float], row: BreakevenSingle, edge: float, narrowest: float) -> list[Mark]:
    """Draw one variable's effect, from the left edge of the figure on, with its text."""
    left, right = max(ends[0], edge), ends[1]
    crosses = row.value is not None
    ends_at = max(right, left + narrowest)
    marks: list[Mark] = [Cells([(place, left, ends_at)], _REACHES if crosses else _MISSES, low=-0.25, high=0.25)]
    if ends[0] < edge:
        marks.append(Line([(edge, place)], _BEYOND))
    still = "no value does it" if row.unit != "s" or ends[0] < 0 else f"no {row.label} helps"
    still = "nothing depends on it" if ends[0] == ends[1] else still
    words = still if row.value is None else f"equal at {of_unit(row.value, row.unit)}"
    return [*marks, Note(place, words, size=9.0, bold=crosses)]


def write_maps(found: BreakevenFile, path: Path) -> None:
    """Write a figure of `log10(quantum / classical)` over each pair of variables, equality as a thick line.

    Args:
        found: of `breakeven.json`.
        path: of the figure, `.svg`, `.pdf` or `.png`.
    """
    present = {one.name: one.present for one in found.singles}
    heading = f"{found.question}\nlines: orders of magnitude by which quantum is slower"
    panels = [_map(pair, present) for pair in found.pairs]
    keys: list[Mark] = [
        Key("equal", Style(width=2.6)),
        Key("as it is", _HERE),
        Key("quantum is faster", Fill("paper", "", "ink", 0.6)),
        Key("quantum is slower, darker: more", Fill("stage2")),
        Key("no number", Fill(None, "xxx", "ink")),
    ]
    panels[0] = replace(panels[0], marks=[*panels[0].marks, *keys])
    height = 1.2 + 2.9 * math.ceil(len(panels) / _COLUMNS)
    chart = Chart(
        "maps", "", "", panels, height, keys=5, columns=_COLUMNS, width=11.0, heading=heading, keys_below=True
    )
    save_figure(chart, path)


def _map(pair: BreakevenPair, present: dict[str, float | None]) -> Panel:
    orders = [[math.nan if value is None else value for value in line] for line in pair.orders]
    marks: list[Mark] = [Surface(pair.x, pair.y, orders, _LINES, heavy=0.0)]
    here = present[pair.first], present[pair.second]
    if here[0] is not None and here[1] is not None:
        marks.append(Line([(here[0], here[1])], _HERE))
    x = Scale("log", pair.first_label, limits=(pair.x[0], pair.x[-1]), values=pair.x)
    y = Scale("log", pair.second_label, limits=(pair.y[0], pair.y[-1]), values=pair.y)
    return Panel(x, y, marks)


def _label(row: BreakevenSingle) -> str:
    span = f"{of_unit(row.low, row.unit)} to {of_unit(row.high, row.unit)}"
    now = "" if row.present is None else f", now {of_unit(row.present, row.unit)}"
    return f"{row.label}\n{span}{now}"

"""What the figures of a reproduction share: rows of dots, and lines that markers tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .chart import Chart, Clock, Line, Mark, Note, Panel, Scale, Style, or_gap, rows
from .styles import dotted

Numbers = dict[str, Any]
"""What an evaluation derived: the field `numbers` of its file."""


def dots(
    name: str,
    title: str,
    caption: str,
    clock: Clock,
    entries: Sequence[tuple[str, float | None, float | None, str]],
) -> Chart:
    """Draw one line per row on a logarithmic axis: a filled dot where the target is reached, an open square at the end.

    Args:
        name: of the figure.
        title: above it.
        caption: below it.
        clock: what its seconds are.
        entries: label, seconds to the target or None, seconds in all or None, words at the right.
    """
    marks: list[Mark] = []
    for place, (_, to_target, total, words) in enumerate(entries):
        if total and to_target:
            marks.append(Line([(to_target, place), (total, place)], Style("muted", width=2.0)))
        if total:
            square = Style("paper", "none", marker="s", size=7.0, edge="ink", above=True)
            marks.append(Line([(total, place)], square))
        if to_target:
            marks.append(Line([(to_target, place)], Style("ink", "none", marker="o", size=7.0, above=True)))
        marks.append(Note(place, words))
    values = [value for _, to_target, total, _ in entries for value in (to_target, total) if value]
    x = Scale("log seconds", f"{clock} seconds", values=values or [1.0])
    panel = Panel(x, rows([label for label, *_ in entries]), marks)
    return Chart(name, title, caption, [panel], 0.9 + 0.33 * len(entries), clock)


def marked(xs: Sequence[float], ys: Sequence[float | None], index: int, label: str, every: int, size: float) -> Line:
    """Draw a line with markers that identify it without colour; a missing y is a gap."""
    points = [(x, or_gap(y)) for x, y in zip(xs, ys, strict=True)]
    return Line(points, dotted(index, size=size, every=(0, every)), label, whole=True)

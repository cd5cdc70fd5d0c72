"""What a figure shows: panels, their two scales, and the marks on them. Nothing here draws (`draw` does)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Clock = Literal["measured", "predicted"]
Dashes = str | tuple[int, tuple[float, ...]]
Point = tuple[float, float]
Side = Literal["left", "center", "right"]
ScaleKind = Literal["number", "percent", "log", "log ticks", "log10", "step", "seconds", "log seconds", "rows"]

LINE_STYLES: tuple[Dashes, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1, 1)),
    (0, (6, 1.5, 1, 1.5)),
    (0, (3, 1)),
    (0, (8, 2, 1, 1, 1, 2)),
)
MARKERS = "osD^vPX<>*"
DOTTED: Dashes = (0, (2, 2))
DASHED: Dashes = (0, (5, 1.5))
MOST_POINTS = 200  # of a line; with more, it is drawn as the medians of groups
BINS = 100
BINNED = f" Line: median of about {BINS} groups of steps; band: their range."


@dataclass(frozen=True, slots=True)
class Style:
    """How a line and its markers look. Colours are names of the palette in `svg`, which knows light and dark.

    Attributes:
        color: of the line, and of its markers.
        dashes: matplotlib's line style; `none` leaves the markers alone.
        width: of the line, in points.
        marker: matplotlib's letter; empty: none.
        size: of the marker, in points.
        every: only each such marker, from the first of the pair on; None: all, where there are few.
        hollow: markers are filled with the paper.
        edge: colour around the marker, if not `color`.
        alpha: opacity of the line.
        above: whether it lies in front of lines that do not.
    """

    color: str = "ink"
    dashes: Dashes = "-"
    width: float = 1.5
    marker: str = ""
    size: float = 3.0
    every: tuple[int, int] | None = None
    hollow: bool = False
    edge: str | None = None
    alpha: float = 1.0
    above: bool = False


@dataclass(frozen=True, slots=True)
class Fill:
    """How an area looks: colour and edge from the palette, hatch as matplotlib writes it."""

    color: str | None
    hatch: str = ""
    edge: str | None = None
    width: float = 0.0
    dashes: str = "-"
    alpha: float = 1.0


def or_gap(value: float | None) -> float:
    """NaN, which is a gap in a line, for an unknown number."""
    return math.nan if value is None else value


def line_style(index: int) -> Style:
    """Colour and dashes of line `index`; two lines share both only after 24 lines."""
    return Style(f"line{index % 8}", LINE_STYLES[index % len(LINE_STYLES)])


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points; a missing y (NaN) is a gap. Of many points: median and range of groups of them.

    Attributes:
        points: (x, y).
        style: of line and markers.
        label: in the legend.
        beside: written at the end of the line, right of the panel.
        whole: draw all points, however many.
    """

    points: Sequence[Point]
    style: Style
    label: str = ""
    beside: str = ""
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Ranges:
    """Vertical bars (x, from, to)."""

    items: Sequence[tuple[float, float, float]]
    style: Style
    caps: bool = False


@dataclass(frozen=True, slots=True)
class Feet:
    """Short strokes at the foot of the panel."""

    at: Sequence[float]


@dataclass(frozen=True, slots=True)
class Rule:
    """A line across the panel where an axis has the value; `note` stands at its upper end."""

    axis: Literal["x", "y"]
    value: float
    style: Style
    label: str = ""
    note: str = ""
    beside: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """A band across the panel between two values of an axis, behind everything."""

    axis: Literal["x", "y"]
    low: float
    high: float
    fill: Fill
    label: str = ""


@dataclass(frozen=True, slots=True)
class Cells:
    """Rectangles (row, from, to) of one fill; those that touch become one. `low`, `high`: around the row's middle."""

    cells: Sequence[tuple[float, float, float]]
    fill: Fill
    label: str = ""
    low: float = -0.4
    high: float = 0.4


@dataclass(frozen=True, slots=True)
class Stack:
    """Layers (label, heights, fill) over common edges, each on top of the one before."""

    edges: Sequence[float]
    layers: Sequence[tuple[str, Sequence[float], Fill]]


@dataclass(frozen=True, slots=True)
class Bars:
    """Upright bars (left, right, height)."""

    items: Sequence[tuple[float, float, float]]
    fill: Fill
    label: str = ""


@dataclass(frozen=True, slots=True)
class Surface:
    """Heights over a grid, as shades, with contour lines; NaN is hatched, what is negative stays white.

    Attributes:
        x, y: of the columns and rows.
        heights: a row for each y.
        lines: heights that get a line and a number.
        heavy: the height of the thick line.
    """

    x: Sequence[float]
    y: Sequence[float]
    heights: Sequence[Sequence[float]]
    lines: Sequence[float]
    heavy: float


@dataclass(frozen=True, slots=True)
class Note:
    """Words in a panel.

    Attributes:
        x, y: the point it belongs to; `x` None: right of the panel, at the height of `y`.
        shift: away from the point, in typographic points.
        start: instead of `x`, at the left end of the row.
        side, above: which part of the words lies at the point; None: their middle.
    """

    y: float
    words: str
    x: float | None = None
    shift: tuple[float, float] = (0.0, 0.0)
    start: bool = False
    side: Side = "left"
    above: bool | None = None
    color: str = "ink"
    size: float = 8.5
    bold: bool = False


@dataclass(frozen=True, slots=True)
class Key:
    """An entry of the legend that is no mark of its own."""

    label: str
    look: Style | Fill


Mark = Line | Ranges | Feet | Rule | Span | Cells | Stack | Bars | Surface | Note | Key


@dataclass(frozen=True, slots=True)
class Scale:
    """One axis.

    Attributes:
        kind: `number`; `percent` of a fraction; `log` with ticks at powers of ten; `log ticks` with ticks at 1, 2 and
            5 as well; `log10` of values that are logarithms already; `step` of a training; `seconds` from zero;
            `log seconds`; `rows` with names.
        label: beside it.
        values: what must fit in; where empty, what is drawn.
        limits: instead; None: as `values` say.
        ticks: (value, words), instead of those of the kind.
        names: of rows, from the top.
        ruled: whether grid lines stand at its ticks.
        room: of a `log` axis, its share that is left free at the right for words.
    """

    kind: ScaleKind = "number"
    label: str = ""
    values: Sequence[float] = ()
    limits: tuple[float | None, float | None] | None = None
    ticks: Sequence[tuple[float, str]] = ()
    names: Sequence[str] = ()
    ruled: bool = True
    room: float = 0.0


def over_steps(steps: Sequence[int], label: str = "step") -> Scale:
    """The axis of everything that is drawn over training."""
    return Scale("step", label, values=steps)


def rows(names: Sequence[str], top: float = -0.6, ruled: bool = True) -> Scale:
    """The axis of rows with names, from the top."""
    return Scale("rows", names=names, limits=(len(names) - 0.4, top), ruled=ruled)


def shares(*ticks: int) -> Scale:
    """The axis of a share in percent."""
    return Scale(label="quantum\nshare", limits=(-8, 108), ticks=[(tick, f"{tick} %") for tick in ticks])


@dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes.

    Attributes:
        x, y: its scales.
        marks: from the back to the front.
        share: of the height of the figure.
        title, corner: above it, at the left and at the right.
    """

    x: Scale
    y: Scale
    marks: Sequence[Mark]
    share: float = 1.0
    title: str = ""
    corner: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """A figure: what it shows, against what, by which clock.

    Attributes:
        name: identifies it in a page.
        title, caption: in words.
        panels: from the top, or in rows of `columns`.
        height: in inches.
        clock: what its seconds are; None: it has none.
        keys: columns of the legend; 0: no legend.
        columns: panels in a row.
        width: in inches; in a page 5, so that 9-point text stays readable on a phone.
        heading: a line above everything, for a figure without a page around it.
        keys_below: the legend stands below the panels.
    """

    name: str
    title: str
    caption: str
    panels: Sequence[Panel]
    height: float
    clock: Clock | None = None
    keys: int = 2
    columns: int = 1
    width: float = 5.0
    heading: str = ""
    keys_below: bool = False
    kind: str = field(default="chart", init=False)

"""Figures: what were the systems, and who solved them?"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .._runfile import Run, SystemLine
from . import derive
from .axes import (
    BINS,
    MOST_POINTS,
    NAN,
    Style,
    block_labels,
    choice_styles,
    curve,
    labels_beside,
    line_style,
    log10_axis,
    step_axis,
)
from .svg import color
from .units import abbreviate, percent, power_of_ten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LINES = 8  # with more blocks the lines cannot be told apart: a map then
MOST_CELLS = 3600
KIND_MARKERS = {"exact": "o", "certified": "v", "bound": "^", "probabilistic": "s", "estimate": "D", "rough": "x"}
KIND_MEANINGS = {
    "exact": "exact",
    "certified": "certified upper bound",
    "bound": "upper bound, rounding aside",
    "probabilistic": "upper bound but for a small probability",
    "estimate": "estimate",
    "rough": "of unknown error",
}


def condition_height(run: Run) -> float:
    """Inches that `draw_condition_numbers` needs."""
    blocks = len(derive.by_block(run))
    return 3.3 if blocks <= MOST_LINES else _strip_height(blocks) + 0.25


def draw_condition_numbers(figure: Figure, run: Run) -> None:
    """Condition number of every block over the steps, with its kind: lines, or a map for many blocks."""
    axes = figure.subplots()
    groups = derive.by_block(run)
    if len(groups) <= MOST_LINES:
        _condition_lines(figure, axes, groups)
    else:
        _condition_map(figure, axes, groups)
    step_axis(axes, [block.step for block in run.blocks])


def _condition_lines(figure: Figure, axes: Axes, groups: dict[int, list[SystemLine]]) -> None:
    from matplotlib.lines import Line2D

    labels, kinds = [], set()
    names = block_labels({index: blocks[-1].name for index, blocks in groups.items()})
    for position, (index, blocks) in enumerate(groups.items()):
        points = [(float(block.step), _number(block.log10_condition_number)) for block in blocks]
        style = line_style(position)
        end = curve(axes, points, {**style, "linewidth": 1.2})
        for kind, marked in _markers(blocks).items():
            kinds.add(kind)
            axes.plot(*zip(*marked, strict=True), **_marker(kind, str(style["color"])))
        labels.append((end, names[index], str(style["color"])))
    low, high = axes.get_ylim()
    if high - low < 1.2:
        low, high = math.floor(low), math.ceil(high)
    axes.set_ylim(low, max(high, low + 1))
    log10_axis(axes.yaxis)
    axes.set_ylabel("condition number κ")
    step_axis(axes, [block.step for blocks in groups.values() for block in blocks])
    labels_beside(axes, labels)
    handles = [
        Line2D([], [], **_marker(kind, color("ink")), label=KIND_MEANINGS[kind])
        for kind in KIND_MEANINGS
        if kind in kinds
    ]
    if handles:
        figure.legend(handles=handles, loc="outside upper left", ncols=3, handlelength=1.0)


def _marker(kind: str, edge: str) -> Style:
    fill = edge if kind == "exact" else "none"
    marker = {"marker": KIND_MARKERS[kind], "markersize": 5 if kind == "certified" else 4}
    return {**marker, "linestyle": "none", "markerfacecolor": fill, "markeredgecolor": edge}


def _markers(blocks: Sequence[SystemLine]) -> dict[str, list[tuple[float, float]]]:
    """About 20 points on the line of a block, by kind: its own points, or medians where the line is one of medians."""
    points: list[tuple[str, float, float | None]] = []
    if len(blocks) > MOST_POINTS:
        for group in derive.columns(blocks, BINS)[:: BINS // 20]:
            middle = derive.spread(block.log10_condition_number for block in group)
            kind = derive.most_common(block.condition_number_kind for block in group)
            points.append((kind, 0.5 * (group[0].step + group[-1].step), middle.median if middle else None))
    else:
        chosen = {group[0].step: group[0] for group in derive.columns(blocks, 20)} | {blocks[-1].step: blocks[-1]}
        for kind in KIND_MEANINGS:  # the first of every kind is among them
            first = next((block for block in blocks if block.condition_number_kind == kind), blocks[0])
            chosen[first.step] = first
        points = [(block.condition_number_kind, step, block.log10_condition_number) for step, block in chosen.items()]
    found: dict[str, list[tuple[float, float]]] = {}
    for kind, x, y in points:
        if y is not None:
            found.setdefault(kind, []).append((x, y))
    return found


def _condition_map(figure: Figure, axes: Axes, groups: dict[int, list[SystemLine]]) -> None:
    from matplotlib.patches import Patch
    from matplotlib.ticker import MaxNLocator

    cells: list[tuple[int, float, float, float]] = []
    for row, blocks in enumerate(groups.values()):
        for group in derive.columns(blocks, _columns(len(groups))):
            middle = derive.spread(block.log10_condition_number for block in group)
            if middle is not None:
                cells.append((row, group[0].step - 0.5, group[-1].step + 0.5, middle.median))
    values = [value for *_, value in cells] or [0.0]
    edges = [
        float(edge)
        for edge in MaxNLocator(nbins=6, steps=[1, 2, 5, 10], integer=True).tick_values(min(values), max(values))
    ]
    edges = edges if len(edges) <= 8 else [edges[0] + (edges[-1] - edges[0]) * part / 7 for part in range(8)]
    for level, (low, high) in enumerate(itertools.pairwise(edges)):
        last = high == edges[-1]
        rectangles = [(row, x0, x1) for row, x0, x1, value in cells if low <= value < high or (last and value == high)]
        _add_cells(axes, rectangles, {"facecolor": color(f"scale{level}"), "edgecolor": "none"})
    for row, blocks in enumerate(groups.values()):
        kinds = {block.condition_number_kind for block in blocks}
        kind = kinds.pop() if len(kinds) == 1 else "mixed"
        axes.text(1.01, row, kind, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    _rows(axes, groups)
    handles = [
        Patch(
            facecolor=color(f"scale{level}"),
            edgecolor=color("muted"),
            linewidth=0.4,
            label=f"{_power(low)} – {_power(high)}",
        )
        for level, (low, high) in enumerate(itertools.pairwise(edges))
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=4, handlelength=1.4, title="condition number κ")


def _power(exponent: float) -> str:
    return power_of_ten(round(exponent)) if exponent == round(exponent) else f"10^{exponent:.2g}"


def strip_height(run: Run) -> float:
    """Inches that `draw_choices` needs."""
    return _strip_height(len(derive.by_block(run))) + 0.2 * (len(derive.choices(run)) // 3)


def draw_choices(figure: Figure, run: Run, assumption_set: str) -> None:
    """One strip per block over the steps: which solver the set chose; right of it the quantum share."""
    from matplotlib.patches import Patch

    axes = figure.subplots()
    groups = derive.by_block(run)
    styles = choice_styles(derive.choices(run))
    cells: dict[derive.Choice, list[tuple[int, float, float]]] = {choice: [] for choice in styles}
    failures: list[tuple[int, float, float]] = []
    for row, (index, blocks) in enumerate(groups.items()):
        of_set = [block for block in blocks if assumption_set in block.assumptions]
        for group in derive.columns(of_set, _columns(len(groups))):
            entries = [block.assumptions[assumption_set] for block in group]
            taken = [derive.Choice(entry.choice, entry.machine) for entry in entries if not entry.nobody]
            if taken:
                cells[derive.most_common(taken)].append((row, group[0].step - 0.5, group[-1].step + 0.5))
            if any(block.status != "ok" for block in group):
                failures.append((row, group[0].step - 0.5, group[-1].step + 0.5))
        share = percent(derive.quantum_share(run, assumption_set, index), 0)
        axes.text(1.015, row, share, transform=axes.get_yaxis_transform(), va="center", fontsize=8.5)
    axes.text(1.015, -0.85, "quantum", transform=axes.get_yaxis_transform(), va="center", fontsize=8.5)
    handles = []
    for choice, style in styles.items():
        if cells[choice]:
            _add_cells(axes, cells[choice], style)
            label = f"{choice.machine}: {abbreviate(choice.name)}"
            handles.append(Patch(**style, linewidth=0.4, label=label))
    if failures:
        _add_cells(axes, failures, {"facecolor": color("ink"), "edgecolor": "none"}, low=0.26, high=0.4)
        handles.append(Patch(facecolor=color("ink"), label="system failed: gradient step"))
    _rows(axes, groups)
    step_axis(axes, [block.step for block in run.blocks])
    wide = any(len(str(handle.get_label())) > 32 for handle in handles)
    legend = figure.legend(handles=handles, loc="outside upper left", ncols=1 if wide else 2, handlelength=1.8)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _strip_height(rows: int) -> float:
    return 1.15 + 0.27 * rows if rows <= 12 else 1.4 + 0.19 * rows


def cells_stand_for_several_steps(run: Run) -> bool:
    """Whether a strip has more steps than cells."""
    return len(run.steps) > _columns(max(1, len(derive.by_block(run))))


def _columns(rows: int) -> int:
    return min(300, max(60, MOST_CELLS // rows))


def _rows(axes: Axes, groups: dict[int, list[SystemLine]]) -> None:
    axes.set_ylim(len(groups) - 0.4, -0.6)
    names = block_labels({index: blocks[-1].name for index, blocks in groups.items()})
    axes.set_yticks(range(len(groups)), list(names.values()), parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.grid(False)
    axes.spines["left"].set_visible(False)


def _add_cells(
    axes: Axes,
    cells: Sequence[tuple[int, float, float]],
    style: Style,
    low: float = -0.4,
    high: float = 0.4,
) -> None:
    """Draws the rectangles (row, from, to) as one path; neighbours in a row become one rectangle."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    merged: list[tuple[int, float, float]] = []
    for row, x0, x1 in cells:
        if merged and merged[-1][0] == row and merged[-1][2] == x0:
            merged[-1] = (row, merged[-1][1], x1)
        else:
            merged.append((row, x0, x1))
    if not merged:
        return
    corners = [
        corner
        for row, x0, x1 in merged
        for corner in ((x0, row + low), (x1, row + low), (x1, row + high), (x0, row + high), (x0, row + low))
    ]
    codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY] * len(merged)
    axes.add_patch(PathPatch(Path(corners, codes), linewidth=0.0, **style))


def _number(value: float | None) -> float:
    return NAN if value is None else value

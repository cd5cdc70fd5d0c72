"""The figure of the condition numbers: a line per block with the kind of each number, or a map for many blocks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

from .._runfile import Run, SystemLine
from . import derive
from .chart import (
    BINNED,
    BINS,
    MOST_POINTS,
    Cells,
    Chart,
    Fill,
    Key,
    Line,
    Mark,
    Note,
    Panel,
    Scale,
    Style,
    line_style,
    or_gap,
    over_steps,
)
from .labels import block_labels
from .strips import blocks_axis, height_of_strips, several_steps_in_a_cell, strip_columns
from .units import power_of_ten

_MOST_LINES = 8  # with more blocks the lines cannot be told apart: a map then
_MOST_LEVELS = 7
_KIND_MARKERS = {"exact": "o", "certified": "v", "bound": "^", "probabilistic": "s", "estimate": "D", "rough": "x"}
_KIND_MEANINGS = {
    "exact": "exact",
    "certified": "certified upper bound",
    "bound": "upper bound, rounding aside",
    "probabilistic": "upper bound but for a small probability",
    "estimate": "estimate",
    "rough": "of unknown error",
}


def condition_chart(run: Run) -> Chart:
    """Condition number of every block over the steps, with its kind."""
    groups = derive.by_block(run)
    lines = len(groups) <= _MOST_LINES
    panel = _lines(groups) if lines else _map(groups)
    caption, height = _caption(run, lines), 3.3 if lines else height_of_strips(len(groups)) + 0.25
    return Chart("f-kappa", "Condition number per block", caption, [panel], height, keys=3 if lines else 4)


def _caption(run: Run, lines: bool) -> str:
    said = ["Condition number κ of each block after damping and pruning. A certified value is a rigorous upper bound."]
    meaningless = sum(block.exact_residual is not None and block.exact_residual > 1 for block in run.blocks)
    if meaningless:
        said.append(
            f"{meaningless} solutions left a residual above 1 in the system as it was before pruning: no step at all "
            "would have been closer."
        )
    unknown = sum(block.log10_condition_number is None for block in run.blocks)
    if unknown:
        said.append(f"Systems without a number ({unknown}) are gaps.")
    if not lines and several_steps_in_a_cell(run):
        said.append("A cell is the median over the steps it stands for.")
    return " ".join(said) + (BINNED if lines and len(run.steps) > MOST_POINTS else "")


def _lines(groups: dict[int, list[SystemLine]]) -> Panel:
    marks: list[Mark] = []
    kinds: set[str] = set()
    names = block_labels({index: blocks[-1].name for index, blocks in groups.items()})
    everything = [block for blocks in groups.values() for block in blocks]
    for position, (index, blocks) in enumerate(groups.items()):
        points = [(float(block.step), or_gap(block.log10_condition_number)) for block in blocks]
        style = replace(line_style(position), width=1.2)
        marks.append(Line(points, style, beside=names[index]))
        for kind, marked in _marked(blocks).items():
            kinds.add(kind)
            marks.append(Line(marked, _marker(kind, style.color)))
    marks += [Key(meaning, _marker(kind, "ink")) for kind, meaning in _KIND_MEANINGS.items() if kind in kinds]
    logs = [block.log10_condition_number for block in everything if block.log10_condition_number is not None]
    return Panel(over_steps([block.step for block in everything]), Scale("log10", "condition number κ", logs), marks)


def _marker(kind: str, color: str) -> Style:
    size = 5.0 if kind == "certified" else 4.0
    return Style(color, "none", marker=_KIND_MARKERS[kind], size=size, hollow=kind != "exact", above=True)


def _marked(blocks: Sequence[SystemLine]) -> dict[str, list[tuple[float, float]]]:
    """About 20 points on the line of a block, by kind: its own points, or medians where the line is one of medians."""
    points: list[tuple[str, float, float | None]] = []
    if len(blocks) > MOST_POINTS:
        for group in derive.columns(blocks, BINS)[:: BINS // 20]:
            middle = derive.spread(block.log10_condition_number for block in group)
            kind = derive.most_common(block.condition_number_kind or "" for block in group)
            points.append((kind, 0.5 * (group[0].step + group[-1].step), middle.median if middle else None))
    else:
        chosen = {group[0].step: group[0] for group in derive.columns(blocks, 20)} | {blocks[-1].step: blocks[-1]}
        for kind in _KIND_MEANINGS:  # the first of every kind is among them
            first = next((block for block in blocks if block.condition_number_kind == kind), blocks[0])
            chosen[first.step] = first
        points = [
            (block.condition_number_kind or "", step, block.log10_condition_number) for step, block in chosen.items()
        ]
    found: dict[str, list[tuple[float, float]]] = {}
    for kind, x, y in points:
        if y is not None:
            found.setdefault(kind, []).append((x, y))
    return found


def _map(groups: dict[int, list[SystemLine]]) -> Panel:
    cells: list[tuple[int, float, float, float]] = []
    for row, blocks in enumerate(groups.values()):
        for group in derive.columns(blocks, strip_columns(len(groups))):
            middle = derive.spread(block.log10_condition_number for block in group)
            if middle is not None:
                cells.append((row, group[0].step - 0.5, group[-1].step + 0.5, middle.median))
    marks: list[Mark] = []
    edges = _levels([value for *_, value in cells] or [0.0])
    for level, (low, high) in enumerate(itertools.pairwise(edges)):
        inside = [(row, x0, x1) for row, x0, x1, value in cells if low <= value < high or value == high == edges[-1]]
        fill = Fill(f"scale{level}")
        marks += [
            Cells(inside, fill),
            Key(f"κ {power_of_ten(low)} – {power_of_ten(high)}", Fill(fill.color, edge="muted", width=0.4)),
        ]
    for row, blocks in enumerate(groups.values()):
        kinds = {block.condition_number_kind or "" for block in blocks}
        marks.append(Note(row, kinds.pop() if len(kinds) == 1 else "mixed", size=8.0))
    return Panel(over_steps([block.step for blocks in groups.values() for block in blocks]), blocks_axis(groups), marks)


def _levels(values: Sequence[float]) -> list[int]:
    """Edges of at most seven equal intervals between whole powers of ten, by steps of 1, 2, 5, 10, ..."""
    low, high = math.floor(min(values)), math.ceil(max(values))
    wide = (factor * 10**power for power in itertools.count() for factor in (1, 2, 5))
    step = next(one for one in wide if math.ceil(high / one) - low // one <= _MOST_LEVELS)
    first = step * (low // step)
    return list(range(first, max(step * math.ceil(high / step), first + step) + 1, step))

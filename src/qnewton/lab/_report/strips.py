"""The figure of the choices: one strip per block over the steps, and what it shares with other maps of blocks."""

from __future__ import annotations

from collections.abc import Mapping

from .._runfile import Run, SystemLine
from . import derive
from .chart import Cells, Chart, Fill, Mark, Note, Panel, Scale, over_steps, rows
from .labels import block_labels
from .styles import of_choices
from .units import abbreviate, percent

_MOST_CELLS = 3600


def choices_chart(run: Run, number: int, assumption_set: str) -> Chart:
    """One strip per block over the steps: which solver the set chose; right of it the quantum share."""
    groups = derive.by_block(run)
    fills = of_choices(derive.choices(run))
    cells: dict[derive.Choice, list[tuple[float, float, float]]] = {choice: [] for choice in fills}
    failures: list[tuple[float, float, float]] = []
    marks: list[Mark] = []
    held = derive.held(run)
    for row, (index, blocks) in enumerate(groups.items()):
        of_set = [block for block in blocks if assumption_set in block.assumptions]
        for group in derive.columns(of_set, strip_columns(len(groups))):
            last = group[-1].step + held.get(group[-1].step, 1) - 1
            place = (float(row), group[0].step - 0.5, last + 0.5)
            entries = [block.assumptions[assumption_set] for block in group]
            taken = [derive.Choice(entry.choice, entry.machine) for entry in entries if entry.choice and entry.machine]
            if taken:
                cells[derive.most_common(taken)].append(place)
            if any(block.status not in ("ok", None) for block in group):
                failures.append(place)
        marks.append(Note(row, percent(derive.quantum_share(run, assumption_set, index), 0)))
    marks.append(Note(-0.85, "quantum"))
    marks += [
        Cells(cells[choice], fill, f"{choice.machine}: {abbreviate(choice.name)}")
        for choice, fill in fills.items()
        if cells[choice]
    ]
    if failures:
        marks.append(Cells(failures, Fill("ink"), "system failed: gradient step", low=0.26, high=0.4))
    panel = Panel(over_steps([step.step for step in run.steps]), blocks_axis(groups), marks)
    done = "carried out" if assumption_set == derive.acting_set(run) else "not carried out"
    caption = (
        f"{percent(derive.quantum_share(run, assumption_set))} of all systems to a quantum solver; right of each "
        "strip: the share of that block."
    )
    if several_steps_in_a_cell(run):
        caption += " A cell shows the most frequent choice of the steps it stands for."
    height = height_of_strips(len(groups)) + 0.2 * (len(fills) // 3)
    return Chart(f"f-choice{number}", f"Choice per block, set {assumption_set} ({done})", caption, [panel], height)


def blocks_axis(groups: Mapping[int, list[SystemLine]]) -> Scale:
    """A row for each block, with its name."""
    return rows(list(block_labels({index: blocks[-1].name for index, blocks in groups.items()}).values()), ruled=False)


def height_of_strips(count: int) -> float:
    """Inches of a figure with so many strips."""
    return 1.15 + 0.27 * count if count <= 12 else 1.4 + 0.19 * count


def several_steps_in_a_cell(run: Run) -> bool:
    """Whether a strip has more steps than cells."""
    return len(run.steps) > strip_columns(max(1, len(derive.by_block(run))))


def strip_columns(strips: int) -> int:
    """The most cells of one strip, of so many."""
    return min(300, max(60, _MOST_CELLS // strips))

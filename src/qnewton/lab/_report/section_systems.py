"""Section of the page: what were the systems?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from .._runfile import Run, SystemLine
from . import derive
from .condition import condition_chart
from .parts import Column, Figures, Part, Section, Table, Text
from .units import MISSING, count, from_log10, number, percent, seconds


def systems_section(run: Run) -> Section:
    """The family, the condition numbers, and a table of the systems."""
    parts: list[Part] = [] if run.config.family is None else [Text(_about(run))]
    if any(line.condition_number_kind for line in run.blocks):
        parts.append(Figures([condition_chart(run)]))
    return Section("systems", "What were the systems?", [*parts, _systems_table(run)])


def _about(run: Run) -> str:
    family = run.config.family
    assert family is not None, "asked of a complete optimizer"
    later = run.steps[1:]
    changed = sum(step.systems > 0 for step in later)
    said = [
        f"Family {family.name}" + (f": {family.because}." if family.because else "."),
        f"Its systems changed in {changed} of the {len(later)} steps after the first."
        if changed
        else "Its systems are the same in every step.",
    ]
    if family.layers or family.outside:
        said.append(
            f"Layers hold {percent(sum(family.layers.values()), 1)} of the parameters: {_shares(family.layers)}."
            + (f" In no layer, and with a diagonal: {_shares(family.outside)}." if family.outside else "")
        )
    if family.gate_time_s is not None:
        said.append(f"A gate takes {seconds(family.gate_time_s, 2)}.")
    if family.relative_error is not None:
        said.append(
            f"A solve may err by {family.relative_error:g} in the energy norm of the step, at "
            f"{percent(family.relative_error**2, 0)} of the step's predicted decrease; no candidate is asked for more."
        )
    return " ".join(said)


def _shares(parts: dict[str, float]) -> str:
    return "; ".join(f"{name} {percent(share, 1)}" for name, share in parts.items()) or "none"


def _systems_table(run: Run) -> Table:
    """One row per block or group; a column that says nothing of any of them is left out."""
    lines = list(derive.by_block(run).items())
    columns = [
        (head, cells)
        for head, cell in _COLUMNS
        if set(cells := [cell(index, own) for index, own in lines]) - {MISSING} or head.heading == "name"
    ]
    rows = [list(row) for row in zip(*(cells for _, cells in columns), strict=True)]
    caption = "The Newton systems: medians over all steps"
    return Table(caption, [head for head, _ in columns], rows, folded="Table of the systems")


def _median(name: str, show: Callable[[float | None], str]) -> Callable[[int, Sequence[SystemLine]], str]:
    def cell(_: int, lines: Sequence[SystemLine]) -> str:
        found = derive.spread(getattr(line, name) for line in lines)
        return show(found.median if found else None)

    return cell


def _kappa_range(_: int, lines: Sequence[SystemLine]) -> str:
    kappa = derive.spread(line.log10_condition_number for line in lines)
    return f"{from_log10(kappa.low)} to {from_log10(kappa.high)}" if kappa else MISSING


def _kinds(_: int, lines: Sequence[SystemLine]) -> str:
    kinds = Counter(line.condition_number_kind for line in lines if line.condition_number_kind is not None)
    return ", ".join(f"{kind} {systems}" for kind, systems in sorted(kinds.items())) or MISSING


def _of_group(name: str, words: str = "{}") -> Callable[[int, Sequence[SystemLine]], str]:
    def cell(_: int, lines: Sequence[SystemLine]) -> str:
        value = getattr(lines[-1], name)
        return words.format(count(value)) if lines[-1].group else MISSING

    return cell


def _definite(_: int, lines: Sequence[SystemLine]) -> str:
    known = [line.definite for line in lines if line.definite is not None]
    return percent(sum(known) / len(known), 0) if known else MISSING


_COLUMNS: list[tuple[Column, Callable[[int, Sequence[SystemLine]], str]]] = [
    (Column("block"), lambda index, _: str(index)),
    (Column("name", words=True), lambda _, lines: lines[-1].name),
    (Column("rows n"), lambda _, lines: count(lines[-1].n)),
    (Column("systems"), _of_group("count")),
    (Column("right-hand sides"), _of_group("vectors")),
    (Column("set-up serves"), _of_group("serves", "steps: {}")),
    (Column("κ, median"), _median("log10_condition_number", from_log10)),
    (Column("κ, range"), _kappa_range),
    (Column("kind of κ (systems)", words=True), _kinds),
    (Column("nonzeros per row d"), _median("degree", lambda value: MISSING if value is None else count(round(value)))),
    (Column("entries kept"), _median("kept_fraction", percent)),
    (Column("relative change by pruning"), _median("perturbation", lambda value: number(value, 2))),
    (Column("residual in the system as it was"), _median("exact_residual", lambda value: number(value, 2))),
    (Column("damping"), _median("damping", lambda value: number(value, 2))),
    (Column("definite systems"), _definite),
]

"""Sections of the page: what were the systems, and who solved them."""

from __future__ import annotations

from collections import Counter

from .._runfile import Run
from . import derive
from .condition import condition_chart
from .parts import Column, Figures, Section, Table, columns
from .strips import choices_chart
from .units import MISSING, count, from_log10, number, percent

_MOST_REFUSALS = 200


def systems_section(run: Run) -> Section:
    """The condition numbers, and a table of the systems."""
    return Section("systems", "What were the systems?", [Figures([condition_chart(run)]), _systems_table(run)])


def _systems_table(run: Run) -> Table:
    rows = []
    for index, blocks in derive.by_block(run).items():
        kappa = derive.spread(block.log10_condition_number for block in blocks)
        kinds = Counter(block.condition_number_kind for block in blocks)
        degree = derive.spread(float(block.degree) for block in blocks)
        kept = derive.spread(block.kept_fraction for block in blocks)
        moved = derive.spread(block.perturbation for block in blocks)
        exact = derive.spread(block.exact_residual for block in blocks)
        damping = derive.spread(block.damping for block in blocks)
        rows.append(
            [
                str(index),
                blocks[-1].name,
                count(blocks[-1].n),
                from_log10(kappa.median) if kappa else MISSING,
                f"{from_log10(kappa.low)} to {from_log10(kappa.high)}" if kappa else MISSING,
                ", ".join(f"{kind} {systems}" for kind, systems in sorted(kinds.items())),
                count(round(degree.median)) if degree else MISSING,
                percent(kept.median if kept else None),
                number(moved.median if moved else None, 2),
                number(exact.median if exact else None, 2),
                number(damping.median if damping else None, 2),
                percent(sum(block.definite for block in blocks) / len(blocks), 0),
            ]
        )
    heads = [
        *columns("block", words=0),
        *columns("name", "rows n", "κ, median", "κ, range"),
        *columns("kind of κ (systems)", "nonzeros per row d", "entries kept", "relative change by pruning"),
        *columns("residual in the system as it was", "damping", "definite systems", words=0),
    ]
    caption = "The Newton systems: medians over all steps"
    return Table(caption, heads, rows, folded="Table of the systems")


def choices_section(run: Run) -> Section:
    """Return the choices of every assumption set, and the executed ones."""
    charts = [
        choices_chart(run, index, name)
        for index, name in enumerate(derive.assumption_sets(run))
        if any(name in block.assumptions for block in run.blocks)
    ]
    refused = _refusals(run)
    return Section("choices", "Who solved what?", [Figures(charts), _carried_out(run), *([refused] if refused else [])])


def _carried_out(run: Run) -> Table:
    carried = Counter(
        (block.solver, block.assumptions[block.acting].machine, block.ran, block.execution) for block in run.blocks
    )
    rows = []
    for (solver, machine, ran, execution), systems in sorted(
        carried.items(), key=lambda item: (-item[1], str(item[0]))
    ):
        residuals = derive.spread(
            block.relative_residual
            for block in run.blocks
            if (block.solver, block.ran, block.execution) == (solver, ran, execution)
        )
        rows.append(
            [
                *(solver, machine, ran, execution or MISSING),
                *(count(systems), percent(systems / len(run.blocks))),
                number(residuals.median if residuals else None, 2),
                number(residuals.high if residuals else None, 2),
            ]
        )
    heads = columns(
        *("choice", "machine of the choice", "what ran", "execution", "systems", "share"),
        *("relative residual, median", "relative residual, worst"),
        words=4,
    )
    return Table(f"Choices that were carried out (set {derive.acting_set(run)})", heads, rows)


def _refusals(run: Run) -> Table | None:
    rows = [
        [name, candidate, reason, count(systems)]
        for name in derive.assumption_sets(run)
        for candidate, reason, systems in derive.refusals(run, name)
    ]
    if not rows:
        return None
    heads = [*columns("set", "candidate", words=2), Column("reason", wraps=True), Column("systems")]
    most = _MOST_REFUSALS
    first = f" (first {most} of {len(rows)})" if len(rows) > most else ""
    caption = f"Candidates that could not take a system{first}"
    return Table(caption, heads, rows[:most], folded="Refused candidates", most=8)

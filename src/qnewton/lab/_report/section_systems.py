"""Sections of the page: did it train, what were the systems, who solved them."""

from __future__ import annotations

from collections import Counter

from .._runfile import Run
from . import derive, systems, training
from .axes import BINNED, MOST_POINTS
from .markup import Column, figure, figures, folded, section, table
from .units import MISSING, count, from_log10, number, percent


def training_section(run: Run) -> str:
    """The loss and the accuracy."""
    caption = "Batch loss before each step; training and test loss over all data, where evaluated."
    if len(run.steps) > MOST_POINTS:
        caption += BINNED
    rejected = sum(not step.accepted for step in run.steps)
    if rejected:
        caption += f" Rejected steps ({rejected}): the trial raised the loss and the parameters stayed."
    charts = figure("f-loss", "Loss", caption, 3.0, training.draw_loss, run)
    if any(step.test_accuracy is not None for step in run.steps):
        caption = "On the held-out data, where evaluated."
        charts += figure("f-accuracy", "Test accuracy", caption, 3.0, training.draw_accuracy, run)
    return section("training", "Did it train?", figures(charts))


def systems_section(run: Run) -> str:
    """The condition numbers, and a table of the systems."""
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
    columns = [
        Column("block"),
        Column("name", words=True),
        Column("rows n"),
        Column("κ, median"),
        Column("κ, range"),
        Column("kind of κ (systems)", words=True),
        Column("nonzeros per row d"),
        Column("entries kept"),
        Column("relative change by pruning"),
        Column("residual in the system as it was"),
        Column("damping"),
        Column("definite systems"),
    ]
    unknown = sum(block.log10_condition_number is None for block in run.blocks)
    caption = "Condition number κ of each block after damping and pruning. A certified value is a rigorous upper bound."
    meaningless = sum(block.exact_residual is not None and block.exact_residual > 1 for block in run.blocks)
    if meaningless:
        caption += (
            f" {meaningless} solutions left a residual above 1 in the system as it was before pruning: no step at all "
            "would have been closer."
        )
    if unknown:
        caption += f" Systems without a number ({unknown}) are gaps."
    if len(rows) > systems.MOST_LINES and systems.cells_stand_for_several_steps(run):
        caption += " A cell is the median over the steps it stands for."
    if len(rows) <= systems.MOST_LINES and len(run.steps) > MOST_POINTS:
        caption += BINNED
    chart = figure(
        "f-kappa",
        "Condition number per block",
        caption,
        systems.condition_height(run),
        systems.draw_condition_numbers,
        run,
    )
    listing = table("The Newton systems: medians over all steps", columns, rows)
    return section(
        "systems", "What were the systems?", figures(chart) + folded("Table of the systems", listing, len(rows))
    )


def choices_section(run: Run) -> str:
    """The choices of every assumption set, and what was carried out."""
    acting = derive.acting_set(run)
    charts = []
    for index, name in enumerate(derive.assumption_sets(run)):
        if not any(name in block.assumptions for block in run.blocks):
            continue
        title = f"Choice per block, set {name} ({'carried out' if name == acting else 'not carried out'})"
        share = percent(derive.quantum_share(run, name))
        caption = f"{share} of all systems to a quantum solver; right of each strip: the share of that block."
        if systems.cells_stand_for_several_steps(run):
            caption += " A cell shows the most frequent choice of the steps it stands for."
        charts.append(
            figure(f"f-choice{index}", title, caption, systems.strip_height(run), systems.draw_choices, run, name)
        )
    carried = Counter(
        (block.solver, block.assumptions[block.acting].machine, block.ran, block.execution) for block in run.blocks
    )
    rows = []
    for (solver, machine, ran, execution), systems_solved in sorted(
        carried.items(), key=lambda item: (-item[1], str(item[0]))
    ):
        residuals = derive.spread(
            block.relative_residual
            for block in run.blocks
            if (block.solver, block.ran, block.execution) == (solver, ran, execution)
        )
        rows.append(
            [
                solver,
                machine,
                ran,
                execution or MISSING,
                count(systems_solved),
                percent(systems_solved / len(run.blocks)),
                number(residuals.median if residuals else None, 2),
                number(residuals.high if residuals else None, 2),
            ]
        )
    columns = [
        Column("choice", words=True),
        Column("machine of the choice", words=True),
        Column("what ran", words=True),
        Column("execution", words=True),
        Column("systems"),
        Column("share"),
        Column("relative residual, median"),
        Column("relative residual, worst"),
    ]
    body = figures("".join(charts)) + table(f"Choices that were carried out (set {acting})", columns, rows)
    return section("choices", "Who solved what?", body + _refusals(run))


def _refusals(run: Run) -> str:
    rows = [
        [name, candidate, reason, count(systems_refused)]
        for name in derive.assumption_sets(run)
        for candidate, reason, systems_refused in derive.refusals(run, name)
    ]
    if not rows:
        return ""
    columns = [
        Column("set", words=True),
        Column("candidate", words=True),
        Column("reason", wraps=True),
        Column("systems"),
    ]
    shown = rows[:200]
    caption = "Candidates that could not take a system" + (f" (first 200 of {len(rows)})" if len(rows) > 200 else "")
    return folded("Refused candidates", table(caption, columns, shown), len(shown), most=8)

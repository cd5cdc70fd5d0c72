"""Sections of the page about seconds: measured, predicted, and over the gate time."""

from __future__ import annotations

from . import clocks, derive, gate_times
from .markup import Column, figure, figures, folded, paragraph, section, table
from .records import STAGES, GateTime, Run
from .units import count, percent, seconds, short_seconds


def measured_section(run: Run) -> str:
    """The measured clock: per step, cumulative, and where it went."""
    charts = figure(
        "f-measured-step",
        "Wall clock per step",
        "What ran on this machine; a quantum solve at fidelity model costs here what its classical stand-in costs.",
        2.9,
        clocks.draw_measured_per_step,
        run,
        clock="measured",
    ) + figure(
        "f-measured-sum",
        "Wall clock, cumulative",
        "Summed over the steps; compilation and calibration are not in it.",
        2.9,
        clocks.draw_measured_cumulative,
        run,
        clock="measured",
    )
    listing = ""
    if run.summary is not None:
        rows = [[part, seconds(value)] for part, value in run.summary.measured_breakdown.items()]
        listing = table(
            "Where the wall clock went",
            [Column("part", words=True), Column("measured seconds")],
            rows,
            clock="measured",
        )
    return section("measured", "What did it take here? Measured seconds", figures(charts) + listing)


def predicted_section(run: Run) -> str:
    """The predicted clock: totals, and per step, by stage."""
    names = [name for name in derive.assumption_sets(run) if any(name in step.predicted_seconds for step in run.steps)]
    if not names:
        return ""
    caption = "All steps, stacked by stage. Quantum solves are modelled: published query count times the gate time."
    charts = figure(
        "f-predicted-sum",
        "Total of the run",
        caption,
        1.75 + 0.34 * len(names),
        clocks.draw_predicted_totals,
        run,
        clock="predicted",
    )
    charts += _stage_table(run, names)
    for index, name in enumerate(names):
        caption = "Stacked by stage; the line on top is the total of the step."
        if len(run.steps) > clocks.MOST_COLUMNS:
            caption += " A column is the mean over the steps it stands for."
        title = f"Per step, set {name}"
        charts += figure(
            f"f-predicted-step{index}",
            title,
            caption,
            3.2,
            clocks.draw_predicted_per_step,
            run,
            name,
            clock="predicted",
        )
    return section("predicted", "What would it take? Predicted seconds", figures(charts))


def _stage_table(run: Run, names: list[str]) -> str:
    stages = {name: derive.predicted_stages(run, name) for name in names}
    rows = [[clocks.STAGE_NAMES[stage], *(seconds(stages[name][stage]) for name in names)] for stage in STAGES]
    rows.append(["total", *(seconds(stages[name]["total"]) for name in names)])
    columns = [Column("stage", words=True), *(Column(f"predicted seconds, set {name}") for name in names)]
    return table("By stage, all steps", columns, rows, clock="predicted")


def gate_time_section(run: Run) -> str:
    """What other gate times would give, and which one a quantum solver needs."""
    charts, tables = "", ""
    found = gate_times.sweeps(run)
    acting = derive.acting_set(run)
    if found:
        reported = run.summary is not None and bool(run.summary.by_gate_time)
        caption = "If a gate took this long: predicted seconds of the run, and share of the systems that go to quantum."
        derived = [name for name in found if not (reported and name == acting)]
        if derived:
            caption += (
                f" Set {', '.join(derived)}: recomputed from blocks.jsonl, every system to its fastest candidate."
            )
        charts += figure(
            "f-sweep",
            "Total and quantum share by gate time",
            caption,
            3.7,
            gate_times.draw_sweep,
            run,
            clock="predicted",
        )
        charts += _sweep_table(found)
    for index, name in enumerate(derive.assumption_sets(run)):
        if not gate_times.best_break_even(run, name):
            continue
        caption = (
            "Below this gate time the quantum candidate beats the fastest classical one. Dot: median over the steps; "
            "bar: range; of several candidates, the one that needs the least speed. "
            "A dot right of the dashed line: a win at the gate time of this run."
        )
        charts += figure(
            f"f-breakeven{index}",
            f"Break-even gate time per block, set {name}",
            caption,
            gate_times.break_even_height(run),
            gate_times.draw_break_even,
            run,
            name,
            clock="predicted",
        )
        tables += _break_even_table(run, name)
    if not charts:
        return section(
            "gate-time",
            "Which gate time would a quantum solver need?",
            paragraph("No quantum candidate was costed in this run."),
        )
    return section("gate-time", "Which gate time would a quantum solver need? Predicted", figures(charts) + tables)


def _sweep_table(found: dict[str, list[GateTime]]) -> str:
    by_time = {name: {row.gate_time_s: row for row in rows} for name, rows in found.items()}
    columns = [Column("gate time")]
    for name in found:
        columns += [Column(f"predicted seconds, set {name}"), Column(f"quantum share, set {name}")]
    rows = []
    for time in sorted({time for at in by_time.values() for time in at}):
        entries = [at.get(time) for at in by_time.values()]
        cells = [
            cell
            for row in entries
            for cell in (seconds(row.predicted_seconds if row else None), percent(row.quantum_share if row else None))
        ]
        rows.append([short_seconds(time), *cells])
    return folded("By gate time", table("By gate time", columns, rows, clock="predicted"), len(rows), most=16)


def _break_even_table(run: Run, name: str) -> str:
    names = {index: (blocks[-1].name, blocks[-1].n) for index, blocks in derive.by_block(run).items()}
    rows = []
    for row in derive.break_even(run, name):
        spread = row.gate_time_s
        rows.append(
            [
                str(row.block),
                names[row.block][0],
                count(names[row.block][1]),
                row.candidate,
                seconds(spread.median if spread else None),
                f"{seconds(spread.low)} to {seconds(spread.high)}" if spread else "never",
                f"{row.never} of {row.systems}",
            ]
        )
    columns = [
        Column("block"),
        Column("name", words=True),
        Column("rows n"),
        Column("quantum candidate", words=True),
        Column("predicted break-even gate time, median"),
        Column("predicted break-even gate time, range"),
        Column("systems without one"),
    ]
    title = f"Break-even gate times, set {name}"
    return folded(title, table(title, columns, rows, clock="predicted"), len(rows))

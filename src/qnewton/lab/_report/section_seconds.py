"""Sections of the page about seconds: measured, predicted, and over the gate time."""

from __future__ import annotations

from msgspec.structs import asdict

from .._runfile import STAGES, Run
from . import clocks, derive, gate_times
from .axes import BINNED, MOST_POINTS
from .markup import Column, figure, figures, folded, paragraph, section, table
from .sweep import Sweep, SweepRow, sweeps
from .units import count, percent, seconds, short_seconds


def measured_section(run: Run) -> str:
    """The measured clock: per step, cumulative, and where it went."""
    caption = "What ran on this machine; a modelled quantum solve costs here what its classical stand-in costs."
    if len(run.steps) > MOST_POINTS:
        caption += BINNED
    charts = figure(
        "f-measured-step",
        "Wall clock per step",
        caption,
        2.9,
        clocks.draw_measured_per_step,
        run,
        clock="measured",
    ) + figure(
        "f-measured-sum",
        "Wall clock, cumulative",
        "Summed over the steps; what came before the first is not in it.",
        2.9,
        clocks.draw_measured_cumulative,
        run,
        clock="measured",
    )
    listing = ""
    if run.summary is not None:
        parts = asdict(run.summary.measured_breakdown).items()
        rows = [[part, seconds(value)] for part, value in parts if part != "calibration" or run.config.scheduled]
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
    caption = "All steps, stacked by stage. The seconds of quantum solves are modelled."
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
        caption = "Above: all stages stacked, and their total as a line. Below: the solves alone, on their own scale."
        if len(run.steps) > clocks.MOST_COLUMNS:
            caption += " A column is the mean over the steps it stands for."
        title = f"Per step, set {name}"
        charts += figure(
            f"f-predicted-step{index}",
            title,
            caption,
            3.9,
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
    found = sweeps(run)
    if found:
        caption = "If a gate took this long: the run, its solves alone, and the share of the systems given to quantum."
        derived = [name for name, sweep in found.items() if not sweep.reported]
        if derived:
            caption += f" Set {', '.join(derived)}: recomputed, every system to its fastest candidate."
        title = "Seconds and quantum share by gate time"
        charts += figure("f-sweep", title, caption, 4.6, gate_times.draw_sweep, run, found, clock="predicted")
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


def _sweep_table(found: dict[str, Sweep]) -> str:
    columns = [Column("gate time")]
    for name in found:
        columns += [
            Column(f"predicted seconds, set {name}"),
            Column(f"predicted seconds of the solves, set {name}"),
            Column(f"quantum share, set {name}"),
        ]
    rows = []
    for time in sorted({row.gate_time_s for sweep in found.values() for row in sweep.rows}):
        cells = [short_seconds(time)]
        for sweep in found.values():
            row = next((row for row in sweep.rows if row.gate_time_s == time), SweepRow(time, None, None, None))
            cells += [seconds(row.predicted_seconds), seconds(row.solve_seconds), percent(row.quantum_share)]
        rows.append(cells)
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
                f"{seconds(spread.low)} to {seconds(spread.high)}" if spread else "none",
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

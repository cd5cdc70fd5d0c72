"""Section of the page: what other gate times would give, and which one a quantum solver needs. All is predicted."""

from __future__ import annotations

from dataclasses import replace

from ..._pricing.gate_times import SHORTEST_S
from .._runfile import Run
from . import derive
from .chart import (
    DASHED,
    DOTTED,
    Chart,
    Line,
    Mark,
    Note,
    Panel,
    Rule,
    Scale,
    Style,
    or_gap,
    rows,
    shares,
)
from .labels import block_labels
from .parts import Column, Figures, Part, Section, Table, Text, columns
from .styles import dotted
from .sweep import Sweep, SweepRow, sweeps
from .units import count, percent, seconds, short_seconds, shorten


def gate_time_section(run: Run) -> Section:
    """Seconds and shares over the gate time, and where each block would change sides."""
    charts: list[Chart | Table] = []
    tables: list[Part] = []
    found = sweeps(run)
    if found:
        charts += [_sweep_chart(run, found), _sweep_table(found)]
    for index, name in enumerate(derive.assumption_sets(run)):
        if best := _best_break_even(run, name):
            charts.append(_break_even_chart(run, index, name, best))
            tables.append(_break_even_table(run, name))
    if not charts:
        said = Text("No quantum candidate was costed in this run.")
        return Section("gate-time", "Which gate time would a quantum solver need?", [said])
    title = "Which gate time would a quantum solver need? Predicted"
    return Section("gate-time", title, [Figures(charts), *tables])


def _sweep_chart(run: Run, found: dict[str, Sweep]) -> Chart:
    """Against the gate time: predicted seconds of the run, of the solves alone, and the quantum share."""
    whole: list[Mark] = []
    solves: list[Mark] = []
    share: list[Mark] = []
    for index, (name, sweep) in enumerate(found.items()):
        style = dotted(index, size=4.0, every=(0, 1))
        points = [(row.gate_time_s, or_gap(row.predicted_seconds)) for row in sweep.rows]
        whole.append(Line(points, style, f"set {shorten(name)}"))
        solves.append(Line([(row.gate_time_s, row.solve_seconds or or_gap(None)) for row in sweep.rows], style))
        share.append(Line([(row.gate_time_s, 100.0 * or_gap(row.quantum_share)) for row in sweep.rows], style))
    every = [row for sweep in found.values() for row in sweep.rows]
    totals = [row.predicted_seconds for row in every if row.predicted_seconds]
    of_solves = [row.solve_seconds for row in every if row.solve_seconds]
    across = Style("muted", DOTTED, 1.2)
    if run.summary is not None and run.summary.predicted_seconds_all_classical:
        totals.append(run.summary.predicted_seconds_all_classical)
        whole.append(Rule("y", totals[-1], across, "all classical"))
    classical = next(iter(found.values())).classical_solve_seconds
    if classical > 0:
        of_solves.append(classical)
        solves.append(Rule("y", classical, across))
    here = _gate_time_of_run(run)
    x = Scale("log seconds", "gate time", values=[row.gate_time_s for row in every])
    wide = bool(totals) and max(totals) > 30 * min(totals)
    derived = [name for name, sweep in found.items() if not sweep.reported]
    caption = "If a gate took this long: the run, its solves alone, and the share of the systems given to quantum."
    if derived:
        caption += f" Set {', '.join(derived)}: recomputed, every system to its fastest candidate."
    panels = [
        Panel(x, Scale("log seconds" if wide else "seconds", "predicted s", totals), [*whole, *here], 4.0),
        Panel(x, Scale("log seconds", "solves,\npredicted s", of_solves), [*solves, *_unnamed(here)], 4.0),
        Panel(x, shares(0, 50, 100), [*share, *_unnamed(here)], 3.0),
    ]
    title = "Seconds and quantum share by gate time"
    return Chart("f-sweep", title, caption, panels, 4.6, "predicted", keys=3)


def _gate_time_of_run(run: Run) -> list[Rule]:
    if run.summary is None or not run.summary.gate_time_s:
        return []
    value = run.summary.gate_time_s
    return [Rule("x", value, Style(dashes=DASHED, width=0.9), note=f"this run: {seconds(value, 2)}")]


def _unnamed(rules: list[Rule]) -> list[Rule]:
    return [replace(rule, note="") for rule in rules]


def _best_break_even(run: Run, assumption_set: str) -> list[derive.BreakEven]:
    """Per block the candidate with the longest median break-even gate time: the one that is easiest to win with."""
    best: dict[int, derive.BreakEven] = {}
    for row in derive.break_even(run, assumption_set):
        best.setdefault(row.block, row)
    return list(best.values())


def _break_even_chart(run: Run, index: int, name: str, best: list[derive.BreakEven]) -> Chart:
    """Break-even gate time of every block: median over the steps as a dot, range as a bar."""
    names = block_labels({block: lines[-1].name for block, lines in derive.by_block(run).items()})
    rules = _gate_time_of_run(run)
    values = [rule.value for rule in rules]
    marks: list[Mark] = [*rules, Note(-0.9, "median")]
    for place, row in enumerate(best):
        spread = row.gate_time_s
        if spread is None or spread.high < SHORTEST_S:
            marks.append(Note(place, "none", start=True))
            continue
        low, median, high = (max(value, SHORTEST_S) for value in (spread.low, spread.median, spread.high))
        values += [low, high]
        marks += [
            Line([(low, place), (high, place)], Style("quantum0", width=4.0, alpha=0.35)),
            Line([(median, place)], Style("quantum0", "none", marker="o", size=5.0)),
            Note(place, seconds(median, 2) if median > SHORTEST_S else "none"),
        ]
    x = Scale("log seconds", "predicted break-even gate time", values=values or [1e-18, 1e-9])
    count_ = len(derive.by_block(run))
    caption = (
        "Below this gate time the quantum candidate beats the fastest classical one. Dot: median over the steps; bar: "
        "range; of several candidates, the one that needs the least speed. A dot right of the dashed line: a win at "
        f"the gate time of this run. None: no gate time from {seconds(SHORTEST_S, 1)} on does it."
    )
    return Chart(
        f"f-breakeven{index}",
        f"Break-even gate time per block, set {name}",
        caption,
        [Panel(x, rows([names[row.block] for row in best]), marks)],
        height=1.1 + (0.27 if count_ <= 12 else 0.19) * count_,
        clock="predicted",
    )


def _sweep_table(found: dict[str, Sweep]) -> Table:
    heads = [Column("gate time")]
    for name in found:
        heads += columns(
            f"predicted seconds, set {name}",
            f"predicted seconds of the solves, set {name}",
            f"quantum share, set {name}",
            words=0,
        )
    lines = []
    for time in sorted({row.gate_time_s for sweep in found.values() for row in sweep.rows}):
        cells = [short_seconds(time)]
        for sweep in found.values():
            row = next((row for row in sweep.rows if row.gate_time_s == time), SweepRow(time, None, None, None))
            cells += [seconds(row.predicted_seconds), seconds(row.solve_seconds), percent(row.quantum_share)]
        lines.append(cells)
    return Table("By gate time", heads, lines, "predicted", folded="By gate time", most=16)


def _break_even_table(run: Run, name: str) -> Table:
    names = {index: (blocks[-1].name, blocks[-1].n) for index, blocks in derive.by_block(run).items()}
    lines = []
    for row in derive.break_even(run, name):
        spread = row.gate_time_s
        lines.append(
            [
                *(str(row.block), names[row.block][0], count(names[row.block][1]), row.candidate),
                seconds(spread.median if spread else None),
                f"{seconds(spread.low)} to {seconds(spread.high)}" if spread else "none",
                f"{row.never} of {row.systems}",
            ]
        )
    heads = [
        *columns("block", words=0),
        *columns("name", "rows n"),
        *columns("quantum candidate", "predicted break-even gate time, median"),
        *columns("predicted break-even gate time, range", "systems without one", words=0),
    ]
    title = f"Break-even gate times, set {name}"
    return Table(title, heads, lines, "predicted", folded=title)

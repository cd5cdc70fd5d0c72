"""Figures over the gate time of the quantum machine. All seconds here are predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._runfile import Run
from . import derive
from .axes import NAN, block_labels, line_style, log_seconds_axis, seconds_axis
from .svg import color
from .sweep import Sweep
from .units import seconds, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "osD^vP"
GATE_TIME = "gate time"


def draw_sweep(figure: Figure, run: Run, found: dict[str, Sweep]) -> None:
    """Against the gate time: predicted seconds of the run, of the solves alone, and the quantum share."""
    whole, solves, share = figure.subplots(3, 1, sharex=True, height_ratios=(4, 4, 3))
    for index, (name, sweep) in enumerate(found.items()):
        style = {**line_style(index), "marker": MARKERS[index % 6], "markersize": 4, "label": f"set {shorten(name)}"}
        times = [row.gate_time_s for row in sweep.rows]
        whole.plot(times, [_number(row.predicted_seconds) for row in sweep.rows], **style)
        solves.plot(times, [row.solve_seconds or NAN for row in sweep.rows], **style)
        share.plot(times, [100.0 * _number(row.quantum_share) for row in sweep.rows], **style)
    rows = [row for sweep in found.values() for row in sweep.rows]
    totals = [row.predicted_seconds for row in rows if row.predicted_seconds]
    of_solves = [row.solve_seconds for row in rows if row.solve_seconds]
    dotted = {"color": color("muted"), "linewidth": 1.2, "linestyle": (0, (2, 2)), "zorder": 1}
    if run.summary is not None and run.summary.predicted_seconds_all_classical:
        totals.append(run.summary.predicted_seconds_all_classical)
        whole.axhline(totals[-1], **dotted, label="all classical")
    classical = next(iter(found.values())).classical_solve_seconds
    if classical > 0:
        of_solves.append(classical)
        solves.axhline(classical, **dotted)
    if totals and max(totals) > 30 * min(totals):
        log_seconds_axis(whole, "y", totals)
    else:
        whole.set_ylim(0, 1.08 * max(totals, default=1.0))
        seconds_axis(whole.yaxis)
    if of_solves:
        log_seconds_axis(solves, "y", of_solves)
    log_seconds_axis(share, "x", [row.gate_time_s for row in rows])
    whole.set_ylabel("predicted s")
    solves.set_ylabel("solves,\npredicted s")
    share.set_ylabel("quantum\nshare")
    share.set_ylim(-8, 108)
    share.set_yticks([0, 50, 100], ["0 %", "50 %", "100 %"])
    share.set_xlabel(GATE_TIME)
    for axes in (whole, solves, share):
        _mark_gate_time(axes, run, label=axes is whole)
    figure.align_ylabels()
    legend = figure.legend(*whole.get_legend_handles_labels(), loc="outside upper left", ncols=3, handlelength=3)
    for text in legend.get_texts():
        text.set_parse_math(False)


def best_break_even(run: Run, assumption_set: str) -> list[derive.BreakEven]:
    """Per block the candidate with the longest median break-even gate time: the one that is easiest to win with."""
    best: dict[int, derive.BreakEven] = {}
    for row in derive.break_even(run, assumption_set):
        best.setdefault(row.block, row)
    return list(best.values())


def break_even_height(run: Run) -> float:
    """Inches that `draw_break_even` needs."""
    rows = len(derive.by_block(run))
    return 1.1 + (0.27 if rows <= 12 else 0.19) * rows


def draw_break_even(figure: Figure, run: Run, assumption_set: str) -> None:
    """Break-even gate time of every block: median over the steps as a dot, range as a bar."""
    axes = figure.subplots()
    rows = best_break_even(run, assumption_set)
    names = block_labels({index: blocks[-1].name for index, blocks in derive.by_block(run).items()})
    shown = [row.gate_time_s for row in rows if row.gate_time_s is not None]
    values = [value for spread in shown for value in (spread.low, spread.high)]
    if run.summary is not None and run.summary.gate_time_s:
        values.append(run.summary.gate_time_s)
    log_seconds_axis(axes, "x", values or [1e-18, 1e-9])
    for position, row in enumerate(rows):
        if row.gate_time_s is None:
            axes.text(0.02, position, "none", transform=axes.get_yaxis_transform(), va="center", fontsize=8.5)
            continue
        spread = row.gate_time_s
        axes.plot([spread.low, spread.high], [position] * 2, color=color("quantum0"), linewidth=4, alpha=0.35)
        axes.plot(spread.median, position, "o", color=color("quantum0"), markersize=5)
        axes.text(
            1.015, position, seconds(spread.median, 2), transform=axes.get_yaxis_transform(), va="center", fontsize=8.5
        )
    axes.set_yticks(range(len(rows)), [names[row.block] for row in rows], parse_math=False)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.text(1.015, -0.9, "median", transform=axes.get_yaxis_transform(), va="center", fontsize=8.5)
    axes.set_xlabel(f"predicted break-even {GATE_TIME}")
    _mark_gate_time(axes, run, label=True)


def _mark_gate_time(axes: Axes, run: Run, label: bool) -> None:
    if run.summary is None or not run.summary.gate_time_s:
        return
    value = run.summary.gate_time_s
    low, high = axes.get_xlim()
    if not low <= value <= high:
        return
    axes.axvline(value, color=color("ink"), linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    if label:
        left = value < (low * high) ** 0.5
        axes.annotate(
            f"this run: {seconds(value, 2)}",
            xy=(value, 1.0),
            xycoords=axes.get_xaxis_transform(),
            xytext=(3 if left else -3, 2),
            textcoords="offset points",
            ha="left" if left else "right",
            va="bottom",
            fontsize=8.5,
        )


def _number(value: float | None) -> float:
    return NAN if value is None else value

"""Figures over the gate time of the quantum machine. All seconds here are predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import derive
from .axes import NAN, block_label, line_style, log_seconds_axis, seconds_axis
from .records import GateTime, Run
from .svg import color
from .units import seconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "osD^vP"
GATE_TIME = "gate time"


def sweeps(run: Run) -> dict[str, list[GateTime]]:
    """The sweep of every assumption set: of the acting one from `summary.json`, of the others from `blocks.jsonl`."""
    found: dict[str, list[GateTime]] = {}
    for name in derive.assumption_sets(run):
        reported = run.summary is not None and name == run.summary.acting and run.summary.by_gate_time
        rows = list(reported) if reported else derive.gate_time_sweep(run, name)
        if rows:
            found[name] = rows
    return found


def draw_sweep(figure: Figure, run: Run) -> None:
    """Predicted seconds of the run above, quantum share below, against the gate time."""
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    found = sweeps(run)
    for index, (name, rows) in enumerate(found.items()):
        style = {**line_style(index), "marker": MARKERS[index % 6], "markersize": 4, "label": f"set {name}"}
        times = [row.gate_time_s for row in rows]
        top.plot(times, [_number(row.predicted_seconds) for row in rows], **style)
        bottom.plot(times, [_percent(row.quantum_share) for row in rows], **style)
    totals = [row.predicted_seconds for rows in found.values() for row in rows if row.predicted_seconds]
    if run.summary is not None and run.summary.predicted_seconds_all_classical:
        value = run.summary.predicted_seconds_all_classical
        top.axhline(value, color=color("muted"), linewidth=1.2, linestyle=(0, (2, 2)), label="all classical", zorder=1)
        totals.append(value)
    if totals and max(totals) > 30 * min(totals):
        log_seconds_axis(top.yaxis, totals)
    else:
        top.set_ylim(0, 1.08 * max(totals, default=1.0))
        seconds_axis(top.yaxis)
    log_seconds_axis(bottom.xaxis, [row.gate_time_s for rows in found.values() for row in rows])
    top.set_ylabel("predicted seconds")
    bottom.set_ylabel("quantum share")
    bottom.set_ylim(-6, 106)
    bottom.set_yticks([0, 50, 100], ["0 %", "50 %", "100 %"])
    bottom.set_xlabel(GATE_TIME)
    for axes in (top, bottom):
        _mark_gate_time(axes, run, label=axes is top)
    legend = figure.legend(*top.get_legend_handles_labels(), loc="outside upper left", ncols=3, handlelength=3)
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
    names = {index: blocks[-1].name for index, blocks in derive.by_block(run).items()}
    shown = [row.gate_time_s for row in rows if row.gate_time_s is not None]
    values = [value for spread in shown for value in (spread.low, spread.high)]
    if run.summary is not None and run.summary.gate_time_s:
        values.append(run.summary.gate_time_s)
    log_seconds_axis(axes.xaxis, values or [1e-18, 1e-9])
    for position, row in enumerate(rows):
        if row.gate_time_s is None:
            axes.text(0.02, position, "never", transform=axes.get_yaxis_transform(), va="center", fontsize=8.5)
            continue
        spread = row.gate_time_s
        axes.plot([spread.low, spread.high], [position] * 2, color=color("quantum0"), linewidth=4, alpha=0.35)
        axes.plot(spread.median, position, "o", color=color("quantum0"), markersize=5)
        axes.text(
            1.015, position, seconds(spread.median, 2), transform=axes.get_yaxis_transform(), va="center", fontsize=8.5
        )
    axes.set_yticks(range(len(rows)), [block_label(row.block, names[row.block]) for row in rows], parse_math=False)
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


def _percent(value: float | None) -> float:
    return NAN if value is None else 100.0 * value

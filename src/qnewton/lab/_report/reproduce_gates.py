"""The section of the gate-time sweep."""

from __future__ import annotations

from dataclasses import replace

from .chart import Chart, Fill, Line, Mark, Panel, Rule, Scale, Span, Style, rows, shares
from .labels import block_labels
from .parts import Answered, Column, Figures, Part, Table, columns
from .reproduce_parts import Numbers
from .styles import of_set
from .units import faster, percent, seconds, short_seconds, times

_MARKERS = {"paper": "o", "end_to_end": "s"}


def answer(found: Numbers) -> Answered:
    """Return where blocks change sides, and the effect of the fastest machine of the sweep."""
    said = []
    for one in found["sets"]:
        last, first = one["rows"][-1], one["first_gate_time_s"]
        fastest = short_seconds(last["gate_time_s"])
        if first == 0:
            said.append("No gate time helps: what no clock scales already takes longer than LU.")
        elif last["quantum_share"] == 0:
            said.append(
                f"The sweep changes nothing: even at {fastest} no block goes to the quantum solver; the first would "
                f"below {_changes(one)} per gate."
            )
        else:
            gain = found["classical"]["predicted_seconds"] / last["predicted_seconds"]
            said.append(
                f"The first block goes to the quantum solver below {_changes(one)} per gate, the last below "
                f"{seconds(one['all_gate_time_s'], 2)}; at {fastest} the training is predicted to be "
                f"{faster(gain, 'by LU')}."
            )
    paper, end = said
    besides = "What is around the solves stays classical, and bounds what any gate time can bring."
    if found["lu_off_by"] > 1:
        besides += f" LU's prediction was off by up to {times(found['lu_off_by'])} where it was measured."
    return Answered(paper, end, besides)


def _changes(one: Numbers) -> str:
    """Return the gate time at which the first block changes sides, and how the calibration's error moves it."""
    low, high = one["first_gate_time_s_within"]
    first = one["first_gate_time_s"]
    if low == high:
        return seconds(first, 2)
    return f"{seconds(first, 2)} ({seconds(low, 2)} to {seconds(high, 2)} by the error of LU's prediction)"


def body(found: Numbers) -> list[Part]:
    """Figures and table."""
    return [Figures([_sweep(found), _break_even(found)]), _table(found)]


def _sweep(found: Numbers) -> Chart:
    gates = [row["gate_time_s"] for row in found["sets"][0]["rows"]]
    classical = found["classical"]["predicted_seconds"]
    whole: list[Mark] = [Rule("y", classical, Style(width=1.2), "all by LU")]
    share: list[Mark] = []
    totals = [classical]
    for one in found["sets"]:
        style = replace(of_set(one["set"]), marker=_MARKERS[one["set"]], size=4.5, every=(0, 2))
        own = [row["predicted_seconds"] for row in one["rows"]]
        totals += own
        whole.append(Line(list(zip(gates, own, strict=True)), style, f"hybrid, set {one['set']}"))
        share.append(Line([(row["gate_time_s"], 100 * row["quantum_share"]) for row in one["rows"]], style))
    x = Scale("log seconds", "gate time", values=gates)
    panels = [
        Panel(x, Scale(label="predicted s\nof the training", limits=(0, 1.12 * max(totals))), whole, 3.0),
        Panel(x, shares(0, 50, 100), share, 2.0),
    ]
    caption = (
        "The systems of one training, decided anew at every gate time. Quantum seconds are modelled, the rest is "
        "calibrated on this machine."
    )
    title = "Training time and quantum share by gate time"
    return Chart("f-gates-sweep", title, caption, panels, 4.4, "predicted")


def _break_even(found: Numbers) -> Chart:
    blocks, swept = found["sets"][0]["blocks"], found["sets"][0]["rows"]
    first, last = swept[0]["gate_time_s"], swept[-1]["gate_time_s"]
    marks: list[Mark] = [Span("x", last, first, Fill("grid", alpha=0.5), "the sweep")]
    values = [first]
    for offset, one in zip((-0.14, 0.14), found["sets"], strict=True):
        color, marker = of_set(one["set"]).color, _MARKERS[one["set"]]
        for k, block in enumerate(one["blocks"]):
            low, median, high = block["break_even_gate_time_s"]
            if median <= 0:
                continue
            low = max(low, median / 1e3)
            values += [low, high]
            marks += [
                Line([(low, k + offset), (high, k + offset)], Style(color, width=3.0, alpha=0.4)),
                Line([(median, k + offset)], Style(color, "none", marker=marker, size=6.0), f"set {one['set']}"),
            ]
    names = block_labels({k: block["name"] for k, block in enumerate(blocks)})
    labels = [f"{names[k]}, N = {block['rows']}" for k, block in enumerate(blocks)]
    caption = (
        "Left of its mark the quantum solver beats LU. Mark: median over the steps, bar: range; no mark: it never does."
    )
    panel = Panel(Scale("log seconds", "gate time", values=values), rows(labels), marks)
    title, height = "Gate time at which each block changes sides", 1.2 + 0.36 * len(blocks)
    return Chart("f-gates-break-even", title, caption, [panel], height, "predicted", keys=3)


def _table(found: Numbers) -> Table:
    heads = [Column("gate time")]
    for one in found["sets"]:
        heads += columns(f"predicted seconds, set {one['set']}", f"quantum share, set {one['set']}", words=0)
    lines = []
    for pair in zip(*(one["rows"] for one in found["sets"]), strict=True):
        cells = [short_seconds(pair[0]["gate_time_s"])]
        for row in pair:
            cells += [seconds(row["predicted_seconds"]), percent(row["quantum_share"], 0)]
        lines.append(cells)
    return Table("By gate time", heads, lines, "predicted", folded="By gate time")

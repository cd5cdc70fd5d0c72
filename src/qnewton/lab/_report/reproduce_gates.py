"""The section of the gate-time sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .axes import block_labels, log_seconds_axis
from .markup import Column, figure, figures, folded, table
from .reproduce_parts import Answer, Numbers, far_seconds, faster, legend_above, set_style
from .svg import color
from .units import percent, seconds, short_seconds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARKERS = {"paper": "o", "end_to_end": "s"}


def answer(found: Numbers) -> Answer:
    """Where blocks change sides, and what the fastest machine of the sweep would bring."""
    said = []
    for one in found["sets"]:
        last, first = one["rows"][-1], one["first_gate_time_s"]
        fastest = short_seconds(last["gate_time_s"])
        if first == 0:
            said.append("No gate time helps: what no clock scales already takes longer than LU.")
        elif last["quantum_share"] == 0:
            said.append(
                f"The sweep changes nothing: even at {fastest} no block goes to the quantum solver; the first would "
                f"below {seconds(first, 2)} per gate."
            )
        else:
            gain = found["classical"]["predicted_seconds"] / last["predicted_seconds"]
            said.append(
                f"The first block goes to the quantum solver below {seconds(first, 2)} per gate, the last below "
                f"{seconds(one['all_gate_time_s'], 2)}; at {fastest} the training is predicted to be "
                f"{faster(gain, 'by LU')}."
            )
    paper, end = said
    return Answer(paper, end, "What is around the solves stays classical, and bounds what any gate time can bring.")


def body(found: Numbers) -> str:
    """Figures and table."""
    charts = figure(
        "f-gates-sweep",
        "Training time and quantum share by gate time",
        "The systems of one training, decided anew at every gate time. Quantum seconds are modelled, the rest is "
        "calibrated on this machine.",
        4.4,
        _draw,
        found,
        clock="predicted",
    )
    charts += figure(
        "f-gates-break-even",
        "Gate time at which each block changes sides",
        "Left of its mark the quantum solver beats LU. Mark: median over the steps, bar: range; no mark: it never "
        "does.",
        1.2 + 0.36 * len(found["sets"][0]["blocks"]),
        _draw_break_even,
        found,
        clock="predicted",
    )
    return figures(charts) + _table(found)


def _draw(figure: Figure, found: Numbers) -> None:
    whole, share = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    gates = [row["gate_time_s"] for row in found["sets"][0]["rows"]]
    classical = found["classical"]["predicted_seconds"]
    whole.axhline(classical, color=color("ink"), linewidth=1.2, linestyle="-", label="all by LU")
    totals = [classical]
    for one in found["sets"]:
        style = {**set_style(one["set"]), "marker": _MARKERS[one["set"]], "markersize": 4.5, "markevery": 2}
        seconds_ = [row["predicted_seconds"] for row in one["rows"]]
        totals += seconds_
        whole.plot(gates, seconds_, **style, label=f"hybrid, set {one['set']}")
        share.plot(gates, [100 * row["quantum_share"] for row in one["rows"]], **style)
    whole.set_ylim(0, 1.12 * max(totals))
    whole.set_ylabel("predicted s\nof the training")
    share.set_ylim(-8, 108)
    share.set_yticks([0, 50, 100], ["0 %", "50 %", "100 %"])
    share.set_ylabel("quantum\nshare")
    log_seconds_axis(share, "x", gates)
    share.set_xlabel("gate time")
    figure.align_ylabels()
    legend_above(figure, whole)


def _draw_break_even(figure: Figure, found: Numbers) -> None:
    axes = figure.subplots()
    blocks = found["sets"][0]["blocks"]
    names = block_labels({k: block["name"] for k, block in enumerate(blocks)})
    values = [found["sets"][0]["rows"][0]["gate_time_s"]]
    for offset, one in zip((-0.14, 0.14), found["sets"], strict=True):
        style = set_style(one["set"])
        label = f"set {one['set']}"
        for k, block in enumerate(one["blocks"]):
            low, median, high = block["break_even_gate_time_s"]
            if median <= 0:
                continue
            values += [max(low, median / 1e3), high]
            axes.plot([max(low, median / 1e3), high], [k + offset] * 2, color=style["color"], linewidth=3, alpha=0.4)
            axes.plot(median, k + offset, _MARKERS[one["set"]], color=style["color"], markersize=6, label=label)
            label = None
    far_seconds(axes, "x", values)
    axes.axvspan(
        found["sets"][0]["rows"][-1]["gate_time_s"], found["sets"][0]["rows"][0]["gate_time_s"],
        color=color("grid"), alpha=0.5, linewidth=0, label="the sweep",
    )  # fmt: skip
    axes.set_yticks(
        range(len(blocks)), [f"{names[k]}, N = {b['rows']}" for k, b in enumerate(blocks)], parse_math=False
    )
    axes.set_ylim(len(blocks) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("gate time")
    legend_above(figure, axes, columns=3)


def _table(found: Numbers) -> str:
    columns = [Column("gate time")]
    for one in found["sets"]:
        columns += [Column(f"predicted seconds, set {one['set']}"), Column(f"quantum share, set {one['set']}")]
    rows = []
    for pair in zip(*(one["rows"] for one in found["sets"]), strict=True):
        cells = [short_seconds(pair[0]["gate_time_s"])]
        for row in pair:
            cells += [seconds(row["predicted_seconds"]), percent(row["quantum_share"], 0)]
        rows.append(cells)
    return folded("By gate time", table("By gate time", columns, rows, clock="predicted"), len(rows))

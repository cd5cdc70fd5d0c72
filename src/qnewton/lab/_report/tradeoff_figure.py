"""The figure of `qnewton tradeoff`: what a sparser and better conditioned system costs in step quality and loss."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .svg import PALETTE

_AXES = (
    ("degree", "d, nonzeros per row"),
    ("encoded_condition_number", "encoded condition number"),
    ("queries", "queries of one solve"),
)
_MARKERS = "osD^vPX"


def write_tradeoff_figure(records: Sequence[dict[str, Any]], path: Path) -> None:
    """Write an SVG: the model decrease, and the training loss where there is one, over each measure of cost.

    Hollow markers: some of the blocks were indefinite. A number that is not finite is left out.

    Args:
        records: of settings, as `lab._experiments.tradeoff` has them.
        path: of the figure.
    """
    import matplotlib
    from matplotlib.figure import Figure

    rows = [("model_decrease", "model decrease, of the best")]
    if any(record["training_loss"] is not None for record in records):
        rows.append(("training_loss", "training loss"))
    methods = list(dict.fromkeys(record["method"] for record in records))
    with matplotlib.rc_context({"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "tradeoff"}):
        figure = Figure(figsize=(9.0, 0.8 + 2.6 * len(rows)), layout="constrained")
        panels = figure.subplots(len(rows), len(_AXES), squeeze=False, sharey="row", sharex="col")
        for (quality, label), line in zip(rows, panels, strict=True):
            for (cost, below), axes in zip(_AXES, line, strict=True):
                for index, method in enumerate(methods):
                    own = [record for record in records if record["method"] == method]
                    _curve(axes, own, cost, quality, index, method)
                axes.set_xscale("log")
                if quality == "training_loss":
                    axes.set_yscale("log")
                    axes.set_xlabel(below)
                elif len(rows) == 1:
                    axes.set_xlabel(below)
                for side in ("top", "right"):
                    axes.spines[side].set_visible(False)
            line[0].set_ylabel(label)
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, frameon=False, loc="outside upper left", ncols=len(labels))
        figure.savefig(path, format="svg", metadata={"Date": None})


def _curve(axes: Any, records: list[dict[str, Any]], cost: str, quality: str, index: int, label: str) -> None:
    shown = [record for record in records if record[cost] is not None and record[quality] is not None]
    colour, marker = PALETTE[f"line{index % 8}"][0], _MARKERS[index % len(_MARKERS)]
    axes.plot([r[cost] for r in shown], [r[quality] for r in shown], color=colour, marker=marker, label=label)
    hollow = [record for record in shown if record["indefinite"] > 0]
    style = {"color": colour, "marker": marker, "markerfacecolor": PALETTE["paper"][0], "linestyle": ""}
    axes.plot([r[cost] for r in hollow], [r[quality] for r in hollow], **style)

"""The figure of `qnewton tradeoff`: what a sparser and better conditioned system costs in step quality and loss."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .._runfile import TradeoffSetting
from .svg import PALETTE

_AXES = (
    ("degree", "d, nonzeros per row"),
    ("encoded_condition_number", "encoded condition number"),
    ("queries", "queries of one solve"),
)
_MARKERS = "osD^vPX"


def write_tradeoff_figure(settings: Sequence[TradeoffSetting], path: Path) -> None:
    """Write an SVG: the model decrease, and the training loss where there is one, over each measure of cost.

    Hollow markers: some of the blocks were indefinite. A number that is not finite is left out.

    Args:
        settings: of `tradeoff.json`.
        path: of the figure.
    """
    import matplotlib
    from matplotlib.figure import Figure

    rows = [("model_decrease", "model decrease, of the best")]
    if any(one.training_loss is not None for one in settings):
        rows.append(("training_loss", "training loss"))
    methods = list(dict.fromkeys(one.method for one in settings))
    with matplotlib.rc_context({"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "tradeoff"}):
        figure = Figure(figsize=(9.0, 0.8 + 2.6 * len(rows)), layout="constrained")
        panels = figure.subplots(len(rows), len(_AXES), squeeze=False, sharey="row", sharex="col")
        for (quality, label), line in zip(rows, panels, strict=True):
            for (cost, below), axes in zip(_AXES, line, strict=True):
                for index, method in enumerate(methods):
                    own = [one for one in settings if one.method == method]
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


def _curve(axes: Any, settings: list[TradeoffSetting], cost: str, quality: str, index: int, label: str) -> None:
    points = [(getattr(one, cost), getattr(one, quality), one.indefinite) for one in settings]
    shown = [(x, y, indefinite) for x, y, indefinite in points if x is not None and y is not None]
    colour, marker = PALETTE[f"line{index % 8}"][0], _MARKERS[index % len(_MARKERS)]
    axes.plot([x for x, _, _ in shown], [y for _, y, _ in shown], color=colour, marker=marker, label=label)
    hollow = [(x, y) for x, y, indefinite in shown if indefinite > 0]
    style = {"color": colour, "marker": marker, "markerfacecolor": PALETTE["paper"][0], "linestyle": ""}
    axes.plot([x for x, _ in hollow], [y for _, y in hollow], **style)

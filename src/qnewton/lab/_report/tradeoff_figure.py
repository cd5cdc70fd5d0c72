"""The figure of `qnewton tradeoff`: step quality and loss against sparsity and conditioning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .._runfile import TradeoffSetting
from .chart import Chart, Key, Line, Mark, Panel, Scale, Style
from .styles import dotted
from .svg import save_figure

_COSTS = (
    ("degree", "d, nonzeros per row"),
    ("encoded_condition_number", "encoded condition number"),
    ("queries", "queries of one solve"),
)


def write_tradeoff_figure(settings: Sequence[TradeoffSetting], path: Path) -> None:
    """Write a figure of the model decrease, and of the training loss if there is one, over each measure of cost.

    Hollow markers: some of the blocks were indefinite. A number that is not finite is left out.

    Args:
        settings: of `tradeoff.json`.
        path: of the figure.
    """
    lines = [("model_decrease", Scale(label="model decrease, of the best"))]
    if any(one.training_loss is not None for one in settings):
        lines.append(("training_loss", Scale("log ticks", "training loss")))
    panels = []
    for place, (quality, y) in enumerate(lines):
        for column, (cost, below) in enumerate(_COSTS):
            x = Scale("log ticks", below if place == len(lines) - 1 else "")
            panels.append(Panel(x, y if column == 0 else replace(y, label=""), _marks(settings, cost, quality)))
    if any(one.indefinite > 0 for one in settings):
        hollow = Key("hollow: some blocks were indefinite", Style("ink", "none", marker="o", size=6.0, hollow=True))
        panels[0] = replace(panels[0], marks=[*panels[0].marks, hollow])
    height, methods = 0.8 + 2.6 * len(lines), len({one.method for one in settings})
    chart = Chart("tradeoff", "", "", panels, height, keys=max(1, methods), columns=len(_COSTS), width=9.0)
    save_figure(chart, path)


def _marks(settings: Sequence[TradeoffSetting], cost: str, quality: str) -> list[Mark]:
    marks: list[Mark] = []
    for index, method in enumerate(dict.fromkeys(one.method for one in settings)):
        points = [
            (getattr(one, cost), getattr(one, quality), one.indefinite) for one in settings if one.method == method
        ]
        shown = [(x, y, indefinite) for x, y, indefinite in points if x is not None and y is not None]
        style = dotted(index, size=6.0, every=(0, 1))
        hollow = replace(style, dashes="none", hollow=True)
        marks += [
            Line([(x, y) for x, y, _ in shown], replace(style, dashes="-"), method),
            Line([(x, y) for x, y, indefinite in shown if indefinite > 0], hollow),
        ]
    return marks

"""Figures: did it train?"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .._runfile import Run, StepLine
from . import derive
from .axes import NAN, curve, labels_beside, line_style, step_axis
from .svg import color

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINES: tuple[tuple[str, Callable[[StepLine], float | None], int], ...] = (
    ("batch", lambda step: step.loss, 7),
    ("training", lambda step: step.train_loss, 0),
    ("test", lambda step: step.test_loss, 1),
)


def draw_loss(figure: Figure, run: Run) -> None:
    """Batch, training and test loss over the steps, and which steps were rejected."""
    axes = figure.subplots()
    step_axis(axes, [step.step for step in run.steps])
    values = [value for _, get, _ in LINES for step in run.steps if (value := get(step)) is not None]
    if values and min(values) > 0 and max(values) > 10 * min(values):
        axes.set_yscale("log")
    labels = []
    for label, get, style in LINES:
        points = _evaluated(run, get, gaps=label == "batch")
        if points:
            end = curve(axes, points, line_style(style), "osD"[style % 3])
            labels.append((end, label, color(f"line{style}")))
    rejected = [step.step for step in run.steps if not step.accepted]
    if rejected:
        shown = [group[0] for group in derive.columns(rejected, 300)]
        axes.plot(
            shown, [0.02] * len(shown), "|", color=color("ink"), markersize=7, transform=axes.get_xaxis_transform()
        )
        axes.set_title(f"| rejected step ({len(rejected)})", fontsize=8.5, loc="right", pad=3)
    axes.margins(y=0.12)
    axes.set_ylabel("mean loss")
    labels_beside(axes, labels, gap=0.09)


def draw_accuracy(figure: Figure, run: Run) -> None:
    """Test accuracy over the steps at which it was evaluated."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes = figure.subplots()
    step_axis(axes, [step.step for step in run.steps])
    points = _evaluated(run, lambda step: step.test_accuracy, gaps=False)
    end = curve(axes, points, line_style(1), "o")
    low = min(value for _, value in points)
    axes.set_ylim(max(-0.02, low - 0.08 * (1.0 - low) - 0.005), 1.0 + 0.04 * (1.0 - low) + 0.002)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g} %"))
    axes.set_ylabel("test accuracy")
    labels_beside(axes, [(end, f"{100 * points[-1][1]:.1f} %", color("line1"))])


def _evaluated(run: Run, get: Callable[[StepLine], float | None], gaps: bool) -> list[tuple[float, float]]:
    """The points of a line. A quantity that is not evaluated at every step gets no gap in between."""
    values = [(float(step.step), get(step)) for step in run.steps]
    if all(value is None for _, value in values):
        return []
    return [(x, NAN if value is None else value) for x, value in values if gaps or value is not None]

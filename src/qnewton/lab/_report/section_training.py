"""Section of the page: did it train?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .._runfile import Run, StepLine
from . import derive
from .chart import BINNED, MOST_POINTS, Chart, Feet, Line, Panel, Point, Scale, or_gap, over_steps
from .parts import Figures, Section
from .styles import dotted

_LINES: tuple[tuple[str, Callable[[StepLine], float | None], int], ...] = (
    ("batch", lambda step: step.loss, 7),
    ("training", lambda step: step.train_loss, 0),
    ("test", lambda step: step.test_loss, 1),
)


def training_section(run: Run) -> Section:
    """The loss and the accuracy."""
    charts = [_loss(run)]
    if any(step.test_accuracy is not None for step in run.steps):
        charts.append(_accuracy(run))
    return Section("training", "Did it train?", [Figures(charts)])


def _loss(run: Run) -> Chart:
    """Batch, training and test loss over the steps, and which steps were rejected."""
    rejected = [step.step for step in run.steps if not step.accepted]
    caption = "Batch loss before each step; training and test loss over all data, where evaluated."
    if len(run.steps) > MOST_POINTS:
        caption += BINNED
    if rejected:
        caption += f" Rejected steps ({len(rejected)}): the trial raised the loss and the parameters stayed."
    values = [value for _, get, _ in _LINES for step in run.steps if (value := get(step)) is not None]
    spans_decades = bool(values) and min(values) > 0 and max(values) > 10 * min(values)
    marks: list[Line | Feet] = [
        Line(points, dotted(style, "osD"[style % 3]), beside=label)
        for label, get, style in _LINES
        if (points := _evaluated(run, get, gaps=label == "batch"))
    ]
    if rejected:
        marks.append(Feet([group[0] for group in derive.columns(rejected, 300)]))
    panel = Panel(
        x=over_steps([step.step for step in run.steps]),
        y=Scale("log ticks" if spans_decades else "number", "mean loss"),
        marks=marks,
        corner=f"| rejected step ({len(rejected)})" if rejected else "",
    )
    return Chart("f-loss", "Loss", caption, [panel], height=3.0)


def _accuracy(run: Run) -> Chart:
    """Test accuracy over the steps at which it was evaluated."""
    points = _evaluated(run, lambda step: step.test_accuracy, gaps=False)
    low = min(value for _, value in points)
    limits = (max(-0.02, low - 0.08 * (1.0 - low) - 0.005), 1.0 + 0.04 * (1.0 - low) + 0.002)
    panel = Panel(
        x=over_steps([step.step for step in run.steps]),
        y=Scale("percent", "test accuracy", limits=limits),
        marks=[Line(points, dotted(1, "o"), beside=f"{100 * points[-1][1]:.1f} %")],
    )
    return Chart("f-accuracy", "Test accuracy", "On the held-out data, where evaluated.", [panel], height=3.0)


def _evaluated(run: Run, get: Callable[[StepLine], float | None], gaps: bool) -> Sequence[Point]:
    """Return the points of a line. A quantity that is not evaluated at every step has no gap in between."""
    values = [(float(step.step), get(step)) for step in run.steps]
    if all(value is None for _, value in values):
        return []
    return [(x, or_gap(value)) for x, value in values if gaps or value is not None]

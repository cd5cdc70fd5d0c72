"""The figure of `qnewton noise`: the error and the number of shots that a training tolerates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .._runfile import NoiseCell
from .chart import Chart, Fill, Key, Line, Mark, Panel, Ranges, Rule, Scale, Span, Style
from .svg import save_figure
from .units import whole

# Told apart without colour: by marker, by dashes and by how dark they are.
_STYLES = (("s", ":", "line7"), ("o", "-", "ink"), ("^", "--", "muted"), ("D", "-.", "line6"), ("v", ":", "ink"))
_PANELS = (("test_accuracy", "test accuracy"), ("train_loss", "training loss"))


def write_noise_figure(records: Sequence[NoiseCell], found: dict[str, Any], path: Path) -> None:
    """Write a figure of accuracy and loss after the last step over the shots, a line per epsilon, exact solves across.

    Points are means over the seeds, and bars reach from the least to the greatest of them. What is not finite is left
    out.

    Args:
        records: the `curves` of `noise.json`.
        found: its `answer`.
        path: of the figure.
    """
    shots: list[int | None] = found["shots"]
    epsilons = [row["epsilon"] for row in found["by_epsilon"]]
    steps = len(records[0].train_loss) - 1
    x = Scale(
        label="shots per solve, for magnitudes and as many for signs",
        limits=(-0.4, len(shots) - 0.6),
        ticks=[(place, "infinitely\nmany" if number is None else whole(number)) for place, number in enumerate(shots)],
    )
    panels = []
    for field, label in _PANELS:
        marks: list[Mark] = []
        exact = _mean([getattr(r, field)[-1] for r in records if r.epsilon is None])
        if field == "test_accuracy":
            top, tolerance = found["exact_accuracy"], found["tolerance"]
            words = f"at most {100 * tolerance:g} point below them"
            marks.append(Span("y", top - tolerance, top, Fill("grid"), words))
        if exact is not None:
            marks.append(Rule("y", exact, Style(width=2.5, alpha=0.9), "exact classical solves"))
        for index, epsilon in enumerate(epsilons):
            marks += _line(records, field, epsilon, shots, _STYLES[index % len(_STYLES)])
        if len({record.seed for record in records}) > 1:
            marks.append(Key("bar: from the least to the greatest of the seeds", Style("muted")))
        y = Scale("number" if field == "test_accuracy" else "log ticks")
        panels.append(Panel(x, y, marks, title=f"{label} after {steps} steps"))
    save_figure(Chart("noise", "", "", panels, 3.9, keys=5, columns=2, width=8.6, keys_below=True), path)


def _line(
    records: Sequence[NoiseCell],
    field: str,
    epsilon: float,
    shots: Sequence[int | None],
    look: tuple[str, str, str],
) -> list[Mark]:
    marker, dashes, color = look
    means, spans = [], []
    for place, number in enumerate(shots):
        values = [getattr(r, field)[-1] for r in records if r.epsilon == epsilon and r.shots == number]
        mean = _mean(values)
        if mean is not None:
            means.append((float(place), mean))
            spans.append((float(place), min(values), max(values)))
    style = Style(color, dashes, marker=marker, size=6.0, every=(0, 1), above=True)
    bars = [span for span in spans if span[2] > span[1]]
    return [Ranges(bars, Style(color), caps=True), Line(means, style, f"epsilon {epsilon:g}")]


def _mean(values: Sequence[float | None]) -> float | None:
    finite = [value for value in values if value is not None]
    return sum(finite) / len(finite) if finite and len(finite) == len(values) else None

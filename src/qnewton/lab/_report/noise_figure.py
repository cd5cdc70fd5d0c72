"""The figure of `qnewton noise`: what error and how few shots a training bears."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._runfile import NoiseCell
from .svg import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, MUTED = PALETTE["ink"][0], PALETTE["muted"][0]
# Told apart without colour: by marker, by dashes and by how dark they are.
_STYLES = (("s", ":", "#8a8f94"), ("o", "-", INK), ("^", "--", "#5d646b"), ("D", "-.", "#3d3d3d"), ("v", ":", INK))
_PANELS = (("test_accuracy", "test accuracy"), ("train_loss", "training loss"))


def write_noise_figure(records: Sequence[NoiseCell], found: dict[str, Any], path: Path) -> None:
    """Write a PNG: accuracy and loss after the last step over the shots, a line per epsilon, exact solves across.

    Points are means over the seeds, and bars reach from the least to the greatest of them. What is not finite is left
    out.

    Args:
        records: the `curves` of `noise.json`.
        found: its `answer`.
        path: of the figure.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    shots: list[int | None] = found["shots"]
    epsilons = [row["epsilon"] for row in found["by_epsilon"]]
    steps = len(records[0].train_loss) - 1
    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(8.6, 3.9), layout="constrained")
        for axes, (field, label) in zip(figure.subplots(1, 2), _PANELS, strict=True):
            exact = _mean([getattr(r, field)[-1] for r in records if r.epsilon is None])
            if exact is not None:
                axes.axhline(exact, color=INK, linewidth=2.5, alpha=0.9, zorder=1, label="exact classical solves")
            if field == "test_accuracy":
                top, tolerance = found["exact_accuracy"], found["tolerance"]
                label_of_band = f"at most {100 * tolerance:g} point below them"
                axes.axhspan(top - tolerance, top, color="#d4d8dc", zorder=0, label=label_of_band)
            else:
                axes.set_yscale("log")
                axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axes.yaxis.set_major_formatter("{x:g}")
                axes.yaxis.set_minor_formatter(NullFormatter())
            for index, epsilon in enumerate(epsilons):
                _line(axes, records, field, epsilon, shots, _STYLES[index % len(_STYLES)])
            axes.set_xticks(range(len(shots)), [_shown(number) for number in shots])
            axes.set_xlim(-0.4, len(shots) - 0.6)
            axes.set_xlabel("shots per solve, for magnitudes and as many for signs")
            axes.set_title(f"{label} after {steps} steps", loc="left")
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, frameon=False, loc="outside lower center", ncols=min(len(labels), 5))
        figure.savefig(path, format="png", dpi=120, metadata={"Software": None})


def _line(
    axes: Axes,
    records: Sequence[NoiseCell],
    field: str,
    epsilon: float,
    shots: Sequence[int | None],
    style: tuple[str, str, str],
) -> None:
    marker, dashes, colour = style
    places, means, below, above = [], [], [], []
    for place, number in enumerate(shots):
        values = [getattr(r, field)[-1] for r in records if r.epsilon == epsilon and r.shots == number]
        mean = _mean(values)
        if mean is None:
            continue
        places.append(place)
        means.append(mean)
        below.append(mean - min(values))
        above.append(max(values) - mean)
    bars = [below, above] if any(below) or any(above) else None
    axes.errorbar(
        places,
        means,
        yerr=bars,
        color=colour,
        marker=marker,
        linestyle=dashes,
        markersize=6,
        capsize=3,
        label=f"epsilon {epsilon:g}",
        zorder=3,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    finite = [value for value in values if value is not None]
    return sum(finite) / len(finite) if finite and len(finite) == len(values) else None


def _shown(shots: int | None) -> str:
    if shots is None:
        return "infinitely\nmany"
    return f"{shots:.0e}".replace("e+0", "e").replace("e+", "e") if shots >= 1000 else str(shots)

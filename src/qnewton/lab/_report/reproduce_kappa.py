"""The section of condition numbers and the quantum share over training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .axes import BINNED, MOST_POINTS, NAN, Style, block_labels, curve, line_style, step_axis
from .markup import figure, figures
from .reproduce_parts import MARKERS, Answer, Numbers, legend_above, log10_ticks, of_systems, set_style
from .units import from_log10, percent, short_seconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def answer(found: Numbers) -> Answer:
    """The quantum share under each set, and between what the condition numbers lie."""
    gate = short_seconds(found["gate_time_s"])
    paper, end, capped = _share(found, "paper"), _share(found, "end_to_end"), _share(found, "paper", limited=True)
    said = f"At {gate} per gate the quantum solver takes {of_systems(paper['quantum_share'])}"
    if abs(capped["quantum_share"] - paper["quantum_share"]) > 1e-9:
        said += f"; {percent(capped['quantum_share'], 0)} if κ > 10⁴ stays classical, as in the paper's third version"
    known = [value for block in found["blocks"] for value in block["log10_kappa"] if value is not None]
    besides = ""
    if known:
        besides = f"Condition numbers lie between {from_log10(min(known))} and {from_log10(max(known))}."
    return Answer(f"{said}.", f"It takes {of_systems(end['quantum_share'])}.", besides)


def _share(found: Numbers, name: str, limited: bool = False) -> dict[str, Any]:
    return next(row for row in found["shares"] if row["set"] == name and (row["kappa_limit"] is not None) == limited)


def body(found: Numbers) -> str:
    """Figures."""
    many = BINNED if len(found["blocks"][0]["log10_kappa"]) > MOST_POINTS else ""
    charts = figure(
        "f-kappa-blocks",
        "Condition number of each block",
        "After regularisation, as estimated in the run." + many,
        3.8,
        _draw_kappa,
        found,
    )
    charts += figure(
        "f-kappa-share",
        "Share of the systems that the quantum solver is predicted to finish first",
        "Of each step. Third version of the paper: systems of κ > 10⁴ stay classical." + many,
        3.1,
        _draw_share,
        found,
        clock="predicted",
    )
    return figures(charts)


def _draw_kappa(figure: Figure, found: Numbers) -> None:
    axes = figure.subplots()
    names = block_labels({k: block["name"] for k, block in enumerate(found["blocks"])})
    for k, block in enumerate(found["blocks"]):
        points = [(float(x), NAN if y is None else y) for x, y in enumerate(block["log10_kappa"])]
        _line(axes, points, line_style(k), MARKERS[k % len(MARKERS)], f"{names[k]}, N = {block['rows']}")
    log10_ticks(axes, (value for block in found["blocks"] for value in block["log10_kappa"] if value is not None))
    axes.set_ylabel("condition number κ")
    step_axis(axes, range(len(found["blocks"][0]["log10_kappa"])))
    legend_above(figure, axes)


def _draw_share(figure: Figure, found: Numbers) -> None:
    axes = figure.subplots()
    for name, limited in (("paper", False), ("paper", True), ("end_to_end", False)):
        row = _share(found, name, limited)
        points = [(float(x), 100 * y) for x, y in enumerate(row["by_step"])]
        marker = "^" if limited else "o" if name == "paper" else "s"
        _line(axes, points, set_style("paper-sparse" if limited else name), marker, _label(name, limited))
    axes.set_ylim(-6, 106)
    axes.set_yticks([0, 25, 50, 75, 100], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.set_ylabel("quantum share")
    step_axis(axes, range(len(found["shares"][0]["by_step"])))
    legend_above(figure, axes)


def _line(axes: Axes, points: list[tuple[float, float]], style: Style, marker: str, label: str) -> None:
    """With some markers, or for a long training as median and range of groups of steps."""
    if len(points) > MOST_POINTS:
        curve(axes, points, {**style, "label": label})
        return
    marks = {"marker": marker, "markersize": 4.5, "markevery": max(1, len(points) // 8)}
    axes.plot([x for x, _ in points], [y for _, y in points], **style, **marks, label=label)


def _label(name: str, limited: bool) -> str:
    return f"set {name}{', third version' if limited else ''}"

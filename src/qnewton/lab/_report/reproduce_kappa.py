"""The section of condition numbers and the quantum share over training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .chart import BINNED, MOST_POINTS, Chart, Line, Panel, Scale, Style, or_gap, over_steps, shares
from .labels import block_labels
from .parts import Answered, Figures, Part
from .reproduce_parts import Numbers
from .styles import dotted, of_set
from .units import from_log10, of_systems, percent, short_seconds


def answer(found: Numbers) -> Answered:
    """Return the quantum share under each set, and the range of the condition numbers."""
    gate = short_seconds(found["gate_time_s"])
    paper, end, capped = _share(found, "paper"), _share(found, "end_to_end"), _share(found, "paper", limited=True)
    said = f"At {gate} per gate the quantum solver takes {of_systems(paper['quantum_share'])}"
    if abs(capped["quantum_share"] - paper["quantum_share"]) > 1e-9:
        said += f"; {percent(capped['quantum_share'], 0)} if κ > 10⁴ stays classical, as in the paper's third version"
    known = [value for block in found["blocks"] for value in block["log10_kappa"] if value is not None]
    besides = ""
    if known:
        besides = f"Condition numbers lie between {from_log10(min(known))} and {from_log10(max(known))}."
    return Answered(f"{said}.", f"It takes {of_systems(end['quantum_share'])}.", besides)


def _share(found: Numbers, name: str, limited: bool = False) -> dict[str, Any]:
    return next(row for row in found["shares"] if row["set"] == name and (row["kappa_limit"] is not None) == limited)


def body(found: Numbers) -> list[Part]:
    """Return the figures of the evaluation."""
    return [Figures([_kappa(found), _shares(found)])]


def _kappa(found: Numbers) -> Chart:
    names = block_labels({k: block["name"] for k, block in enumerate(found["blocks"])})
    marks = []
    for k, block in enumerate(found["blocks"]):
        values = block["log10_kappa"]
        style = dotted(k, size=4.5, every=_every(values))
        label = f"{names[k]}, N = {block['rows']}"
        marks.append(Line([(float(x), or_gap(y)) for x, y in enumerate(values)], style, label))
    known = [value for block in found["blocks"] for value in block["log10_kappa"] if value is not None]
    panel = Panel(_steps(found), Scale("log10", "condition number κ", values=known), marks)
    caption = "After regularisation, as estimated in the run." + _grouped(found)
    return Chart("f-kappa-blocks", "Condition number of each block", caption, [panel], height=3.8)


def _shares(found: Numbers) -> Chart:
    marks = []
    for name, limited in (("paper", False), ("paper", True), ("end_to_end", False)):
        values = _share(found, name, limited)["by_step"]
        marker = "^" if limited else "o" if name == "paper" else "s"
        style: Style = replace(
            of_set("paper-sparse" if limited else name), marker=marker, size=4.5, every=_every(values)
        )
        label = f"set {name}{', third version' if limited else ''}"
        marks.append(Line([(float(x), 100 * y) for x, y in enumerate(values)], style, label))
    caption = "Of each step. Third version of the paper: systems of κ > 10⁴ stay classical." + _grouped(found)
    y = replace(shares(0, 25, 50, 75, 100), label="quantum share")
    title = "Share of the systems that the quantum solver is predicted to finish first"
    return Chart("f-kappa-share", title, caption, [Panel(_steps(found), y, marks)], 3.1, "predicted")


def _steps(found: Numbers) -> Scale:
    return over_steps(range(len(found["shares"][0]["by_step"])))


def _every(values: list[Any]) -> tuple[int, int]:
    return 0, max(1, len(values) // 8)


def _grouped(found: Numbers) -> str:
    return BINNED if len(found["blocks"][0]["log10_kappa"]) > MOST_POINTS else ""

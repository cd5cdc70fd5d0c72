"""The section of inversion time: LU measured and predicted, the quantum solver modelled."""

from __future__ import annotations

from typing import Any

from .chart import Chart, Line, Mark, Panel, Scale, Style
from .parts import Answered, Figures, Part, Table, columns
from .reproduce_parts import Numbers, marked
from .units import count, plain, power_of_ten, short_seconds, times


def answer(found: Numbers) -> Answered:
    """Return the sizes from which the quantum solver is faster, at the least and the greatest condition number."""
    gate, rows = short_seconds(found["gate_time_s"]), found["rows"]
    of = {name: [row for row in found["by_kappa"] if row["set"] == name] for name in ("paper", "end_to_end")}
    said = {}
    for name, own in of.items():
        ends = [own[0], own[-1]] if len(own) > 1 else own
        if all(row["faster_from_rows"] is None for row in own):
            least = min(row["least_quantum_over_lu"] for row in own)
            said[name] = f"Never faster than LU up to N = {plain(rows[-1])}: it takes at least {times(least)} as long."
        else:
            said[name] = f"Faster than LU {', '.join(_where(row, rows[0]) for row in ends)}, at {gate} per gate."
    besides = ""
    if found["lu_off_by"] > 1:
        besides = (
            f"LU's prediction was off by up to {times(found['lu_off_by'])} where it was measured; brackets: where the "
            "crossing is then."
        )
    return Answered(said["paper"], said["end_to_end"], besides)


def _where(row: dict[str, Any], smallest: float) -> str:
    kappa = f"κ = {plain(row['kappa'])}"
    if row["faster_from_rows"] is None:
        return f"at no size for {kappa}"
    if row["faster_from_rows"] == smallest:
        return f"at every size for {kappa}"
    early, late = (_size(rows) for rows in row["faster_from_rows_within"])
    within = "" if early == late else f" ({early} to {late})"
    return f"from N = {_size(row['faster_from_rows'])}{within} on for {kappa}"


def _size(rows: float | None) -> str:
    return "nowhere" if rows is None else count(round(rows))


def body(found: Numbers) -> list[Part]:
    """Figures and table."""
    charts = []
    for name in ("paper", "end_to_end"):
        rows = [row for row in found["by_kappa"] if row["set"] == name]
        lines = [(f"κ = {plain(row['kappa'])}", row["modelled_seconds"]) for row in rows]
        charts.append(_chart(found, f"kappa-{name}", f"By condition number, set {name}", lines))
    for name in ("paper-sparse", "end_to_end"):
        rows = [row for row in found["by_sparsity"] if row["set"] == name]
        lines = [(_sparsity(row["sparsity"]), row["modelled_seconds"]) for row in rows]
        title = f"By nonzeros in a row (κ = {plain(found['kappa'])}), set {name}"
        charts.append(_chart(found, f"sparsity-{name}", title, lines))
    return [Figures(charts), _table(found)]


def _sparsity(degree: int | None) -> str:
    return "d = N" if degree is None else f"d = {degree}"


def _chart(found: Numbers, name: str, title: str, lines: list[tuple[str, list[float | None]]]) -> Chart:
    rows = found["rows"]
    everything = [row["modelled_seconds"] for row in (*found["by_kappa"], *found["by_sparsity"])]
    # The same axis in all four figures, so that they compare at a glance.
    values = [value for part in (*everything, found["lu_predicted_seconds"]) for value in part if value]
    measured = [(one["rows"], one["measured_seconds"]) for one in found["lu_measured"] if one["rows"] >= rows[0]]
    marks: list[Mark] = [
        Line(list(zip(rows, found["lu_predicted_seconds"], strict=True)), Style(width=2.2), "LU, predicted"),
        Line(measured, Style("ink", "none", marker="s", size=5.5, every=(0, 1)), "LU, measured"),
        *(marked(rows, own, index, f"quantum, {label}", 4, 4.5) for index, (label, own) in enumerate(lines)),
    ]
    caption = (
        "Squares: LU measured here. Solid line: LU as predicted from them, beyond the last square extrapolated, as if "
        "memory were no limit. All other lines: the quantum solver, modelled."
    )
    x, y = Scale("log", "rows N", values=rows), Scale("log seconds", "seconds of one inversion", values=values)
    return Chart(f"f-inversion-{name}", title, caption, [Panel(x, y, marks)], height=3.6)


def _table(found: Numbers) -> Table:
    rows = [
        [
            row["set"],
            plain(row["kappa"]),
            "N" if row.get("sparsity") is None else str(row["sparsity"]),
            _size(row["faster_from_rows"]),
            " to ".join(dict.fromkeys(_size(rows) for rows in row["faster_from_rows_within"])),
            times(row["least_quantum_over_lu"]),
        ]
        for row in (*found["by_kappa"], *({"kappa": found["kappa"], **row} for row in found["by_sparsity"]))
    ]
    heads = columns(
        *(
            "set",
            "κ",
            "nonzeros in a row",
            "quantum faster from N",
            "within the error of LU's prediction",
            "quantum over LU, at best",
        ),
    )
    largest = power_of_ten(len(str(round(found["rows"][-1]))) - 1)
    title = f"Where the quantum solver is faster than LU, N up to {largest}"
    return Table(title, heads, rows, "predicted", folded=title, most=0)

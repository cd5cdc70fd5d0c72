"""The section of inversion time: LU measured and predicted, the quantum solver modelled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .markup import Column, figure, figures, folded, table
from .reproduce_parts import Answer, Numbers, far_seconds, legend_above, log_axis, marked, plain, times
from .svg import color
from .units import count, power_of_ten, short_seconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def answer(found: Numbers) -> Answer:
    """From which size on the quantum solver is faster, at the least and the greatest condition number."""
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
    return Answer(said["paper"], said["end_to_end"])


def _where(row: dict[str, Any], smallest: float) -> str:
    kappa = f"κ = {plain(row['kappa'])}"
    if row["faster_from_rows"] is None:
        return f"at no size for {kappa}"
    if row["faster_from_rows"] == smallest:
        return f"at every size for {kappa}"
    return f"from N = {count(round(row['faster_from_rows']))} on for {kappa}"


def body(found: Numbers) -> str:
    """Figures and table."""
    caption = (
        "Squares: LU measured here. Solid line: LU as predicted from them, beyond the last square extrapolated, as if "
        "memory were no limit. All other lines: the quantum solver, modelled."
    )
    charts = ""
    for name in ("paper", "end_to_end"):
        rows = [row for row in found["by_kappa"] if row["set"] == name]
        lines = [(f"κ = {plain(row['kappa'])}", row["modelled_seconds"]) for row in rows]
        charts += figure(
            f"f-inversion-kappa-{name}", f"By condition number, set {name}", caption, 3.6, _draw, found, lines
        )
    kappa = plain(found["kappa"])
    for name in ("paper-sparse", "end_to_end"):
        rows = [row for row in found["by_sparsity"] if row["set"] == name]
        lines = [(_sparsity(row["sparsity"]), row["modelled_seconds"]) for row in rows]
        title = f"By nonzeros in a row (κ = {kappa}), set {name}"
        charts += figure(f"f-inversion-sparsity-{name}", title, caption, 3.6, _draw, found, lines)
    return figures(charts) + _table(found)


def _sparsity(degree: int | None) -> str:
    return "d = N" if degree is None else f"d = {degree}"


def _draw(figure: Figure, found: Numbers, lines: list[tuple[str, list[float | None]]]) -> None:
    axes: Axes = figure.subplots()
    rows = found["rows"]
    everything = [row["modelled_seconds"] for row in (*found["by_kappa"], *found["by_sparsity"])]
    values = [value for part in (*everything, found["lu_predicted_seconds"]) for value in part if value]
    log_axis(axes, "x", rows)
    # The same axis in all four, so that they compare at a glance.
    far_seconds(axes, "y", values)
    axes.plot(rows, found["lu_predicted_seconds"], color=color("ink"), linewidth=2.2, label="LU, predicted")
    sizes, measured = zip(*((one["rows"], one["measured_seconds"]) for one in found["lu_measured"]), strict=True)
    inside = [k for k, size in enumerate(sizes) if size >= rows[0]]
    axes.plot(
        [sizes[k] for k in inside],
        [measured[k] for k in inside],
        "s",
        color=color("ink"),
        markersize=5.5,
        label="LU, measured",
    )
    for index, (label, modelled) in enumerate(lines):
        marked(axes, rows, modelled, index, f"quantum, {label}", markevery=4)
    axes.set_xlabel("rows N")
    axes.set_ylabel("seconds of one inversion")
    legend_above(figure, axes)


def _table(found: Numbers) -> str:
    rows = [
        [
            row["set"],
            plain(row["kappa"]),
            "N" if row.get("sparsity") is None else str(row["sparsity"]),
            "nowhere" if row["faster_from_rows"] is None else count(round(row["faster_from_rows"])),
            times(row["least_quantum_over_lu"]),
        ]
        for row in (*found["by_kappa"], *({"kappa": found["kappa"], **row} for row in found["by_sparsity"]))
    ]
    columns = [
        Column("set", words=True),
        Column("κ"),
        Column("nonzeros in a row"),
        Column("quantum faster from N"),
        Column("quantum over LU, at best"),
    ]
    title = (
        f"Where the quantum solver is faster than LU, N up to {power_of_ten(len(str(round(found['rows'][-1]))) - 1)}"
    )
    return folded(title, table(title, columns, rows, clock="predicted"), len(rows), most=0)

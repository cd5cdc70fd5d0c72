"""The sections of accuracy against the keep ratio and against the regularisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .axes import log_seconds_axis
from .markup import Column, figure, figures, table
from .reproduce_parts import MARKERS, Answer, Numbers, legend_above, log10_ticks, log_axis, set_style
from .svg import color
from .units import from_log10, number, percent, seconds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LABELS = {"keep-ratio": "share of each row's entries kept", "regularisation": "regularisation r"}
_POINT = 0.01


def answer(name: str, found: Numbers) -> Answer:
    """The best value, those nearly as good, and the quantum share under each set."""
    rows = found["rows"]
    good = [row for row in rows if row["test_accuracy"] is not None]
    said = [_quantum(name, [row for row in rows if row["sets"]], one) for one in ("paper", "end_to_end")]
    if not good:
        return Answer(
            said[0], said[1], "Every training left the floating-point range: no value of this sweep can be used."
        )
    best = max(good, key=lambda row: row["test_accuracy"])
    within = [row["value"] for row in good if row["test_accuracy"] >= best["test_accuracy"] - _POINT]
    what = "keep ratio" if name == "keep-ratio" else "r"
    besides = (
        f"Best test accuracy after {found['steps']} steps: {percent(best['test_accuracy'])}, at {what} "
        f"{_value(best['value'])}; within a point of it: {_listed(within)}."
    )
    worst = min(good, key=lambda row: row["test_accuracy"])
    if best["test_accuracy"] - worst["test_accuracy"] > _POINT:
        besides += f" Worst: {percent(worst['test_accuracy'])}, at {_value(worst['value'])}."
    diverged = [row["value"] for row in rows if row["failure"] is not None]
    if diverged:
        besides += f" Training left the floating-point range at {_listed(diverged)}."
    return Answer(said[0], said[1], besides)


def _quantum(name: str, rows: list[dict[str, Any]], of: str) -> str:
    shares = [_of(row, of)["quantum_share"] for row in rows]
    if not shares:
        return "Nothing was solved."
    if max(shares) == 0:
        return "No system goes to the quantum solver, at any value."
    return f"The quantum solver takes {_range(shares)} of the systems, depending on the value."


def _value(value: float) -> str:
    return f"{value:g}" if 1e-4 <= value < 1e5 else number(value)


def _range(shares: list[float]) -> str:
    low, high = (percent(value, 0) for value in (min(shares), max(shares)))
    return low if low == high else f"{low} to {high}"


def _of(row: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in row["sets"] if one["set"] == name)


def _listed(values: list[float]) -> str:
    return ", ".join(map(_value, values))


def body(name: str, found: Numbers) -> str:
    """Figures and table."""
    charts = figure(
        f"f-{name}-accuracy",
        "Test accuracy after the last step",
        "On all held-out images. Cross at the bottom: training left the floating-point range.",
        2.7,
        _draw_accuracy,
        found,
        LABELS[name],
    )
    charts += figure(
        f"f-{name}-seconds",
        "Seconds of all solves",
        "LU calibrated on this machine, quantum solves modelled; each system to whoever is predicted to be faster.",
        3.0,
        _draw_seconds,
        found,
        LABELS[name],
        clock="predicted",
    )
    charts += figure(
        f"f-{name}-kappa",
        "Condition number of the systems",
        "Of all systems of the training: median and range.",
        2.7,
        _draw_kappa,
        found,
        LABELS[name],
    )
    return figures(charts) + _table(name, found)


def _draw_accuracy(figure: Figure, found: Numbers, label: str) -> None:
    axes = figure.subplots()
    rows = found["rows"]
    good = [(row["value"], 100 * row["test_accuracy"]) for row in rows if row["test_accuracy"] is not None]
    axes.plot(*zip(*good, strict=True), color=color("ink"), marker="o", markersize=6) if good else None
    failed = [row["value"] for row in rows if row["failure"] is not None]
    axes.plot(failed, [2.0] * len(failed), "x", color=color("ink"), markersize=8, markeredgewidth=2)
    for value, accuracy in good:
        below = accuracy > 85
        place = {"xytext": (0, -7 if below else 7), "va": "top" if below else "bottom", "ha": "center"}
        axes.annotate(f"{accuracy:.1f}", (value, accuracy), textcoords="offset points", fontsize=8.5, **place)
    _value_axis(axes, rows, label)
    axes.set_ylim(-3, 103)
    axes.set_ylabel("test accuracy, %")


def _value_axis(axes: Any, rows: list[dict[str, Any]], label: str) -> None:
    values = [row["value"] for row in rows]
    log_axis(axes, "x", values)
    if max(values) / min(values) < 1e3:
        axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.set_xlabel(label)


def _draw_seconds(figure: Figure, found: Numbers, label: str) -> None:
    axes = figure.subplots()
    rows = [row for row in found["rows"] if row["sets"]]
    lines: list[tuple[str | None, str, list[float]]] = [
        (None, "all by LU", [row["classical"]["predicted_solve_seconds"] for row in rows])
    ]
    for name in ("paper", "end_to_end"):
        lines.append((name, f"hybrid, set {name}", [_of(row, name)["predicted_solve_seconds"] for row in rows]))
    per_step = [max(1, row["steps"]) for row in rows]
    shown = [(name, words, [s / n for s, n in zip(values, per_step, strict=True)]) for name, words, values in lines]
    for k, (name, words, values) in enumerate(shown):
        style = {"marker": MARKERS[k], "markersize": 8 - 2 * k, "linewidth": 3 - 0.8 * k}
        axes.plot([row["value"] for row in rows], values, **{**set_style(name), **style}, label=words)
    log_seconds_axis(axes, "y", [value for *_, values in shown for value in values if value > 0] or [1.0])
    _value_axis(axes, found["rows"], label)
    axes.set_ylabel("predicted s per step")
    legend_above(figure, axes)


def _draw_kappa(figure: Figure, found: Numbers, label: str) -> None:
    axes = figure.subplots()
    rows = [row for row in found["rows"] if row["log10_kappa"] is not None]
    low, middle, high = zip(*(row["log10_kappa"] for row in rows), strict=True) if rows else ((), (), ())
    values = [row["value"] for row in rows]
    axes.vlines(values, low, high, color=color("muted"), linewidth=5, alpha=0.5)
    axes.plot(values, middle, color=color("ink"), marker="o", markersize=5)
    log10_ticks(axes, (*low, *high))
    _value_axis(axes, found["rows"], label)
    axes.set_ylabel("condition number κ")


def _table(name: str, found: Numbers) -> str:
    rows = []
    for row in found["rows"]:
        kappa, residual = row["log10_kappa"], row["residual"]
        rows.append(
            [
                _value(row["value"]),
                "diverged" if row["failure"] else percent(row["test_accuracy"]),
                number(row["train_loss"]),
                from_log10(kappa[1] if kappa else None),
                number(residual[1] if residual else None, 2),
                *(
                    percent(_of(row, one)["quantum_share"], 0) if row["sets"] else "–"
                    for one in ("paper", "end_to_end")
                ),
                seconds(row["classical"]["predicted_solve_seconds"] if row["classical"] else None),
                *(
                    seconds(_of(row, one)["predicted_solve_seconds"]) if row["sets"] else "–"
                    for one in ("paper", "end_to_end")
                ),
            ]
        )
    columns = [
        Column("keep ratio" if name == "keep-ratio" else "r"),
        Column("test accuracy"),
        Column("training loss"),
        Column("κ, median"),
        Column("residual of the exact system, median"),
        Column("quantum share, paper"),
        Column("quantum share, end_to_end"),
        Column("predicted solves, LU"),
        Column("predicted solves, paper"),
        Column("predicted solves, end_to_end"),
    ]
    return table("By value", columns, rows)

"""The sections of accuracy against the keep ratio and against the regularisation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .chart import Chart, Line, Mark, Note, Panel, Ranges, Scale, Style
from .parts import Answered, Figures, Part, Table, columns
from .reproduce_parts import Numbers
from .styles import dotted, of_set
from .units import MISSING, from_log10, number, percent, seconds

_LABELS = {"keep-ratio": "share of each row's entries kept", "regularisation": "regularisation r"}
_POINT = 0.01


def answer(name: str, found: Numbers) -> Answered:
    """The best value, those nearly as good, and the quantum share under each set."""
    rows = found["rows"]
    good = [row for row in rows if row["test_accuracy"] is not None]
    said = [_quantum(name, [row for row in rows if row["sets"]], one) for one in ("paper", "end_to_end")]
    if not good:
        return Answered(
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
    return Answered(said[0], said[1], besides)


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


def body(name: str, found: Numbers) -> list[Part]:
    """Figures and table."""
    charts = [_accuracy(name, found), _seconds(name, found), _kappa(name, found)]
    return [Figures(charts), _table(name, found)]


def _accuracy(name: str, found: Numbers) -> Chart:
    rows = found["rows"]
    good = [(row["value"], 100 * row["test_accuracy"]) for row in rows if row["test_accuracy"] is not None]
    failed = [(row["value"], 2.0) for row in rows if row["failure"] is not None]
    marks: list[Mark] = [
        Line(good, Style(marker="o", size=6.0)),
        Line(failed, Style("ink", "none", marker="x", size=8.0)),
    ]
    for value, accuracy in good:
        below = accuracy > 85
        shift = (0, -7 if below else 7)
        marks.append(Note(accuracy, f"{accuracy:.1f}", x=value, shift=shift, side="center", above=not below))
    caption = "On all held-out images. Cross at the bottom: training left the floating-point range."
    panel = Panel(_values(name, found), Scale(label="test accuracy, %", limits=(-3, 103)), marks)
    return Chart(f"f-{name}-accuracy", "Test accuracy after the last step", caption, [panel], height=2.7)


def _seconds(name: str, found: Numbers) -> Chart:
    rows = [row for row in found["rows"] if row["sets"]]
    lines: list[tuple[str | None, str, list[float]]] = [
        (None, "all by LU", [row["classical"]["predicted_solve_seconds"] for row in rows])
    ]
    for one in ("paper", "end_to_end"):
        lines.append((one, f"hybrid, set {one}", [_of(row, one)["predicted_solve_seconds"] for row in rows]))
    marks: list[Mark] = []
    everything = []
    for k, (one, words, values) in enumerate(lines):
        per_step = [value / max(1, row["steps"]) for value, row in zip(values, rows, strict=True)]
        everything += [value for value in per_step if value > 0]
        style = replace(of_set(one), marker=dotted(k).marker, size=8.0 - 2 * k, width=3 - 0.8 * k, every=(0, 1))
        marks.append(Line([(row["value"], y) for row, y in zip(rows, per_step, strict=True)], style, words))
    caption = (
        "LU calibrated on this machine, quantum solves modelled; each system to whoever is predicted to be faster."
    )
    panel = Panel(_values(name, found), Scale("log seconds", "predicted s per step", values=everything), marks)
    return Chart(f"f-{name}-seconds", "Seconds of all solves", caption, [panel], 3.0, "predicted")


def _kappa(name: str, found: Numbers) -> Chart:
    known = [(row["value"], *row["log10_kappa"]) for row in found["rows"] if row["log10_kappa"] is not None]
    marks: list[Mark] = [
        Ranges([(value, low, high) for value, low, _, high in known], Style("muted", width=5.0, alpha=0.5)),
        Line([(value, middle) for value, _, middle, _ in known], Style(marker="o", size=5.0)),
    ]
    ends = [end for _, low, _, high in known for end in (low, high)]
    panel = Panel(_values(name, found), Scale("log10", "condition number κ", values=ends), marks)
    caption = "Of all systems of the training: median and range."
    return Chart(f"f-{name}-kappa", "Condition number of the systems", caption, [panel], height=2.7)


def _values(name: str, found: Numbers) -> Scale:
    values = [row["value"] for row in found["rows"]]
    few = max(values) < 1e3 * min(values)
    return Scale("log", _LABELS[name], values, ticks=[(value, f"{value:g}") for value in values] if few else ())


def _table(name: str, found: Numbers) -> Table:
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
                    percent(_of(row, one)["quantum_share"], 0) if row["sets"] else MISSING
                    for one in ("paper", "end_to_end")
                ),
                seconds(row["classical"]["predicted_solve_seconds"] if row["classical"] else None),
                *(
                    seconds(_of(row, one)["predicted_solve_seconds"]) if row["sets"] else MISSING
                    for one in ("paper", "end_to_end")
                ),
            ]
        )
    heads = columns(
        "keep ratio" if name == "keep-ratio" else "r",
        *("test accuracy", "training loss", "κ, median", "residual of the exact system, median"),
        *("quantum share, paper", "quantum share, end_to_end"),
        *("predicted solves, LU", "predicted solves, paper", "predicted solves, end_to_end"),
        words=0,
    )
    return Table("By value", heads, rows)

"""The sections of training time: by optimizer, measured and predicted apart."""

from __future__ import annotations

from typing import Any

from .chart import DOTTED, Chart, Mark, Panel, Rule, Scale, Style
from .parts import Answered, Column, Figures, Part, Table, columns
from .reproduce_parts import Numbers, dots, marked
from .units import count, faster, number, of_systems, percent, seconds, short_seconds, times


def answer(found: Numbers) -> Answered:
    """Return the comparison of the hybrid with LU, and of both with SGD."""
    sgd, *rivals = found["measured"]
    lu, paper, end, free = found["predicted"]
    gate = short_seconds(found["gate_time_s"])
    said = [
        f"At {gate} per gate {of_systems(row['quantum_share'])} go to the quantum solver; the training is predicted to "
        f"be {faster(lu['predicted_seconds'] / row['predicted_seconds'], 'by LU alone')}."
        for row in (paper, end)
    ]
    others = "; ".join(f"{row['label']}: {_reached(row)}" for row in rivals)
    besides = (
        f"To the accuracy of tuned SGD ({percent(found['target'])}, to half a point) SGD takes {_reached(sgd)}; "
        f"{others}."
    )
    at, by_sgd = free["predicted_seconds_to_target"], sgd["measured_seconds_to_target"]
    if at is not None and by_sgd:
        besides += (
            f" Even with every solve free, the published Newton steps are predicted to take {seconds(at)}: "
            f"{_against_sgd(at / by_sgd)} what SGD was measured to take."
        )
    return Answered(said[0], said[1], besides)


def _against_sgd(ratio: float) -> str:
    return times(ratio) if ratio >= 1 else percent(ratio, 0) + " of"


def _reached(row: dict[str, Any]) -> str:
    if row["steps_to_target"] is None:
        return f"does not get there in {count(row['steps'])} steps ({seconds(row['measured_step_seconds'])})"
    return f"{count(row['steps_to_target'])} steps and {seconds(row['measured_seconds_to_target'])}"


def body(found: Numbers) -> list[Part]:
    """Figures and tables."""
    caption = f"Dot: the accuracy of tuned SGD, {percent(found['target'])} (to half a point); square: all steps. "
    charts = [
        dots(
            "f-training-time-mlp-measured",
            "Seconds on this machine",
            caption + "Wall clock of the steps, compilation and evaluation aside.",
            "measured",
            [
                _dot(row["label"], row["measured_seconds_to_target"], row["measured_step_seconds"])
                for row in found["measured"]
            ],
        ),
        dots(
            "f-training-time-mlp-predicted",
            "Newton as published: LU, and the hybrid under both sets",
            caption + "Stages calibrated on this machine, quantum solves modelled; the training itself is the same.",
            "predicted",
            [
                _dot(row["label"], row["predicted_seconds_to_target"], row["predicted_seconds"])
                for row in found["predicted"]
            ],
        ),
        _curves(found),
    ]
    return [Figures(charts), *_tables(found)]


def _dot(label: str, at: float | None, total: float | None) -> tuple[str, float | None, float | None, str]:
    return label, at, total, seconds(at if at is not None else total, 2)


def _curves(found: Numbers) -> Chart:
    curves = [(row["label"], row["curve"]) for row in found["measured"] if row["curve"]]
    marks: list[Mark] = []
    for index, (label, curve) in enumerate(curves):
        every = max(1, len(curve) // 8)
        marks.append(marked([point[1] for point in curve], [point[2] for point in curve], index, label, every, 3.5))
    marks.append(Rule("y", found["target"], Style("line7", DOTTED, 0.9), beside="tuned SGD"))
    after = [point[1] for _, curve in curves for point in curve if point[1] > 0]
    panel = Panel(
        Scale("log seconds", "measured seconds since the first step", values=after), Scale(label="test accuracy"), marks
    )
    caption = "Each point an evaluation on all held-out data."
    return Chart("f-training-time-mlp-curve", "Test accuracy against seconds", caption, [panel], 3.1, "measured")


def _tables(found: Numbers) -> list[Table]:
    metric = "final test accuracy"
    measured = [
        [
            row["label"],
            count(row["steps"]),
            "not reached" if row["steps_to_target"] is None else count(row["steps_to_target"]),
            seconds(row["measured_seconds_to_target"]),
            seconds(row["measured_step_seconds"]),
            percent(row["test_accuracy"]),
        ]
        for row in found["measured"]
    ]
    names = ("optimizer", "steps", "steps to target", "measured seconds to target", "measured seconds, all", metric)
    predicted = [
        [
            row["label"],
            percent(row["quantum_share"]),
            seconds(row["predicted_seconds_to_target"]),
            seconds(row["predicted_seconds"]),
            seconds(row["predicted_solve_seconds"]),
        ]
        for row in found["predicted"]
    ]
    further = (
        "Newton as published",
        "quantum share",
        "predicted seconds to target",
        "predicted seconds, all",
        "of them solves",
    )
    rates = [
        [number(row["rate"]), row["failure"] or "finished", percent(row["test_accuracy"])] for row in found["rates"]
    ]
    of_rates = [Column("rate"), Column("end", wraps=True), Column(metric)]
    return [
        Table("Measured", columns(*names), measured, "measured"),
        Table("Predicted", columns(*further), predicted, "predicted"),
        Table("Rates of SGD that were tried", of_rates, rates),
    ]

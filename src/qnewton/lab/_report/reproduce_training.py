"""The sections of training time: by optimizer, measured and predicted apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .axes import labels_beside, log_seconds_axis
from .markup import Column, figure, figures, table
from .reproduce_parts import Answer, Numbers, dots, faster, legend_above, marked, of_systems, times
from .units import count, number, percent, seconds, short_seconds

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def answer(found: Numbers) -> Answer:
    """How the hybrid compares with LU, and both with SGD."""
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
    return Answer(said[0], said[1], besides)


def _against_sgd(ratio: float) -> str:
    return times(ratio) if ratio >= 1 else percent(ratio, 0) + " of"


def _reached(row: dict[str, Any]) -> str:
    if row["steps_to_target"] is None:
        return f"does not get there in {count(row['steps'])} steps ({seconds(row['measured_step_seconds'])})"
    return f"{count(row['steps_to_target'])} steps and {seconds(row['measured_seconds_to_target'])}"


def body(found: Numbers) -> str:
    """Figures and tables."""
    reach = f"the accuracy of tuned SGD, {percent(found['target'])}"
    caption = f"Dot: {reach} (to half a point); square: all steps. "
    measured = [
        (row["label"], row["measured_seconds_to_target"], row["measured_step_seconds"]) for row in found["measured"]
    ]
    predicted = [
        (row["label"], row["predicted_seconds_to_target"], row["predicted_seconds"]) for row in found["predicted"]
    ]
    charts = figure(
        "f-training-time-mlp-measured",
        "Seconds on this machine",
        caption + "Wall clock of the steps, compilation and evaluation aside.",
        0.9 + 0.33 * len(measured),
        _draw_dots,
        measured,
        "measured seconds",
        clock="measured",
    )
    charts += figure(
        "f-training-time-mlp-predicted",
        "Newton as published: LU, and the hybrid under both sets",
        caption + "Stages calibrated on this machine, quantum solves modelled; the training itself is the same.",
        0.9 + 0.33 * len(predicted),
        _draw_dots,
        predicted,
        "predicted seconds",
        clock="predicted",
    )
    charts += figure(
        "f-training-time-mlp-curve",
        "Test accuracy against seconds",
        "Each point an evaluation on all held-out data.",
        3.1,
        _draw_curves,
        found,
        clock="measured",
    )
    return figures(charts) + _tables(found)


def _draw_dots(figure: Figure, rows: list[tuple[str, float | None, float | None]], label: str) -> None:
    axes = figure.subplots()
    dots(axes, [(name, at, total, seconds(at if at is not None else total, 2)) for name, at, total in rows])
    axes.set_xlabel(label)


def _draw_curves(figure: Figure, found: Numbers) -> None:
    axes = figure.subplots()
    curves = [(row["label"], row["curve"]) for row in found["measured"] if row["curve"]]
    times_s = [point[1] for _, curve in curves for point in curve if point[1] > 0]
    log_seconds_axis(axes, "x", times_s or [1.0])
    for index, (label, curve) in enumerate(curves):
        marked(
            axes, [point[1] for point in curve], [point[2] for point in curve], index, label, markersize=3.5,
            markevery=max(1, len(curve) // 8),
        )  # fmt: skip
    axes.axhline(found["target"], color="#808080", linewidth=0.9, linestyle=(0, (2, 2)))
    axes.set_xlabel("measured seconds since the first step")
    axes.set_ylabel("test accuracy")
    legend_above(figure, axes)
    labels_beside(axes, [(found["target"], "tuned SGD", "#808080")])


def _tables(found: Numbers) -> str:
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
    return (
        table("Measured", [Column(n, words=k == 0) for k, n in enumerate(names)], measured, clock="measured")
        + table("Predicted", [Column(n, words=k == 0) for k, n in enumerate(further)], predicted, clock="predicted")
        + table(
            "Rates of SGD that were tried",
            [Column("rate"), Column("end", words=True, wraps=True), Column(metric)],
            rates,
        )
    )

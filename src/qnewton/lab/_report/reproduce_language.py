"""The sections of the language models: SGD and AdamW measured, Newton's method predicted from one step."""

from __future__ import annotations

from typing import Any

from .parts import Answered, Column, Figures, Part, Table, Text, columns
from .reproduce_parts import Numbers, dots
from .units import count, from_log10, number, of_systems, percent, seconds, short_seconds, times

_LN10 = 2.302585092994046


def answer(found: Numbers) -> Answered:
    """Return the comparison of the hybrid with LU, and of both with SGD and AdamW."""
    lu, paper, end, free = found["newton"]
    steps, gate = count(found["steps"]), short_seconds(found["gate_time_s"])
    said = [
        f"At {gate} per gate {of_systems(row['quantum_share'])} go to the quantum solver; {steps} steps are predicted "
        f"to take {seconds(row['predicted_seconds'])}, by LU alone {seconds(lu['predicted_seconds'])}."
        for row in (paper, end)
    ]
    if found["target"] is None:
        return Answered(said[0], said[1], "SGD left the floating-point range at every rate.")
    sgd, *others = found["measured"]
    besides = (
        f"{steps} steps of tuned SGD were measured to take {seconds(sgd['measured_step_seconds'])} and end at a "
        f"held-out loss of {number(found['target'])}. "
        + "; ".join(f"{_named(row['label'])} {_reached(row)}" for row in others)
        + "."
    )
    if sgd["measured_step_seconds"] > 0:
        ratio = free["predicted_seconds"] / sgd["measured_step_seconds"]
        besides += (
            f" {steps} published Newton steps with every solve free are predicted to take {times(ratio)} as long."
        )
    return Answered(said[0], said[1], besides)


def _named(label: str) -> str:
    return "our default Newton" if label.startswith("Newton") else f"tuned {label.partition(',')[0]}"


def _reached(row: dict[str, Any]) -> str:
    if row["failure"] is not None:
        return "leaves the floating-point range"
    if row["steps_to_target"] is None:
        return f"ends at {number(row['test_loss'])} after as many ({seconds(row['measured_step_seconds'])})"
    return f"is there after {count(row['steps_to_target'])} and {seconds(row['measured_seconds_to_target'])}"


def body(name: str, found: Numbers) -> list[Part]:
    """Figures and tables."""
    steps, task = count(found["steps"]), found["task"]
    charts = [
        dots(
            f"f-{name}-measured",
            f"{steps} steps on this machine",
            "Dot: the held-out loss that tuned SGD ends with; square: all steps. Wall clock of the steps, compilation "
            "and evaluation aside.",
            "measured",
            [
                _dot(row["label"], row["measured_seconds_to_target"], row["measured_step_seconds"])
                for row in found["measured"]
            ],
        ),
        dots(
            f"f-{name}-predicted",
            f"{steps} Newton steps as published: LU, and the hybrid under both sets",
            "One step was timed and is taken for all: one block of each size formed, regularised and estimated here, "
            "LU predicted from the calibration, the quantum solver modelled.",
            "predicted",
            [_dot(row["label"], None, row["predicted_seconds"]) for row in found["newton"]],
        ),
    ]
    about = (
        f"{task['model']} ({count(task['parameters'])} parameters); {task['data']}; {task['batch']} sequences a step. "
        "Empirical Fisher matrix per tensor of the linear layers, damped with r = 0.005 and the floor of 0.001, at the "
        "initial parameters; embeddings, gains and the head keep their raw gradient."
    )
    return [Figures(charts), Text(about), *_tables(found)]


def _dot(label: str, at: float | None, total: float | None) -> tuple[str, float | None, float | None, str]:
    return label, at, total, seconds(at or total, 2)


def _tables(found: Numbers) -> list[Table]:
    sizes = [
        [
            row["name"],
            count(row["rows"]),
            count(row["blocks"]),
            from_log10(row["log_condition_number"] / _LN10),
            seconds(row["measured_forming_seconds"]),
            seconds(row["measured_conditioning_seconds"]),
            seconds(row["measured_estimation_seconds"]),
        ]
        for row in found["sizes"]
    ]
    of_sizes = ("block that was timed", "rows", "blocks of that size", "κ", "forming", "regularising", "estimating κ")
    newton = [
        [
            row["label"],
            percent(row["quantum_share"]),
            seconds(row["predicted_seconds"]),
            seconds(row["predicted_solve_seconds"]),
        ]
        for row in found["newton"]
    ]
    further = ("Newton as published", "quantum share", "predicted seconds", "of them solves")
    trained = [
        [
            row["label"],
            "not reached" if row["steps_to_target"] is None else count(row["steps_to_target"]),
            seconds(row["measured_seconds_to_target"]),
            seconds(row["measured_step_seconds"]),
            number(row["test_loss"]),
        ]
        for row in found["measured"]
    ]
    heads = ("optimizer", "steps to target", "measured seconds to target", "measured seconds, all", "held-out loss")
    rates = [
        [row["optimizer"], number(row["rate"]), row["failure"] or "finished", number(row["test_loss"])]
        for row in found["rates"]
    ]
    names = (*columns("optimizer", "rate"), Column("end", wraps=True), Column("final held-out loss"))
    return [
        Table("Measured", columns(*heads), trained, "measured"),
        Table("Predicted", columns(*further), newton, "predicted"),
        Table("One block of each size", columns(*of_sizes), sizes, "measured"),
        Table("Rates that were tried", names, rates),
    ]

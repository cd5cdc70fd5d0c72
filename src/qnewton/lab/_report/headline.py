"""Top of the page: missing parts, the headline numbers, and how to read them."""

from __future__ import annotations

from collections import Counter

from msgspec.structs import asdict

from .._runfile import Run
from . import derive
from .chart import Clock
from .parts import Groups, Listing, Tile, Tiles, Warnings
from .units import count, number, percent, seconds

ASSUMPTIONS = {
    "paper": (
        "the query count of arXiv:2305.11352v1 times the gate time; loading the matrix and reading the solution out "
        "are free, and the subnormalisation is 1"
    ),
    "paper-best": "as paper, with whichever published query count is lowest",
    "paper-sparse": (
        "as paper, with the abstract's complexity of arXiv:2405.00252: the nonzeros per row multiply the condition "
        "number, the rows divide the precision"
    ),
    "logical": (
        "the block encoding with its subnormalisation and gates, and the right-hand side with its gates, on perfect "
        "qubits; loading and reading out are free"
    ),
    "end_to_end": (
        "as logical, on an error-corrected machine, with the read-out of direction and length, and a load of the "
        "matrix in each step"
    ),
}


def notes(run: Run) -> Warnings | None:
    """Return a note on what the files lack; None for a run that finished."""
    found = list(run.notes)
    if run.summary is not None and run.summary.status == "interrupted":
        found.insert(0, f"The run was interrupted after {run.summary.steps} steps; the totals are those of them.")
    if not run.steps:
        found.append("No step was written: there is nothing to draw.")
    failed = {status: systems for status, systems in statuses(run).items() if status != "ok"}
    if failed:
        listed = ", ".join(f"{status}: {systems}" for status, systems in failed.items())
        if run.config.scheduled:
            systems, effect = f"{len(run.all_blocks)} systems", "and took a gradient step"
        else:
            systems = f"{sum(statuses(run).values())} statuses"
            effect = "and moved nothing" if run.config.optimizer == "dual_newton" else "and took the gradient there"
        found.append(f"{sum(failed.values())} of {systems} failed {effect} ({listed}).")
    if run.summary is not None:
        for name, value in run.summary.predicted_seconds.items():
            summed = derive.predicted_total(run, name)
            if value is not None and summed is not None and abs(value - summed) > 0.01 * abs(summed):
                found.append(
                    f"The predicted seconds of set {name} are {seconds(value)} in summary.json, "
                    f"but the steps in steps.jsonl add up to {seconds(summed)}."
                )
    return Warnings(found) if found else None


def statuses(run: Run) -> dict[str, int]:
    """Return the number of systems per status."""
    if run.summary is not None:
        return run.summary.statuses
    found: Counter[str] = Counter()
    for step in run.all_steps:
        found.update(step.statuses)
    return found


def headline(run: Run) -> Groups:
    """Three groups of tiles: the training, the measured clock, the predicted clock."""
    return Groups(_from_summary(run) if run.summary is not None else _from_steps(run))


def _from_summary(run: Run) -> list[Tiles]:
    summary = run.summary
    assert summary is not None
    epochs = run.steps[-1].epoch if run.steps else None
    training = [
        Tile("test_accuracy", "test accuracy", summary.test_accuracy, percent(summary.test_accuracy, 2), "final"),
        Tile("final_loss", "training loss", summary.final_loss, number(summary.final_loss), "final, all training data"),
        Tile("test_loss", "test loss", summary.test_loss, number(summary.test_loss), "final"),
        Tile("steps", "steps", summary.steps, count(summary.steps), f"the last one at epoch {number(epochs, 2)}"),
    ]
    parts = asdict(summary.measured_breakdown)
    measured = [
        Tile(
            "measured_seconds",
            "steps and evaluations",
            summary.measured_seconds,
            seconds(summary.measured_seconds),
            "wall clock on this machine",
        ),
        *(
            Tile(f"measured_{part}", part, parts[part], seconds(parts[part]), "not in the first number")
            for part in ("compilation", "calibration")
            if part == "compilation" or run.config.scheduled
        ),
    ]
    if not summary.predicted_seconds or summary.acting is None:
        return [Tiles("Training", training), Tiles("seconds", measured, "measured")]
    acting = summary.predicted_seconds.get(summary.acting)
    classical = summary.predicted_seconds_all_classical
    gain = f"{number(classical / acting)} times the first" if acting and classical else ""
    predicted = [
        Tile("predicted_seconds", f"as scheduled ({summary.acting})", acting, seconds(acting), "all steps"),
        Tile("predicted_seconds_all_classical", "all classical", classical, seconds(classical), gain),
        Tile(
            "quantum_share",
            "quantum share",
            summary.quantum_share,
            percent(summary.quantum_share),
            f"of the systems, at a gate time of {seconds(summary.gate_time_s, 2)}",
        ),
    ]
    return [
        Tiles("Training", training),
        Tiles("seconds", measured, "measured"),
        Tiles("seconds and choices", predicted, "predicted"),
    ]


def _from_steps(run: Run) -> list[Tiles]:
    evaluated = [step for step in run.steps if step.test_accuracy is not None]
    last = evaluated[-1] if evaluated else None
    when = f"at step {last.step}, the last evaluated" if last else "never evaluated"
    accuracy, train_loss = (last.test_accuracy, last.train_loss) if last else (None, None)
    loss = run.steps[-1].loss if run.steps else None
    training = [
        Tile("test_accuracy", "test accuracy", accuracy, percent(accuracy, 2), when),
        Tile("train_loss", "training loss", train_loss, number(train_loss), when),
        Tile("loss", "batch loss", loss, number(loss), "of the last step written"),
        Tile("steps", "steps", len(run.all_steps), count(len(run.all_steps)), "written so far"),
    ]
    of_steps = derive.total(step.measured_seconds for step in run.all_steps)
    of_evaluations = derive.total(step.measured_evaluation_seconds for step in run.all_steps)
    measured = [
        Tile("measured_steps", "steps", of_steps, seconds(of_steps), "wall clock on this machine"),
        Tile("measured_evaluations", "evaluations", of_evaluations, seconds(of_evaluations), "wall clock"),
    ]
    if not run.config.scheduled:
        return [Tiles("Training so far", training), Tiles("seconds", measured, "measured")]
    acting = derive.acting_set(run)
    total = derive.predicted_total(run, acting) if acting else None
    share = derive.quantum_share(run, acting) if acting else None
    predicted = [
        Tile(
            "predicted_seconds", f"as scheduled ({acting or 'no system yet'})", total, seconds(total), "steps written"
        ),
        Tile("quantum_share", "quantum share", share, percent(share), "of the systems written"),
    ]
    return [
        Tiles("Training so far", training),
        Tiles("seconds", measured, "measured"),
        Tiles("seconds and choices", predicted, "predicted"),
    ]


def executions(run: Run) -> list[str]:
    """How the quantum solves were carried out."""
    found = {block.execution for block in run.blocks if block.execution is not None}
    return sorted(found)


def reading(run: Run) -> Listing:
    """How to read the page: the two clocks, how quantum solves were run, the assumption sets."""
    return Listing(_reading_scheduled(run) if run.config.scheduled else _reading_complete(run))


def _reading_complete(run: Run) -> list[tuple[Clock | None, str]]:
    sets = derive.assumption_sets(run)
    rest = "Its systems have a section of their own, and nothing else of a step is predicted."
    lines: list[tuple[Clock | None, str]] = [
        (
            "measured",
            f"wall clock of what ran on this machine. The optimizer `{run.config.optimizer}` is complete by itself. "
            f"{rest if sets else 'None of its systems is priced, so nothing is predicted.'}",
        )
    ]
    if sets:
        lines.append(
            (
                "predicted",
                "what the choices compare: predictions for this machine's classical candidates, and modelled seconds "
                "for quantum ones, in columns of their own.",
            )
        )
    return lines + [(None, _meaning(name, "an assumption set of this run")) for name in sets]


def _reading_scheduled(run: Run) -> list[tuple[Clock | None, str]]:
    acting = derive.acting_set(run)
    lines: list[tuple[Clock | None, str]] = [
        ("measured", "wall clock of what ran on this machine."),
        (
            "predicted",
            "what the choices compare: calibrated predictions for everything classical, and modelled seconds for a "
            "quantum solver. The two never share an axis or a column.",
        ),
    ]
    if "modelled" in executions(run):
        lines.append(
            (
                None,
                "Quantum solves whose execution is `modelled` are classical solves standing in for the quantum state; "
                "only their cost is quantum.",
            )
        )
    if "emulated" in executions(run):
        lines.append(
            (
                None,
                "Quantum solves whose execution is `emulated` have the exact state that an ideal circuit leaves, read "
                "out with the noise that the options ask for; no circuit ran.",
            )
        )
    for name in derive.assumption_sets(run):
        role = "Its choices were carried out." if name == acting else "Reported beside it; its choices were not run."
        lines.append(
            (None, f"{_meaning(name, 'an assumption set of this run; its definition is in the options')} {role}")
        )
    return lines


def _meaning(name: str, otherwise: str) -> str:
    return f"Assumption set `{name}`: {ASSUMPTIONS.get(name, otherwise)}."

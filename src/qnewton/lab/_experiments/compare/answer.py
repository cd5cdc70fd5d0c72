"""Conversion of the run files of a comparison's cells to `compare.json`: curves, table, seconds to the targets."""

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from msgspec.structs import asdict

from ...._pricing.fastest import fastest
from ..._runfile import (
    COMPARE_VERSION,
    ComparisonFile,
    RunFileError,
    StepLine,
    SystemLine,
    plain,
    read_config,
    read_run,
    typed,
)
from ..._runfile.comparison import (
    ComparedMethod,
    ComparedRun,
    ComparedSummary,
    CurvePoint,
    SeedSpread,
    TargetMethod,
    TrialRecord,
)
from ..estimates import seconds_of
from ..provenance import provenance
from ..saved import train_options
from .methods import METHODS, SETS, STAND_IN, Method
from .run import LEAST_STEPS, Cell, Comparison

REFERENCES = ("sgd", "momentum", "adam", "adamw")
"""The first of these that took part sets the targets; without any, the first method."""


def compare_records(
    comparison: Comparison, tuned: dict[str, Any], accuracies: Sequence[float] = (), losses: Sequence[float] = ()
) -> ComparisonFile:
    """The content of `compare.json`.

    Args:
        comparison: whose cells are all done.
        tuned: what `run_comparison` returned.
        accuracies: held-out accuracies that are to be reached. Without any target, the reference's: the accuracy of
            tuned SGD at the end of its budget, and its lowest held-out loss, each the median of its seeds.
        losses: held-out losses that are to be reached.

    Raises:
        ValueError: for an accuracy where the task has none, and where the reference diverged and sets no target.
    """
    methods = [_method(comparison, entry) for entry in tuned["methods"]]
    reference = next((name for name in REFERENCES if any(m.name == name for m in methods)), methods[0].name)
    found = next(method for method in methods if method.name == reference)
    judged = any(method.summary.test_accuracy is not None for method in methods)
    if accuracies and not judged:
        raise ValueError(
            f"--target-accuracies is {' '.join(f'{a:g}' for a in accuracies)}, and {comparison.task} has no accuracy: "
            "use --target-losses"
        )
    targets = [("test_accuracy", value, "asked for") for value in accuracies]
    targets += [("test_loss", value, "asked for") for value in losses]
    if not targets:
        targets = _of_reference(found, judged=judged)
    records = [
        {
            "quantity": field,
            "value": value,
            "source": source,
            "methods": [_to_target(method, field, value) for method in methods],
        }
        for field, value, source in targets
    ]
    some_run = comparison.directory.path / methods[0].runs[0].directory
    config = read_config(some_run)
    content = plain(
        {
            "schema_version": COMPARE_VERSION,
            **provenance(),
            "options": {
                "task": comparison.task,
                "task_options": vars(comparison.task_options),
                "methods": comparison.methods,
                "seeds": comparison.seeds,
                "tuning_seed": comparison.tuning_seed,
                "seconds": comparison.seconds,
                "steps": comparison.steps,
                "least_steps": LEAST_STEPS if comparison.steps is None else comparison.steps,
                "trials": comparison.trials,
                "batch_size": comparison.batch_size,
                "dtype": comparison.dtype,
                "gate_time_s": comparison.gate_time_s,
            },
            "model": asdict(config.model) | {"rows": tuned["rows"]},
            "data": config.data,
            "assumptions": list(SETS),
            "hardware": train_options(some_run, config).scheduling.hardware,
            "reference": reference,
            "left_out": tuned["left_out"],
            "methods": methods,
            "targets": records,
        }
    )
    return typed(content, ComparisonFile, "compare.json")


def _of_reference(found: ComparedMethod, *, judged: bool) -> list[tuple[str, float, str]]:
    """Return the targets that at least half of a method's seeds reached, rounded to three digits."""
    label, runs = found.label, found.runs
    if any(run.lowest_test_loss is None or run.test_loss is None for run in runs):
        raise ValueError(f"{label} sets the targets, and one of its seeds diverged: name --target-losses")
    targets = []
    if judged:
        accuracy = statistics.median_low(run.test_accuracy for run in runs if run.test_accuracy is not None)
        targets.append(("test_accuracy", _rounded("test_accuracy", accuracy), f"{label} at the end of its budget"))
    loss = statistics.median_high(run.lowest_test_loss for run in runs if run.lowest_test_loss is not None)
    return [*targets, ("test_loss", _rounded("test_loss", loss), f"the lowest of {label}")]


def _method(comparison: Comparison, entry: dict[str, Any]) -> ComparedMethod:
    method = METHODS[entry["name"]]
    ran = method.name if entry["trained"] else STAND_IN
    runs = []
    for seed in comparison.seeds:
        runs.append(_run(comparison, method, Cell(ran, entry["value"], seed), trained=entry["trained"]))
    return ComparedMethod(
        name=method.name,
        label=method.label,
        note=method.note,
        tuned=method.tuned,
        value=entry["value"],
        on_the_edge=entry["on_the_edge"],
        trials=tuple(TrialRecord(**trial) for trial in entry["trials"]),
        # Which clock its seconds are of: nothing else was measured, or nothing else can be predicted.
        measured=entry["trained"],
        predicted=method.scheduled,
        steps_of=None if entry["trained"] else STAND_IN,
        runs=tuple(runs),
        summary=_summary(runs),
    )


def _run(comparison: Comparison, method: Method, cell: Cell, *, trained: bool) -> ComparedRun:
    """One seed: its curve, and totals."""
    record, path = comparison.done(cell), comparison.cell_path(cell)
    if record is None:
        raise RunFileError(f"{path} holds no cell.json: the training {cell.name} is not finished")
    run = read_run(path)
    steps = run.steps
    blocks: dict[int, list[SystemLine]] = {}
    for line in run.blocks if method.scheduled else ():
        blocks.setdefault(line.step, []).append(line)
    measured, modelled = 0.0, dict.fromkeys(SETS, 0.0)
    curve, quantum, systems = [], dict.fromkeys(SETS, 0), 0
    for step in steps:
        measured += step.measured_seconds
        for name in SETS:
            seconds, to_quantum = _modelled(method, step, blocks.get(step.step, []), name)
            modelled[name] += step.measured_seconds if seconds is None else seconds
            quantum[name] += to_quantum
        systems += len(blocks.get(step.step, []))
        if step.test_loss is not None:
            curve.append(
                CurvePoint(
                    step=step.step + 1,
                    measured_seconds=measured if trained else None,
                    modelled_seconds={**modelled},
                    train_loss=step.train_loss,
                    test_loss=step.test_loss,
                    test_accuracy=step.test_accuracy,
                )
            )
    last = curve[-1] if curve else None
    return ComparedRun(
        seed=record.seed,
        directory=str(path.relative_to(comparison.directory.path)),
        status=record.status,
        steps=len(steps),
        measured_seconds=measured if trained else None,
        modelled_seconds={**modelled},
        quantum_share={name: quantum[name] / systems if systems else 0.0 for name in SETS},
        train_loss=last and last.train_loss,
        test_loss=last and last.test_loss,
        test_accuracy=last and last.test_accuracy,
        lowest_test_loss=record.lowest_test_loss,
        curve=tuple(curve),
    )


def _modelled(method: Method, step: StepLine, blocks: Sequence[SystemLine], assumed: str) -> tuple[float | None, int]:
    """Return a step's predicted seconds with the method's own candidates, and the number of its quantum systems.

    None of a method that nothing is predicted for. A set that was not recorded differs in nothing from the first, since
    the method has no quantum candidate. What a system would be given to is decided by what was predicted for it; an
    iterative solve that was carried out is charged for the iterations that it took.
    """
    if not method.scheduled:
        return None, 0
    recorded = step.predicted_seconds
    name = assumed if assumed in recorded else next(iter(recorded))
    parts = recorded[name]
    total = parts.gradient + parts.curvature + parts.conditioning
    # With one candidate there is nothing to choose, hence no condition number to find.
    total += 0.0 if method.name == "newton-lu" else parts.estimation
    to_quantum = 0
    for line in blocks:
        entry = line.assumptions[name]
        # Queries are in the file for quantum candidates alone.
        names, quantum = list(entry.predicted_seconds), set(entry.queries)
        seconds = seconds_of(entry, names)
        index, found = fastest(seconds, np.asarray([method.counts(one, one in quantum) for one in names]))
        if not found:
            continue
        choice = names[int(index)]
        expected = line.expected_iterations.get(choice)
        factor = line.iterations / expected if expected and choice == line.solver and line.iterations else 1.0
        total += float(seconds[index]) * factor
        to_quantum += choice in quantum
    return total, to_quantum


def _summary(runs: Sequence[ComparedRun]) -> ComparedSummary:
    """Median, least and greatest over the seeds."""
    fields = ("steps", "train_loss", "test_loss", "test_accuracy", "lowest_test_loss", "measured_seconds")
    spreads = {field: _spread([getattr(run, field) for run in runs]) for field in fields}
    return ComparedSummary(
        **spreads,
        modelled_seconds={name: _spread([run.modelled_seconds[name] for run in runs]) for name in SETS},
        quantum_share={name: _spread([run.quantum_share[name] for run in runs]) for name in SETS},
        diverged=sum(run.status == "diverged" for run in runs),
    )


def _spread(values: Sequence[float | None]) -> SeedSpread | None:
    known = [value for value in values if value is not None]
    if len(known) < len(values) or not known:
        return None
    return SeedSpread(median=statistics.median(known), least=min(known), greatest=max(known))


def _to_target(method: ComparedMethod, field: str, value: float) -> TargetMethod:
    """Return when the median seed first met the target; a seed that never did counts as later than all others."""
    firsts = [_first(run.curve, field, value) for run in method.runs]
    reached = [first for first in firsts if first is not None]

    def median(get: Callable[[CurvePoint], Any]) -> float | None:
        middle = statistics.median(math.inf if first is None else get(first) for first in firsts)
        return middle if math.isfinite(middle) else None

    return TargetMethod(
        name=method.name,
        reached=len(reached),
        of=len(firsts),
        steps=median(lambda point: point.step),
        measured_seconds=median(lambda point: point.measured_seconds) if method.measured else None,
        modelled_seconds={name: median(lambda point, name=name: point.modelled_seconds[name]) for name in SETS},
    )


def _first(curve: Sequence[CurvePoint], field: str, value: float) -> CurvePoint | None:
    for point in curve:
        found = getattr(point, field)
        if found is not None and (found >= value if field == "test_accuracy" else found <= value):
            return point
    return None


def _rounded(field: str, value: float) -> float:
    """Round a target to three digits, so that it stays reachable: accuracies down, losses up."""
    if field == "test_accuracy":
        return math.floor(1000 * value) / 1000
    digits = 2 - math.floor(math.log10(value))
    return math.ceil(value * 10**digits) / 10**digits

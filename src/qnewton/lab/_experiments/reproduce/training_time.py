"""Total training time of the perceptron by optimizer: SGD, Newton's method by LU, and the hybrid."""

from collections.abc import Sequence
from typing import Any

from .base import Evaluation, Finished, Result
from .decisions import totals
from .options import Reproduction
from .trainings import Training, first_order, newton, newton_default, newton_with_lu

TOLERANCE = 0.005
"""Test accuracy below tuned SGD's that counts as reaching it: half a point."""


def trainings(options: Reproduction) -> list[Training]:
    """Return SGD at each rate; Newton's method as published, by LU and for the hybrid; and qnewton's default."""
    by_lu = [newton_with_lu(options)] if options.mlp.solve == "lu" else []
    sgd = [first_order(options, rate) for rate in options.first_order.rates]
    return [*sgd, newton(options), *by_lu, newton_default(options)]


def derive(found: Finished) -> dict[str, Any]:
    """Seconds to the end and to tuned SGD's accuracy, measured and predicted apart."""
    options, hybrid = found.options, found.result(newton(found.options))
    rates = options.first_order.rates
    sgd = [found.result(first_order(options, rate)) for rate in rates]
    best = _best(sgd, rates)
    target = _accuracy(sgd[best])
    measured = [(f"SGD, rate {rates[best]:g}", sgd[best])]
    if options.mlp.solve == "lu":
        measured.append(("Newton, published, LU", found.result(newton_with_lu(options))))
    measured.append(("Newton, our default", found.result(newton_default(options))))
    steps, at = len(hybrid.steps), _steps_to(hybrid, target)
    predicted = [
        {
            **row,
            "steps": steps,
            "steps_to_target": at,
            "predicted_seconds_to_target": None if at is None else row["predicted_seconds"] * at / steps,
        }
        for row in totals(hybrid.systems, options)
    ]
    config = hybrid.run.config
    return {
        "task": {
            "name": config.task,
            "model": config.model.description,
            "parameters": config.model.parameters,
            "data": config.data.description,
            "blocks": config.model.blocks,
            "batch": config.data.batch,
        },
        "target": target,
        "tolerance": TOLERANCE,
        "rates": [{"rate": rate, **one.record()} for rate, one in zip(rates, sgd, strict=True)],
        "measured": [{"label": label, **_measured(one, target)} for label, one in measured],
        "predicted": predicted,
        "gate_time_s": options.gate_time_s,
    }


def _best(sgd: Sequence[Result], rates: Sequence[float]) -> int:
    finished = [k for k, one in enumerate(sgd) if one.summary is not None]
    if not finished:
        raise ValueError(
            "SGD left the floating-point range at every rate of --first-order.rates "
            f"({' '.join(f'{rate:g}' for rate in rates)}): name lower ones, with another --out"
        )
    return max(finished, key=lambda k: _accuracy(sgd[k]))


def _accuracy(result: Result) -> float:
    accuracy = None if result.summary is None else result.summary.test_accuracy
    if accuracy is None:
        raise ValueError(f"{result.path} has no test accuracy: --mlp.task must name a task that classifies")
    return accuracy


def _measured(result: Result, target: float) -> dict[str, Any]:
    at = _steps_to(result, target)
    seconds = None if at is None else sum(step.measured_seconds for step in result.steps[:at])
    return {
        **result.record(),
        "steps_to_target": at,
        "measured_seconds_to_target": seconds,
        "curve": _curve(result),
    }


def _steps_to(result: Result, target: float) -> int | None:
    """Return the number of steps until an evaluation first reached the target; None if none did."""
    for count, step in enumerate(result.steps, start=1):
        # Accuracies are fractions of whole numbers: no rounding may decide.
        if step.test_accuracy is not None and step.test_accuracy >= target - TOLERANCE - 1e-6:
            return count
    return None


def _curve(result: Result) -> list[list[float]]:
    """`[step, measured seconds since the first, test accuracy]` at each evaluation."""
    found, seconds = [], 0.0
    for count, step in enumerate(result.steps, start=1):
        seconds += step.measured_seconds
        if step.test_accuracy is not None:
            found.append([count, seconds, step.test_accuracy])
    return found


EVALUATION = Evaluation(
    name="training-time-mlp",
    question="How long does training the perceptron take?",
    reads=("mlp", "first_order"),
    trainings=trainings,
    derive=derive,
)

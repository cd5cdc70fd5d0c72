"""Checks of `newton`'s arguments: wrong kinds, values out of range, and combinations that conflict."""

from collections.abc import Callable, Sequence

import lineax as lx
import optax

from .._conditioning import AbstractConditioner, AbstractMetric
from .._core.kinds import check_function, check_kind, check_kinds, check_rate, known, numbers, varying
from .._curvature import AbstractCurvature, Block, Objective, Partition
from .._curvature.objective import check_objective
from .._solvers import capabilities_of
from .adaptation import AbstractAdaptation
from .correction import Correction
from .step_rules import AbstractStepRule


def check_arguments(
    objective: Objective,
    learning_rate: optax.ScalarOrSchedule,
    curvature: AbstractCurvature | None,
    partition: Partition,
    conditioning: Sequence[AbstractConditioner] | None,
    metric: AbstractMetric | None,
    correction: Correction | None,
    adaptation: AbstractAdaptation | None,
    step: AbstractStepRule | None,
    where: Callable[[Block], bool] | None,
) -> None:
    """Refuse arguments of the wrong kind; each is described with `newton`.

    Raises:
        TypeError: names the argument and says what to give.
        ValueError: for a step rule beside what it stands in for.
    """
    check_objective(objective, "newton")
    check_function(partition, "newton: partition", "whole, per_layer, per_tensor or a function of the parameters")
    if where is not None:
        check_function(where, "newton: where", "a function of a block, e.g. lambda block: block.n <= 4096")
    check_rate(learning_rate, "newton: learning_rate")
    if conditioning is not None:
        check_kinds(conditioning, AbstractConditioner, "newton: conditioning", "Damp(5e-3)")
    kinds: tuple[tuple[str, object, type, str], ...] = (
        ("curvature", curvature, AbstractCurvature, "GaussNewton()"),
        ("metric", metric, AbstractMetric, "Marquardt()"),
        ("correction", correction, Correction, "Correction(0.99)"),
        ("adaptation", adaptation, AbstractAdaptation, "LevenbergMarquardt()"),
        ("step", step, AbstractStepRule, "QuadraticModel()"),
    )
    for name, value, kind, example in kinds:
        if value is not None:
            check_kind(value, kind, f"newton: {name}", example)
    given = callable(learning_rate) or not known(learning_rate) or learning_rate != 1.0
    if step is not None and (adaptation is not None or given):
        raise ValueError(
            f"newton got a step rule, {type(step).__name__}, and a learning rate or an adaptation: the rule stands in "
            "for both, so omit them"
        )


def checked_numbers(
    refresh: int, clip: float | None, weight_decay: float, residual_tolerance: float
) -> tuple[int, float | None, float, float]:
    """Return plain numbers for the given values; each is described with `newton`.

    Raises:
        TypeError: for what is no number; names the argument.
        ValueError: with the number and its range.
    """
    clip, weight_decay, residual_tolerance = varying(
        "newton", ("clip",), clip=clip, weight_decay=weight_decay, residual_tolerance=residual_tolerance
    )
    (refresh,) = numbers("newton", refresh=refresh)
    if clip is not None and known(clip) and not clip > 0:
        raise ValueError(f"clip is {clip}: it bounds the entries of the direction and must be positive, or None")
    if not (isinstance(refresh, int) and refresh >= 1):
        raise ValueError(f"refresh is {refresh}: steps that one curvature serves, an integer of at least 1")
    if known(weight_decay) and not 0 <= weight_decay < float("inf"):
        raise ValueError(f"weight_decay is {weight_decay}: it must be finite and at least 0")
    if known(residual_tolerance) and not residual_tolerance > 0:
        raise ValueError(f"residual_tolerance is {residual_tolerance}: it must be positive, e.g. 0.1")
    return refresh, clip, weight_decay, residual_tolerance


def check_together(
    solver: lx.AbstractLinearSolver,
    adaptation: AbstractAdaptation,
    step: AbstractStepRule | None,
    where: Callable[[Block], bool] | None,
    *,
    warm_start: bool,
) -> None:
    """Refuse arguments that are valid alone and conflict with another, or with another's default.

    Raises:
        ValueError: names both, and what to give.
    """
    if where is not None and (step is not None or adaptation.tries):
        raise ValueError(
            "newton got where=..., and the damping follows the decrease that a step predicts: blocks without a system "
            "predict none. Use adaptation=Fixed(), without a step rule"
        )
    if warm_start and not capabilities_of(solver).warm_start:
        raise ValueError(
            f"warm_start=True, and the solver {type(solver).__name__} takes no first guess: use CG or MINRES"
        )

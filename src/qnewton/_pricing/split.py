"""One system shared out: a quantum solver makes the start of a classical conjugate-gradient iteration.

After Miyashita and Shimada, arXiv 2602.09696 (abstract read), whose quantum part inverts the small eigenvalues and
whose classical part does the rest: `kappa = kappa_q kappa_c`. The two bounds are ours.

*Start.* The quantum solver leaves a relative error eta; CG goes from there, since `||e_k||_A <= 2 rho^k ||e_0||_A`:

    k = sqrt(kappa) / 2 ln(2 sqrt(kappa) eta / epsilon)

*Split.* The start errs by eta below the eigenvalue `lambda_c = lambda_max / kappa_c`, and at most by all of x above it.
The Chebyshev polynomial of `[lambda_c, lambda_max]` is at most 1 below, so that
`||e_k|| / ||x|| <= 2 sqrt(kappa) rho_c^k + sqrt(kappa_q) eta`. Half of epsilon for each:

    eta = epsilon / (2 sqrt(kappa_q)),      k = sqrt(kappa_c) / 2 ln(4 sqrt(kappa) / epsilon)

That the quantum part costs what a system of condition number kappa_q does is an assumption: the low part would have to
be encoded by itself, with a norm of its own. No block encoding of the matrix does that.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from .._core.arrays import Number, floating, quiet
from .._core.evidence import Evidence
from .._solvers.krylov.steps import cg_steps
from .._solvers.quantum.queries import QUERY_MODELS, QueryModel, Unit
from .assumptions import Assumptions
from .classical import ClassicalHost, predict, rival_named
from .clock import Clock
from .paper import counts_for, lifted, lifted_numbers, takes, with_levels
from .problem import Problem
from .solver import CountedSolver

PLACES = np.linspace(0.0, 1.0, 17)
"""How much of a system the quantum part takes: places of a start or of a split between its ends."""


class Part(NamedTuple):
    """What is left to each side.

    Attributes:
        kappa: condition number of the quantum part.
        precision: that it leaves.
        steps: of CG after it.
        whole: steps of CG alone.
    """

    kappa: Any
    precision: Any
    steps: Any
    whole: Any


def start(kappa: Number, epsilon: Number, place: Number) -> Part:
    """A quantum start for CG, from as good as the solution, at place 0, to hardly better than the zero vector, at 1."""
    xp, kappa, epsilon, place = floating(kappa, epsilon, place)
    precision = epsilon * (0.9 / epsilon) ** place
    return Part(kappa + 0 * precision, precision, *_steps(xp, kappa, epsilon, kappa, epsilon / precision))


def split(kappa: Number, epsilon: Number, place: Number) -> Part:
    """The small eigenvalues for the quantum part: none at place 0, all at 1. The tolerance is that of its start."""
    xp, kappa, epsilon, place = floating(kappa, epsilon, place)
    own = kappa**place
    precision = xp.minimum(epsilon / (2 * xp.sqrt(own)), 0.5)
    return Part(own, precision, *_steps(xp, kappa, epsilon, kappa / own, precision))


def _steps(xp: Any, kappa: Any, epsilon: Any, rest: Any, tolerance: Any) -> tuple[Any, Any]:
    steps = xp.maximum(xp.ceil(cg_steps(rest, tolerance)), 0.0)
    return steps, xp.maximum(xp.ceil(cg_steps(kappa, epsilon)), 1.0) + 0 * steps


WAYS: tuple[tuple[Evidence, Callable[[Number, Number, Number], Part]], ...] = (
    (Evidence.DERIVED, start),
    (Evidence.ASSUMPTION, split),
)
"""The ways to share a system out, with what stands behind each."""


class Shared(NamedTuple):
    """The fastest way to share systems out under one set on one machine. Arrays of the problem's shape.

    Attributes:
        assumed, machine: where.
        evidence: `derived` for a start, `assumption` for a split.
        host: the one whose CG is the fastest.
        model: whose count the quantum part has, the fastest proven one.
        kappa: condition number of the quantum part.
        precision: that it leaves.
        steps: of CG.
        queries, copies: of the quantum part.
        seconds: of both together; infinite where there is no such way.
    """

    assumed: Assumptions
    machine: str
    evidence: Evidence
    host: np.ndarray
    model: np.ndarray
    kappa: np.ndarray
    precision: np.ndarray
    steps: np.ndarray
    queries: np.ndarray
    copies: np.ndarray
    seconds: np.ndarray

    @property
    def note(self) -> str:
        """The division of the system, in words."""
        return (
            f"the quantum part has kappa {float(self.kappa):.3g} and leaves an error of {float(self.precision):.2g}, "
            f"then {float(self.steps):.3g} steps of CG"
        )


def can_share(model: QueryModel) -> bool:
    """Whether a count may stand for the quantum part."""
    return model.unit is not Unit.SPARSE_ACCESS and model.evidence is Evidence.PROVEN and not model.needs_norm


@quiet
def shares(
    problem: Problem, clocks: Sequence[tuple[str, Clock]], sets: Sequence[Assumptions], hosts: Sequence[ClassicalHost]
) -> Iterator[Shared]:
    """Best start and best split under every set on every machine, with the host whose CG is the fastest.

    Args:
        problem: of numbers, or of arrays of a sweep.
        clocks: quantum machines with their names.
        sets: what a quantum solver is charged for.
        hosts: classical ones.
    """
    if not (problem.definite and hosts):
        return
    shape = problem.shape
    found = [predict(rival_named("CG"), host, problem) for host in hosts]
    alone = np.stack([np.broadcast_to(np.where(one.valid, one.seconds, np.inf), shape) for one in found])
    names = np.asarray([host.name for host in hosts], object)[np.argmin(alone, axis=0)]
    for evidence, way in WAYS:
        place = PLACES.reshape(-1, *[1] * len(shape))
        part = way(problem.condition_number, problem.precision, place)
        classical_s = alone.min(axis=0) * part.steps / part.whole
        smaller = dataclasses.replace(
            problem, condition_number=part.kappa, precision=part.precision, solution_norm=None
        )
        yield from _best(smaller, clocks, sets, evidence, np.asarray(names), part, classical_s)


def _best(
    problem: Problem,
    clocks: Sequence[tuple[str, Clock]],
    sets: Sequence[Assumptions],
    evidence: Evidence,
    host: np.ndarray,
    part: Part,
    classical_s: np.ndarray,
) -> Iterator[Shared]:
    proven = [model for model in QUERY_MODELS.values() if can_share(model)]
    axes, shape = 1 + host.ndim, np.broadcast_shapes(np.shape(classical_s))
    numbers, precision = lifted_numbers(problem.numbers, axes), lifted(problem.precision, axes)
    for assumed in (with_levels(one, problem) for one in sets):
        models = [m for m in proven if takes(m, problem) and counts_for(assumed, m)]
        charges = assumed.charges(CountedSolver.all_of(models), numbers, precision, [clock for _, clock in clocks])
        for (machine, _), charge in zip(clocks, charges, strict=True):
            seconds = np.broadcast_to(charge.seconds + classical_s, (len(models), *shape))
            # Model and place as one axis, of which the least is taken at each point.
            best = np.argmin(seconds.reshape(-1, *host.shape), axis=0)[None]

            def chosen(values: Any, best: Any = best, like: Any = seconds) -> np.ndarray:
                flat = np.broadcast_to(values, like.shape).reshape(-1, *best.shape[1:])
                return np.take_along_axis(flat, best, axis=0)[0]

            yield Shared(
                assumed,
                machine,
                evidence,
                host,
                np.asarray([model.name for model in models], object)[best[0] // len(PLACES)],
                *(chosen(values) for values in (part.kappa, part.precision, part.steps)),
                *(chosen(values) for values in (charge.queries, charge.copies, seconds)),
            )

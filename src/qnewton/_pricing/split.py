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
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from .._core.arrays import quiet
from .._core.evidence import Evidence
from .._solvers.krylov.steps import cg_steps
from .._solvers.quantum.queries import QUERY_MODELS, QueryModel, Unit
from .assumptions import Assumptions
from .classical import ClassicalHost, predict, rival_named
from .clock import Clock
from .paper import counts_for, lifted, lifted_numbers, takes, with_levels
from .problem import Problem
from .solver import CountedSolver

_SHARES = 17


class Shared(NamedTuple):
    """The fastest way to share one system out under one set on one machine and host.

    Attributes:
        assumed, machine, host: where.
        model: whose count the quantum part has, the fastest proven one.
        evidence: `derived` for a start, `assumption` for a split.
        kappa: condition number of the quantum part.
        precision: that it leaves.
        steps: of CG.
        queries, copies: of the quantum part.
        seconds: of both together.
    """

    assumed: Assumptions
    machine: str
    host: str
    model: QueryModel
    evidence: Evidence
    kappa: float
    precision: float
    steps: float
    queries: float
    copies: float
    seconds: float

    @property
    def note(self) -> str:
        """The division of the system, in words."""
        return (
            f"the quantum part has kappa {self.kappa:.3g} and leaves an error of {self.precision:.2g}, "
            f"then {self.steps:.3g} steps of CG"
        )


@quiet
def shares(
    problem: Problem, clocks: Sequence[tuple[str, Clock]], sets: Sequence[Assumptions], hosts: Sequence[ClassicalHost]
) -> Iterator[Shared]:
    """Best start and best split under every set on every machine, with the host whose CG is the fastest.

    Args:
        problem: of single numbers.
        clocks: quantum machines with their names.
        sets: what a quantum solve is charged for.
        hosts: classical ones.
    """
    found = {host.name: predict(rival_named("CG"), host, problem) for host in hosts}
    alone = {name: float(one.seconds) for name, one in found.items() if np.all(one.valid)}
    if not alone or not problem.definite:
        return
    host = min(alone, key=lambda name: alone[name])
    kappa, epsilon = float(problem.condition_number), float(problem.precision)
    whole = max(float(np.ceil(cg_steps(kappa, epsilon))), 1.0)
    part = np.geomspace(1.0, kappa, _SHARES)
    ways = (
        # A start that is no better than the zero vector is none.
        (Evidence.DERIVED, np.full(_SHARES, kappa), np.geomspace(epsilon, 0.9, _SHARES)),
        (Evidence.ASSUMPTION, part, np.minimum(epsilon / (2 * np.sqrt(part)), 0.5)),
    )
    for evidence, own, precision in ways:
        # What is left for CG; the tolerance of the split is that of its start.
        rest, tolerance = kappa / own, precision
        if evidence is Evidence.DERIVED:
            rest, tolerance = np.full(_SHARES, kappa), epsilon / precision
        steps = np.maximum(np.ceil(cg_steps(rest, tolerance)), 0.0)
        classical_s = alone[host] * steps / whole
        smaller = dataclasses.replace(problem, condition_number=own, precision=precision, solution_norm=None)
        yield from _best(smaller, clocks, sets, evidence, host, steps, classical_s)


def _best(
    problem: Problem,
    clocks: Sequence[tuple[str, Clock]],
    sets: Sequence[Assumptions],
    evidence: Evidence,
    host: str,
    steps: np.ndarray,
    classical_s: np.ndarray,
) -> Iterator[Shared]:
    proven = [m for m in QUERY_MODELS.values() if m.unit is not Unit.SPARSE_ACCESS and m.evidence is Evidence.PROVEN]
    numbers, precision = lifted_numbers(problem.numbers, 1), lifted(problem.precision, 1)
    for assumed in (with_levels(one, problem) for one in sets):
        models = [m for m in proven if takes(m, problem) and counts_for(assumed, m) and not m.needs_norm]
        charges = assumed.charges(CountedSolver.all_of(models), numbers, precision, [clock for _, clock in clocks])
        for (machine, _), charge in zip(clocks, charges, strict=True):
            seconds = charge.seconds + classical_s
            place, i = (int(index) for index in np.unravel_index(int(np.argmin(seconds)), seconds.shape))
            if not np.isfinite(seconds[place, i]):
                continue
            yield Shared(
                assumed,
                machine,
                host,
                models[place],
                evidence,
                float(problem.condition_number[i]),
                float(problem.precision[i]),
                float(steps[i]),
                float(charge.queries[place, i]),
                float(charge.copies[place, i]),
                float(seconds[place, i]),
            )

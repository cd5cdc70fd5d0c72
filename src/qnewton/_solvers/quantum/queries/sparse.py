"""Common parts of arXiv 2503.21420's solvers: sparse-access queries, simulation by qubitization, amplification.

The matrix has norm at most 1 and `d` nonzeros in a row; `d ||A||_max` is its subnormalisation under sparse access, and
that is the only way in which the two enter. One source: the author's own code, whose lemmas are those of her thesis.
"""

import math
from collections.abc import Callable

from ...._core.arrays import Number, NumberArray, ceil, floating, quiet
from ...._core.conditions import Condition
from ...._core.records import QuantumWorkload
from .amplification import amplify_unknown
from .model import CountInputs, Evidence, Matrices, QueryModel, Unit

KNOWN_FROM = (
    "the author's own code, one source; one of its versions halves the amplification. Preparations of the right-hand "
    "side are not counted there; one per application is assumed"
)


@quiet
def simulation_queries(subnormalisation: Number, time: Number, precision: Number) -> NumberArray:
    """Queries that simulate the matrix for a time, by qubitization (Lemma 12).

    `48 r` with `t' = d ||A||_max t`, and `r = ceil(e t')` where `t' >= ln(1/epsilon) / e`, else
    `r = ceil(4 ln(1/epsilon) / ln(e + ln(1/epsilon) / t'))`.
    """
    xp, alpha, time, precision = floating(subnormalisation, time, precision)
    scaled, log = alpha * time, -xp.log(precision)
    long = ceil(xp, math.e * scaled)
    short = ceil(xp, 4 * log / xp.log(math.e + log / scaled))
    return 48 * xp.where(scaled >= log / math.e, long, short)


def amplified(problem: CountInputs, queries: Number, weight: Number, least: Number | None = None) -> QuantumWorkload:
    """The count where one application takes `queries` and succeeds with amplitude `norm / weight`.

    Args:
        problem: whose norm it is.
        queries: of one application.
        weight: what the solution is divided by.
        least: amplitude that the schedule is given; `1 / weight` where None.
    """
    xp = problem.xp
    amplitude = xp.minimum(problem.norm / weight, 1.0)
    applications = amplify_unknown(amplitude, xp.minimum(1 / weight if least is None else least, amplitude))
    # The least precision that the derivations have in mind: they ask for far less than 1 / kappa.
    coarse = Condition(problem.precision * problem.kappa < 1, "a precision below 1 / kappa")
    return QuantumWorkload(applications * queries, applications, xp.ones_like(applications), (coarse,))


def sparse_access_model(
    name: str, lemma: str, count: Callable[[CountInputs], QuantumWorkload], known_from: str = KNOWN_FROM
) -> QueryModel:
    """A solver of arXiv 2503.21420."""
    return QueryModel(
        name=name,
        source=f"Lefterovici et al., arXiv 2503.21420, {lemma}",
        version="v1",
        evidence=Evidence.SECOND_HAND,
        known_from=known_from,
        count=count,
        unit=Unit.SPARSE_ACCESS,
        matrices=Matrices.HERMITIAN,
        takes_subnormalisation=True,
        uses_norm=True,
    )

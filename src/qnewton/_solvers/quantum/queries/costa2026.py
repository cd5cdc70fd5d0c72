"""Constant factors of optimal solvers: Costa, Dalzell, An and Berry, arXiv 2604.22185."""

from ...._core.records import QuantumWorkload
from ..precision import ErrorConvention
from .model import CountInputs, Evidence, QueryModel


def _equation_19(problem: CountInputs) -> QuantumWorkload:
    xp, kappa = problem.xp, problem.encoded
    log_kappa = xp.log(kappa)
    queries = kappa * (6 * log_kappa + 6 - 1.07 * xp.log(problem.precision)) + 6 + 3 * log_kappa
    return QuantumWorkload(queries, 2 * queries, xp.ones_like(queries))


costa2026 = QueryModel(
    name="costa2026",
    source="Costa, Dalzell, An and Berry, arXiv 2604.22185, Equation 19",
    version="v2",
    evidence=Evidence.PROVEN,
    known_from="one project's documentation and code; it simplifies Equation 128 of arXiv 2406.12086, proven for "
    "3 <= kappa <= 1e6 only. Retries are in the count, a run's success is not told",
    count=_equation_19,
    convention=ErrorConvention.TRACE,
    smallest_kappa=3.0,
    largest_kappa=1e6,
)
"""`K (6 ln K + 6 + 1.07 ln(1/epsilon)) + 6 + 3 ln K`: the shortcut for an unknown norm, simplified."""

"""The complexity that the Q-Newton paper states of its solver, arXiv 2405.00252."""

from ...._core.records import QuantumWorkload
from .model import CountInputs, Evidence, Matrices, QueryModel, Unit


def _abstract(problem: CountInputs) -> QuantumWorkload:
    xp = problem.xp
    queries = problem.encoded * xp.log(problem.kappa / problem.precision)
    return QuantumWorkload(queries, xp.ones_like(queries), xp.ones_like(queries))


qnewton2024_abstract = QueryModel(
    name="qnewton2024_abstract",
    source="Li et al. (Q-Newton), arXiv 2405.00252, abstract",
    version="v1",
    evidence=Evidence.ASYMPTOTIC,
    known_from="the abstract, O(d kappa log(N kappa / epsilon)), which was read: no constant is in it, so 1 is taken, "
    "and natural logarithms. d is the subnormalisation and N divides epsilon under the set paper-sparse; one "
    "preparation of the right-hand side is assumed",
    count=_abstract,
    unit=Unit.SPARSE_ACCESS,
    matrices=Matrices.HERMITIAN,
    takes_subnormalisation=True,
)
"""`alpha kappa ln(kappa / epsilon)`, which `paper-sparse` makes `d kappa ln(N kappa / epsilon)`.

What the released code charges is not this but Theorem 1 of arXiv 2305.11352 v1, `jennings2023v1`.
"""

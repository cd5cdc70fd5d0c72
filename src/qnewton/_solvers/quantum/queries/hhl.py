"""The first quantum linear solver (Harrow, Hassidim and Lloyd, arXiv 0811.3171), with the constants of 2503.21420."""

import math

from ...._core.records import QuantumWorkload
from .model import CountInputs
from .sparse import amplified, simulation_queries, sparse_access_model

ERROR_CONSTANT = 2**7 + 22 * math.pi**2 + (64 + 14 * math.pi**2) ** 2 / math.pi**2
"""`C_F` of Lemma 14: phase estimation runs for a time `sqrt(C_F) kappa / epsilon`."""


def _count(problem: CountInputs) -> QuantumWorkload:
    time = math.sqrt(ERROR_CONSTANT) * problem.kappa / problem.precision
    # Twice: phase estimation is undone.
    queries = 2 * simulation_queries(problem.alpha, time, problem.precision)
    return amplified(problem, queries, 2 * problem.kappa)


hhl2009 = sparse_access_model("hhl2009", "Lemma 14", _count)
"""HHL: the only solver here that grows like 1/epsilon."""

"""Common parts of solvers around another solver: their capabilities are those of the inner one."""

from typing import Any

import equinox as eqx

from .._core.records import SystemEstimate
from .base import AbstractSolver, Charged, is_charged


class AbstractAround(AbstractSolver):
    """A solver around another one, with kind, machine and evidence of its own.

    Attributes that only quantum solvers have are those of a quantum inner solver; they are not read for a classical
    one.

    Attributes:
        inner: the solver.
    """

    inner: eqx.AbstractVar[AbstractSolver]

    @property
    def measured_as(self) -> AbstractSolver:
        return self.inner.measured_as

    @property
    def execution(self) -> str | None:
        return self.inner.execution

    @property
    def charged(self) -> Charged:
        """Inner solver, if quantum."""
        assert is_charged(self.inner), "capabilities say that it is not quantum"
        return self.inner

    @property
    def asked_precision(self) -> float:
        """Precision as in `AbstractQuantumSolver`, if the inner solver is one."""
        return self.charged.asked_precision

    @property
    def known_norm(self) -> float | None:
        """Norm as in `AbstractQuantumSolver`, if the inner solver is one."""
        return self.charged.known_norm

    @property
    def counts_sparse_access(self) -> bool:
        """Unit of the count as in `AbstractQuantumSolver`, if the inner solver is one."""
        return self.charged.counts_sparse_access

    def built_for(self, estimate: SystemEstimate) -> Any:
        """Return the numbers as in `AbstractQuantumSolver`, if the inner solver is one."""
        return self.charged.built_for(estimate)

    def assume_full_rank(self) -> bool:
        return self.inner.assume_full_rank()

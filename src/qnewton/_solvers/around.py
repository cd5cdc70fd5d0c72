"""What solvers around another solver share: what they are is what the inner one is."""

from typing import Any

import equinox as eqx

from .._core.records import SystemEstimate
from .base import AbstractSolver, Charged, is_charged


class AbstractAround(AbstractSolver):
    """A solver around another one, whose kind, machine and evidence are its own.

    What only quantum solvers have it has of a quantum one; nobody asks a classical one for it.

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
        """The inner solver, of a quantum one."""
        assert is_charged(self.inner), "capabilities say that it is not quantum"
        return self.inner

    @property
    def asked_precision(self) -> float:
        """As `AbstractQuantumSolver` has it, where the inner solver is one."""
        return self.charged.asked_precision

    @property
    def known_norm(self) -> float | None:
        """Likewise."""
        return self.charged.known_norm

    @property
    def counts_sparse_access(self) -> bool:
        """Likewise."""
        return self.charged.counts_sparse_access

    def built_for(self, estimate: SystemEstimate) -> Any:
        """Likewise."""
        return self.charged.built_for(estimate)

    def assume_full_rank(self) -> bool:
        return self.inner.assume_full_rank()

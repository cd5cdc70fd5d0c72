"""The interface of a solver: a lineax solver that also states its workload."""

import abc
from typing import Any

import lineax as lx
from jaxtyping import Array, PyTree

from ..core.records import Encoding, QuantumWorkload, SystemEstimate, Workload
from ..core.status import Refusal


class AbstractSolver(lx.AbstractLinearSolver):
    """A `lineax.AbstractLinearSolver` that a scheduler can weigh.

    Its result is `RESULTS.successful` only where the true residual is what it claims (`solvers.verified`); the
    linear-solve option `verify=False` leaves that, and the product it takes, to the caller.
    """

    @property
    @abc.abstractmethod
    def needs_definite(self) -> bool:
        """Whether the matrix must be positive definite."""

    @property
    def notices_indefinite(self) -> bool:
        """Whether it may be handed a matrix that only rounding can have made indefinite.

        It then notices, and solves the system otherwise.
        """
        return False

    @property
    @abc.abstractmethod
    def needs_symmetric(self) -> bool:
        """Whether the matrix must equal its transpose; every solver that needs definiteness needs that."""

    @property
    def matrix_free(self) -> bool:
        """Whether the solver takes an operator as it is; the others are handed a formed matrix."""
        return False

    def refuses(self, operator: lx.AbstractLinearOperator) -> Refusal:
        """What the solver misses in this operator, as far as its structure tells; `init` would raise then."""
        return Refusal.NONE

    @property
    @abc.abstractmethod
    def fidelity(self) -> str | None:
        """None for a classical solver; of a quantum one where its numbers come from.

        `model`: a classical solve stands in for the state. `emulated`: the circuit's exact state, and its read-out.
        `circuit`: a circuit that ran on a simulator or a device.
        """

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """How records and reports call this solver, e.g. `LU` or `QLSA(jennings2023v1)`."""

    @property
    @abc.abstractmethod
    def runs_as(self) -> str:
        """The name of what produces the numbers; another solver's where that one stands in for this one."""

    @abc.abstractmethod
    def workload(self, estimate: SystemEstimate, encoding: Encoding) -> Workload:
        """What solving such a system once takes.

        Args:
            estimate: the system's numbers.
            encoding: condition number and subnormalisation of its block encoding; classical solvers ignore it.
        """


class AbstractDelegate(AbstractSolver):
    """A solver whose numbers another lineax solver produces."""

    @property
    @abc.abstractmethod
    def inner(self) -> lx.AbstractLinearSolver:
        """The solver that runs."""

    def init(self, operator: lx.AbstractLinearOperator, options: dict[str, Any]) -> Any:
        return self.inner.init(operator, options)

    def compute(
        self, state: Any, vector: PyTree[Array], options: dict[str, Any]
    ) -> tuple[PyTree[Array], lx.RESULTS, dict[str, Any]]:
        return self.inner.compute(state, vector, options)

    def transpose(self, state: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return self.inner.transpose(state, options)

    def conj(self, state: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return self.inner.conj(state, options)

    def assume_full_rank(self) -> bool:
        return self.inner.assume_full_rank()


class AbstractQuantumSolver(AbstractSolver):
    """A quantum linear solver: an assumption set asks it for its count, and decides encoding and precision."""

    @property
    @abc.abstractmethod
    def asked_precision(self) -> float:
        """Error of the step that is asked for, 2-norm and relative, in (0, 1)."""

    @property
    @abc.abstractmethod
    def known_norm(self) -> float | None:
        """`||x||` for `||A|| = ||b|| = 1`; None where it is not known."""

    @property
    @abc.abstractmethod
    def counts_sparse_access(self) -> bool:
        """Whether a query is one of the oracles of sparse access, and not of any block encoding."""

    @abc.abstractmethod
    def count(self, encoding: Encoding, precision: Any) -> QuantumWorkload:
        """What one solve takes whose state may err by `precision`, in the 2-norm."""

    def workload(self, estimate: SystemEstimate, encoding: Encoding) -> QuantumWorkload:
        """The count at `asked_precision`, all of it the solver's own."""
        return self.count(encoding, self.asked_precision)

"""The interface of a solver: a lineax solver that also states its workload."""

import abc
import warnings
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias, TypeGuard

import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._core.arrays import Number
from .._core.costs import Cost
from .._core.records import Encoding, QuantumWorkload, SystemEstimate, Workload
from .._core.status import Refusal
from .capabilities import Capabilities

if TYPE_CHECKING:
    # What pyright takes an abstract class attribute for, which a property may fill as well.
    from typing import ClassVar as AbstractClassVar
else:
    from equinox import AbstractClassVar


Options: TypeAlias = dict[str, Any]
"""What a linear solve is given besides operator and vector, as lineax has it: each solver names the keys it reads."""

Stats: TypeAlias = dict[str, Any]
"""What a linear solve tells of itself besides value and result, as lineax has it: each solver names its keys."""


def _warn_of_fidelity(what: str) -> None:
    warnings.warn(
        f"{what}: how a quantum solve is carried out is `execution` now (modelled, emulated, circuit), since fidelity "
        "is a property of states; `fidelity` is understood for one release",
        DeprecationWarning,
        stacklevel=3,
    )


class AbstractSolver(lx.AbstractLinearSolver):
    """A `lineax.AbstractLinearSolver` that a scheduler can weigh.

    Its result is `RESULTS.successful` only where the true residual is what it claims (`_solvers.verified`); the
    linear-solve option `verify=False` leaves that, and the product it takes, to the caller. `scale=False` says that the
    right-hand side has its largest entry near 1, and spares taking it there.

    Attributes:
        capabilities: what the solver is and what it needs; a class attribute, or a property where it depends on fields.
        name: how records and reports call this solver, e.g. `LU` or `QLSA(jennings2023v1)`.
        execution: None for a classical solver; of a quantum one where its numbers come from. `modelled`: a classical
            solve stands in for the state. `emulated`: the circuit's exact state, and its read-out. `circuit`: a
            circuit that ran on a simulator or a device.
        prior: share of its iterations, in (0, 1], that is expected before any was observed; see
            `AbstractPreconditioner.prior`.
        applied_as: kernel that one application of a system that was set up runs as, where that is another than the
            set-up's; `product` is a matrix product, `substitution` two triangular solves.
        triangle: `upper` or `lower` where only that one of a formed matrix is read; None: both are.
        many: whether `init_many` works on all its matrices in one program, which takes less than one after the other;
            a calibration then measures what one of many takes.
    """

    capabilities: AbstractClassVar[Capabilities]
    name: AbstractClassVar[str]
    execution: ClassVar[str | None] = None
    prior: ClassVar[float] = 1.0
    applied_as: ClassVar[str | None] = None
    triangle: ClassVar[str | None] = None
    many: ClassVar[bool] = False

    def __init_subclass__(cls, **arguments: Any):
        super().__init_subclass__(**arguments)
        if "fidelity" in vars(cls):
            found = vars(cls)["fidelity"]
            _warn_of_fidelity(f"{cls.__name__}.fidelity is {found!r}")
            if "execution" not in vars(cls):
                cls.execution = "modelled" if found == "model" else found
            # So that the property below answers.
            del cls.fidelity  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def fidelity(self) -> str | None:
        """The name of `execution` in version 0.1, with its word for `modelled`; it warns for one release."""
        _warn_of_fidelity(f"{type(self).__name__}.fidelity was read")
        return "model" if self.execution == "modelled" else self.execution

    @property
    def stops_at(self) -> float | None:
        """Relative residual at which an iterative solver stops; the linear-solve option `rtol` overrides it."""
        return None

    @property
    def runs_as(self) -> str:
        """Name of the solver that produces the numbers, which may be another one."""
        return self.name

    @property
    def measured_as(self) -> "AbstractSolver":
        """Solver whose kernel a calibration measures, which may be another one that does the work."""
        return self

    def refuses(self, operator: lx.AbstractLinearOperator) -> Refusal:
        """Return what the solver lacks in this operator, as far as its structure shows; `init` would raise then."""
        return Refusal.NONE

    def init_many(self, matrices: Float[Array, "count n n"], options: Options) -> Any:
        """States of `init` for many matrices, their arrays stacked.

        Unless the solver does better (`many`), one after the other: a batch of LAPACK's factorisations may wait for
        ever, see `_curvature.roots.factors`.

        Args:
            matrices: what the solver's capabilities ask for, without being tagged.
            options: as those of `init`.
        """
        needs = self.capabilities
        tag = (
            lx.positive_semidefinite_tag if needs.needs_definite else lx.symmetric_tag if needs.needs_symmetric else ()
        )
        return jax.lax.map(lambda one: self.init(lx.MatrixLinearOperator(one, tag), options), matrices)

    @abc.abstractmethod
    def workload(self, estimate: SystemEstimate, encoding: Encoding) -> Workload:
        """Return the workload of solving such a system once.

        Args:
            estimate: the system's numbers.
            encoding: condition number and subnormalisation of its block encoding; classical solvers ignore it.
        """


def solve_trusting(
    solver: AbstractSolver, operator: lx.AbstractLinearOperator, vector: PyTree[Array]
) -> tuple[PyTree[Array], Int[Array, ""]]:
    """Return the solution without verification, as training and benchmarks use it, and the number of iterations.

    Args:
        solver: sets up and solves once.
        operator: of the system.
        vector: right-hand side, with its largest entry near 1.
    """
    value, _, stats = solver.compute(solver.init(operator, {"verify": False, "scale": False}), vector, {})
    return value, jnp.asarray(stats.get("num_steps", 0), jnp.int32)


class AbstractDelegate(AbstractSolver):
    """A solver that delegates the computation to another lineax solver."""

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
    """A quantum linear solver: it states its count, and an assumption set decides encoding and precision.

    Attributes:
        asked_precision: error of the step that is asked for, 2-norm and relative, in (0, 1).
        known_norm: `||x||` for `||A|| = ||b|| = 1`; None where it is not known.
        counts_sparse_access: whether a query is one of the oracles of sparse access, and not of any block encoding.
    """

    asked_precision: AbstractClassVar[float]
    known_norm: AbstractClassVar[float | None]
    counts_sparse_access: AbstractClassVar[bool]

    @abc.abstractmethod
    def count(self, encoding: Encoding, precision: Number) -> QuantumWorkload:
        """Return the count of one solve whose state may err by `precision`, in the 2-norm."""

    def built_for(self, estimate: SystemEstimate) -> Any:
        """Return the numbers for which its circuit is built and charged (`encoding.Numbers`)."""
        return estimate

    def workload(self, estimate: SystemEstimate, encoding: Encoding) -> QuantumWorkload:
        """The count at `asked_precision`, all of it the solver's own."""
        return self.count(encoding, self.asked_precision)


class Charged(Protocol):
    """Attributes of a quantum candidate that an assumption set reads, those of `AbstractQuantumSolver`."""

    @property
    def execution(self) -> str | None: ...
    @property
    def asked_precision(self) -> float: ...
    @property
    def known_norm(self) -> float | None: ...
    @property
    def counts_sparse_access(self) -> bool: ...
    def count(self, encoding: Encoding, precision: Number) -> QuantumWorkload: ...
    def built_for(self, estimate: SystemEstimate) -> Any: ...


def is_charged(solver: AbstractSolver) -> TypeGuard[Charged]:
    """Return whether a solver is charged by its count of queries, as its capabilities state."""
    return solver.capabilities.quantum


class LeastSquares(Protocol):
    """What a scheduler asks of a candidate that solves `(R^T R + m I) x = R^T u + v` from the root `R`."""

    def decomposing(self, rows: int, n: int, itemsize: int) -> Cost: ...
    def decomposed(self, root: Float[Array, "rows n"], sound: Bool[Array, ""] | None) -> Any: ...
    def damped(
        self,
        parts: Any,
        dampings: Float[Array, " k"],
        along: Float[Array, "k rows"],
        slopes: Float[Array, "k n"] | None = None,
    ) -> Float[Array, "k n"]: ...


def is_least_squares(solver: AbstractSolver) -> TypeGuard[LeastSquares]:
    """Whether a solver works on the root of a system, as its capabilities say."""
    return solver.capabilities.least_squares

"""Records that pass between stages.

Each stage reads one of them and writes the next: a `System` leaves curvature and conditioning, a `SystemEstimate`
leaves estimation, a workload leaves a solver, seconds leave the hardware.
"""

import dataclasses
import enum

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from .arrays import Number, NumberArray, filled, namespace
from .conditions import Condition, broken, in_words, met
from .coordinates import AbstractCoordinates, Standard
from .costs import Cost
from .layout import Layout
from .recurrence import Recurrence


class Kind(enum.StrEnum):
    """Certainty of a number."""

    EXACT = "exact"
    """Computed from the whole spectrum; only rounding stands between it and the truth."""
    CERTIFIED = "certified"
    """An upper bound, rigorous for the matrix as stored: rounding is allowed for (`_estimation.base.rounding`)."""
    BOUND = "bound"
    """An upper bound in exact arithmetic; rounding is not allowed for."""
    PROBABILISTIC = "probabilistic"
    """An upper bound but for a stated probability, that of an unlucky random start."""
    ESTIMATE = "estimate"
    """Close in practice, with no side guaranteed."""
    ROUGH = "rough"
    """A guess: how far off it is was not found out."""

    @property
    def place(self) -> int:
        """Position in the list of all kinds, which is what a traced record can hold of a kind."""
        return list(Kind).index(self)


@dataclasses.dataclass(frozen=True)
class Kinds:
    """Certainty of each number of a `SystemEstimate`.

    A bound lies on the side that makes the condition number large: below the smallest singular value, above everything
    else. Of `definite` only True is vouched for.
    """

    degree: Kind
    max_entry: Kind
    frobenius_norm: Kind
    spectral_norm: Kind
    smallest_singular_value: Kind
    condition_number: Kind
    definite: Kind

    @classmethod
    def all(cls, kind: Kind) -> "Kinds":
        """Return the record with the same kind for every number."""
        return cls(**{field.name: kind for field in dataclasses.fields(cls)})


class ExactSystem(eqx.Module):
    """The exact system behind a conditioned one, in the same coordinates and with the same damping.

    Attributes:
        operator: as in `System`, before anything was left out of it or put in its place.
        eigenvalue_floor: as in `System`, of this operator.
    """

    operator: lx.AbstractLinearOperator
    eigenvalue_floor: Float[Array, ""] | None


class System(eqx.Module):
    """Operator of one Newton system, with the facts known about it.

    Attributes:
        operator: real, on vectors `[n]`; a `lineax.MatrixLinearOperator` where the block is formed.
        symmetric: whether it equals its transpose by construction.
        eigenvalue_floor: scalar proven to lie at or below the smallest eigenvalue in exact arithmetic; None where
            nothing can be proven, minus infinity where nothing was for this batch. A Gauss-Newton block starts at 0,
            damping raises it, pruning voids it.
        damping: scalar, what was added to the diagonal so far.
        kept_fraction: scalar in (0, 1], nonzero entries left over nonzero entries before any pruning.
        perturbation: scalar, Frobenius norm of what pruning removed over that of the matrix before it.
        layout: where the matrices of layers lie in the block; None where no layer is recognised.
        coordinates: in which the operator is given; the step takes the gradient into them and the solution back.
        exact: what the operator approximates; None where it is that itself. `damping` is in both, a repair only here.
        dropped: `[n]`, what left each row in pruning, `sum_j |R_ij| sqrt(a_ii / a_jj)`: added to the diagonal it
            compensates (`Compensate`). None where nothing did.
        user_floor: as `eigenvalue_floor`, of what the operator approximates and in the user's coordinates, where it is
            far closer than after a change of basis. None in the user's own, and where nothing can be proven.
    """

    operator: lx.AbstractLinearOperator
    symmetric: bool = eqx.field(static=True)
    eigenvalue_floor: Float[Array, ""] | None
    damping: Float[Array, ""]
    kept_fraction: Float[Array, ""]
    perturbation: Float[Array, ""]
    layout: Layout | None = eqx.field(static=True, default=None)
    coordinates: AbstractCoordinates = Standard()
    exact: ExactSystem | None = None
    dropped: Float[Array, " n"] | None = None
    user_floor: Float[Array, ""] | None = None

    @classmethod
    def of(
        cls, matrix: Float[Array, "n n"], *, symmetric: bool, eigenvalue_floor: Float[Array, ""] | None = None
    ) -> "System":
        """A formed system as curvature leaves it: nothing added, nothing removed."""
        operator = lx.MatrixLinearOperator(matrix, lx.symmetric_tag if symmetric else ())
        return cls.over(operator, symmetric=symmetric, eigenvalue_floor=eigenvalue_floor)

    @classmethod
    def over(
        cls,
        operator: lx.AbstractLinearOperator,
        *,
        symmetric: bool,
        eigenvalue_floor: Float[Array, ""] | None = None,
        layout: Layout | None = None,
    ) -> "System":
        """A system that need not be formed."""
        zero = jnp.zeros((), operator.in_structure().dtype)
        return cls(
            operator=operator,
            symmetric=symmetric,
            eigenvalue_floor=eigenvalue_floor,
            damping=zero,
            kept_fraction=zero + 1,
            perturbation=zero,
            layout=layout,
        )

    @property
    def matrix(self) -> Float[Array, "n n"]:
        """Matrix `[n, n]`; formed on access unless `operator` is a matrix already."""
        return self.operator.as_matrix()

    @property
    def like(self) -> jax.ShapeDtypeStruct:
        """Shape and dtype of the vectors that the system acts on."""
        return self.operator.in_structure()

    @property
    def is_formed(self) -> bool:
        """Whether the matrix is available."""
        return isinstance(self.operator, lx.MatrixLinearOperator)

    def formed(self) -> "System":
        """Return the same system with its matrix available."""
        if self.is_formed:
            return self
        matrix = lx.MatrixLinearOperator(self.matrix, lx.symmetric_tag if self.symmetric else ())
        return eqx.tree_at(lambda system: system.operator, self, matrix)

    @property
    def unrepaired(self) -> ExactSystem:
        """Exact system that this one approximates, or itself if it is exact."""
        return ExactSystem(self.operator, self.eigenvalue_floor) if self.exact is None else self.exact


class Access(eqx.Module):
    """Cost of using a system's operator.

    Attributes:
        product: one product with a vector.
        forming: the matrix; nothing where it is at hand.
        gram: `R R^T` of its square root; nothing where it has none.
        rows: of that root; 0 where it has none.
    """

    product: Cost
    forming: Cost
    gram: Cost
    rows: Int[Array, ""]

    @classmethod
    def of(cls, product: Cost, forming: Cost, gram: Cost, rows: int, dtype: jnp.dtype) -> "Access":
        """Return the record from numbers.

        All become arrays, since a record has one structure whatever was counted.
        """

        def array(cost: Cost) -> Cost:
            return Cost(filled((), cost.flops, dtype), filled((), cost.bytes, dtype))

        return cls(array(product), array(forming), array(gram), filled((), rows, jnp.int32))

    @classmethod
    def dense(cls, n: int, dtype: jnp.dtype) -> "Access":
        """Return the access cost of an available matrix `[n, n]`: a product reads it once."""
        nothing = Cost(0.0, 0.0)
        return cls.of(Cost(2.0 * n**2, 1.0 * n**2 * jnp.dtype(dtype).itemsize), nothing, nothing, 0, dtype)


class SystemEstimate(eqx.Module):
    """The numbers of a system that costs depend on.

    Attributes:
        n: rows.
        degree: d, the largest number of nonzeros in a row; n for a system that was not formed.
        max_entry: largest absolute entry.
        frobenius_norm: Frobenius norm; an estimate for a system that was not formed.
        spectral_norm: largest singular value.
        log_condition_number: natural logarithm of the 2-norm condition number. The logarithm, since the paper's
            determinant-norm estimate leaves the floating-point range on ordinary blocks.
        definite: whether the matrix is positive definite; False where it is not known to be.
        presumed_definite: whether it is, or would be if nothing were rounded: formed, semidefinite by construction, and
            damped. A factorisation that shows by itself where it breaks down may be tried on it.
        matvecs: products with the matrix, and with its inverse through a factor, that finding these numbers took; one
            pass over a formed matrix, and a decomposition of it, count nothing.
        access: what using the operator takes.
        formed: whether the norms were read off a matrix; without one they come from a few products.
        formed_kinds: how sure each number of a formed system is meant to be.
        kind_index: `Kind.place` of what the condition number came to be: where rounding or too few products leave it
            open it is no longer of the kind that it was meant to be. None: as `formed_kinds` says.
        failure: probability that a number of the kind `probabilistic` is not the bound that it is said to be;
            `failure_probability` says whether there is one. Static, so of what may come out, and not of what did.
        recurrence: what iterative methods would do with the first vector of the Lanczos iteration that the estimator
            ran on the matrix; None where it ran none.
    """

    n: int = eqx.field(static=True)
    degree: Int[Array, ""]
    max_entry: Float[Array, ""]
    frobenius_norm: Float[Array, ""]
    spectral_norm: Float[Array, ""]
    log_condition_number: Float[Array, ""]
    definite: Bool[Array, ""]
    presumed_definite: Bool[Array, ""]
    matvecs: Int[Array, ""]
    access: Access
    formed: Bool[Array, ""]
    formed_kinds: Kinds = eqx.field(static=True)
    failure: float = eqx.field(static=True, default=0.0)
    recurrence: Recurrence | None = None
    kind_index: Int[Array, ""] | None = None

    @property
    def kind(self) -> Kind:
        """Certainty of the condition number; under a trace, the intended one."""
        index = self.kind_index
        if index is None or isinstance(index, Tracer | jax.ShapeDtypeStruct):
            return self.formed_kinds.condition_number
        return list(Kind)[int(index)]

    @property
    def kinds(self) -> Kinds:
        """Certainty of each number, on the host, since a record has one structure whatever was computed.

        For a system that is not formed, the largest entry is the diagonal's, which is the block's if the block is
        semidefinite.
        """
        kinds, kind = self.formed_kinds, self.kind
        if kind is not kinds.condition_number:
            kinds = dataclasses.replace(kinds, condition_number=kind, smallest_singular_value=kind)
        if self.formed:
            return kinds
        return dataclasses.replace(kinds, degree=Kind.CERTIFIED, max_entry=Kind.ESTIMATE, frobenius_norm=Kind.ESTIMATE)

    @property
    def failure_probability(self) -> float:
        """Probability that a bound is wrong; 0 if no number is of the kind `probabilistic`. On the host."""
        return self.failure if Kind.PROBABILISTIC in (self.kind, self.formed_kinds.spectral_norm) else 0.0

    @property
    def condition_number(self) -> Float[Array, ""]:
        """`exp(log_condition_number)`; infinite above the floating-point range."""
        return namespace(self.log_condition_number).exp(self.log_condition_number)

    @property
    def smallest_singular_value(self) -> Float[Array, ""]:
        """`spectral_norm / condition_number`; 0 where that is infinite."""
        return self.spectral_norm * namespace(self.log_condition_number).exp(-self.log_condition_number)


class Encoding(eqx.Module):
    """The numbers that a quantum solver's query count depends on, with alpha in one place; they broadcast.

    Attributes:
        condition_number: `||A|| / sigma_min` of the matrix itself.
        subnormalisation: `alpha / ||A|| >= 1` of the block encoding `A / alpha`. A formula takes the pair split or
            merged into the product, never both, so that the cost of `A` is the cost of `1000 A`.
        smallest_solution_norm: least `||x||` for `||A|| = ||b|| = 1`: 1 for a square matrix; the part of `b` in the
            range of a rectangular factor may be shorter.
        rectangular: whether a rectangular factor is encoded: then only a formula that applies the pseudo-inverse holds.
        other: whether another square matrix with the same solution is encoded, e.g. a preconditioned one: then what is
            known of the system's definiteness and `||x||` does not hold for it.
    """

    condition_number: Number
    subnormalisation: Number
    smallest_solution_norm: Number = 1.0
    rectangular: bool = eqx.field(static=True, default=False)
    other: bool | Bool[NumberArray, "..."] = False


class ClassicalWorkload(eqx.Module):
    """Work of a classical solver for a system; hardware converts it into seconds.

    An iterative solver states what it does once, what it does in each step, and how many steps it expects.

    Attributes:
        kernel: the name under which the hardware is calibrated, e.g. `lu`.
        flops: floating-point operations done once.
        bytes: memory traffic in bytes, once.
        steps: iterations; 0 for a direct solver. May be traced, since it depends on the condition number.
        step_flops: floating-point operations of one step.
        step_bytes: memory traffic of one step in bytes.
        setup_flops: the part of `flops` that one system takes once, however many right-hand sides it is solved for.
        setup_bytes: likewise of `bytes`.
    """

    kernel: str = eqx.field(static=True)
    flops: Number
    bytes: Number
    steps: Number = 0.0
    step_flops: Number = 0.0
    step_bytes: Number = 0.0
    setup_flops: Number = 0.0
    setup_bytes: Number = 0.0

    def amortised(self, solves: float) -> "ClassicalWorkload":
        """Return the work of one solve if `solves` of them share the set-up."""
        spared = 1 - 1 / solves
        return dataclasses.replace(
            self,
            flops=self.flops - spared * self.setup_flops,
            bytes=self.bytes - spared * self.setup_bytes,
            setup_flops=self.setup_flops / solves,
            setup_bytes=self.setup_bytes / solves,
        )

    @property
    def total_flops(self) -> Number:
        """Floating-point operations, all steps included."""
        return self.flops + self.steps * self.step_flops

    @property
    def total_bytes(self) -> Number:
        """Memory traffic in bytes, all steps included."""
        return self.bytes + self.steps * self.step_bytes


class QuantumWorkload(eqx.Module):
    """Work of a quantum linear solver for a system. Arrays of one shape, from numpy or JAX.

    A formula fills in its numbers and its own demands; the query model that it belongs to adds what all share.

    Attributes:
        queries: expected calls of the block encoding, its inverse or a controlled version, repetitions included.
            Infinite where the formula does not hold.
        state_preparations: expected preparations of the right-hand side, likewise.
        success_probability: of one repetition; 0 where the formula does not hold.
        conditions: what the formula demands, and where that is met.
        clamped: whether the condition number lay below the theorem's range and was raised to its lower end.
        extrapolated: whether a measured constant is used where nobody measured it.
        assumed: what was not given and stands at its worst case, in words.
    """

    queries: Float[NumberArray, "*shape"]
    state_preparations: Float[NumberArray, "*shape"]
    success_probability: Float[NumberArray, "*shape"]
    conditions: tuple[Condition, ...] = ()
    clamped: Bool[NumberArray, "*shape"] | bool = False
    extrapolated: Bool[NumberArray, "*shape"] | bool = False
    assumed: tuple[str, ...] = eqx.field(static=True, default=())

    @property
    def valid(self) -> Bool[NumberArray, "*shape"]:
        """Whether the formula holds for this system."""
        return met(self.conditions)

    @property
    def validity(self) -> str:
        """All conditions in words."""
        return in_words(self.conditions)

    @property
    def repetitions(self) -> Float[NumberArray, "*shape"]:
        """Expected number of runs until one succeeds; `queries` includes them."""
        return 1 / self.success_probability

    def reason(self, index: tuple[int, ...] = ()) -> str:
        """Return why the formula does not hold for one system; empty if it holds. Not under jit."""
        return broken(self.conditions, index)


Workload = ClassicalWorkload | QuantumWorkload

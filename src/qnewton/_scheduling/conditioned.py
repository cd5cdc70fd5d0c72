"""A solver with conditioning of its own: pruning, basis and shift that apply to it alone."""

import dataclasses
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, PyTree

from .._conditioning import AbstractConditioner, condition
from .._conditioning.guarantee import Definiteness
from .._core.arrays import Number
from .._core.coordinates import AbstractCoordinates, Standard
from .._core.costs import Cost, costs_by_kernel
from .._core.kinds import check_kinds, check_scalars, plain
from .._core.powers_of_two import lost_below
from .._core.records import Encoding, QuantumWorkload, System, SystemEstimate, Workload
from .._solvers import AbstractSolver, Capabilities
from .._solvers.around import AbstractAround
from .._solvers.flat import Structure, check_dense, check_real, flatten
from .._solvers.refusals import check_solver
from .._solvers.verified import Check, as_held, at_scale


def _listed(conditioning: Any) -> Any:
    return tuple(conditioning) if isinstance(conditioning, list) else conditioning


class ConditionedState(eqx.Module):
    """Data for judging a solution, the inner solver's state, and the basis in which it solves.

    Attributes:
        check: the system as it was handed over.
        inner: of the system as conditioning leaves it, on flat vectors.
        coordinates: of that system.
        like, like_transposed: structures of solutions, and of those of the transposed system.
    """

    check: Check
    inner: PyTree
    coordinates: AbstractCoordinates
    like: Structure = eqx.field(static=True)
    like_transposed: Structure = eqx.field(static=True)


class Conditioned(AbstractAround):
    """Solver of the system as its own conditioners leave it; their change of basis is undone for the solution.

    What a quantum solver wants of a system, few entries in a row and a small condition number, costs the others
    accuracy. As a candidate of `Hybrid`, `Conditioned(QLSA(precision=1e-2), [Prune(0.5)])` is a triple of conditioning,
    solver and precision: it is priced by an estimate of its own system, and what conditioning and that estimate take is
    added to its price alone, while the other candidates solve the system as it is. In `newton` that is after the shared
    conditioning.

    **What is paid for**, on the classical machine, factorisations as their own kernels and all else as the kernel
    `forming`: conditioning twice, once to estimate and
    once to solve, so that no candidate holds a matrix of its own; the estimate, factorisations and products with the
    matrix; and forming the block as often as conditioning, where it was not formed. Operations and traffic are counted
    in the traced program. Loops whose end depends on the numbers count `AbstractConditioner.turns` rounds. A change of
    basis of the right-hand side and the solution counts nothing.

    **The result** is about the system that was handed over: `RESULTS.successful` where the residual there is at most
    `tolerance`, and the inner solver met nothing wrong. Beyond that it is `RESULTS.breakdown`: pruning has changed the
    system too much. The inner solver's claim about its own system is not checked. In `newton` the residual in the
    shared system is on record (`relative_residual`), and `residual_tolerance` decides.

    The matrix is formed, square and real. Of the linear-solve options, `estimate` is of the system as conditioning
    leaves it; `eigenvalue_floor` and `layout` (a `Layout`, the positions of the layers' matrices, which `Rotate` and
    `WhitenOutputs` need) are of the given one. `stats` has the inner solver's, and `residual`. A damping of its own
    stays as it is stated, whatever factor `newton` has on the shared one.

    Attributes:
        inner: the solver, with its precision.
        conditioning: from first to last.
        tolerance: relative residual that is claimed, positive.
        always: whether its system is estimated even where it could not win, for records and for sweeps over machines.
    """

    inner: AbstractSolver
    conditioning: tuple[AbstractConditioner, ...] = eqx.field(converter=_listed)
    tolerance: float = eqx.field(static=True, converter=plain, default=0.1)
    always: bool = eqx.field(static=True, converter=plain, default=False)

    def __check_init__(self):
        check_scalars(self)
        check_solver(self.inner, "inner solver of Conditioned", "which states its inner solver's workload and needs")
        check_kinds(self.conditioning, AbstractConditioner, "Conditioned: conditioning", "Prune(0.5)")
        if not self.conditioning:
            raise ValueError(f"Conditioned got no conditioner: name one, e.g. [Prune(0.5)], or take {self.inner.name}")
        if isinstance(self.inner, Conditioned):
            raise TypeError("the inner solver of Conditioned is Conditioned itself: put all conditioners into one")
        needs = self.inner.capabilities
        if needs.needs_root or needs.needs_layers:
            raise TypeError(
                f"{self.inner.name} is no inner solver of Conditioned: it reads the layers or the root of a block that "
                "is not formed, and conditioning leaves a matrix. Use LU(), Cholesky(), CG() or a quantum solver of "
                "the matrix itself"
            )
        if not self.tolerance > 0:
            raise ValueError(f"tolerance is {self.tolerance}: a relative residual, positive, e.g. 0.1")

    @property
    def capabilities(self) -> Capabilities:
        # Definiteness and symmetry are what the inner solver asks of the system as conditioning leaves it.
        return dataclasses.replace(self.inner.capabilities, matrix_free=False, needs_matrix=True, warm_start=False)

    @property
    def name(self) -> str:
        return f"Conditioned({self.inner.name}, {', '.join(map(_said, self.conditioning))})"

    @property
    def runs_as(self) -> str:
        return f"Conditioned({self.inner.runs_as}, {', '.join(map(_said, self.conditioning))})"

    @property
    def prior(self) -> float:
        return self.inner.prior

    @property
    def stops_at(self) -> float | None:
        return self.inner.stops_at

    def count(self, encoding: Encoding, precision: Number) -> QuantumWorkload:
        """Return the inner solver's count, at the encoding of the conditioned system."""
        return self.charged.count(encoding, precision)

    def workload(self, estimate: SystemEstimate, encoding: Encoding) -> Workload:
        """Return the inner solver's workload for the conditioned system, which estimate and encoding describe."""
        return self.inner.workload(estimate, encoding)

    def conditioned(self, system: System) -> System:
        """The system that is solved, formed.

        Raises:
            ValueError: where conditioning leaves an unsymmetric system to a solver of symmetric ones.
        """
        left = condition(self.conditioning, system.formed(), jnp.ones((), system.like.dtype)).formed()
        if self.inner.capabilities.needs_symmetric and system.symmetric and not left.symmetric:
            raise ValueError(
                f"{self.name} leaves an unsymmetric system, and {self.inner.name} needs a symmetric one: prune with "
                "Prune, or take LU"
            )
        return left

    def conditioning_costs(self, system: System) -> dict[str, Cost]:
        """Return the cost of conditioning once, by shapes, for each kernel (`costs_by_kernel`).

        Args:
            system: formed; shapes serve.
        """
        found: dict[str, Cost] = {}
        one = jnp.ones((), system.like.dtype)
        for conditioner in self.conditioning:

            def apply(before: System, conditioner: AbstractConditioner = conditioner) -> System:
                return conditioner(before, one).formed()

            for kernel, cost in costs_by_kernel(apply, system, turns=conditioner.turns).items():
                found[kernel] = found.get(kernel, Cost(0.0, 0.0)) + cost
            system = eqx.filter_eval_shape(apply, system)
        return found

    def init(self, operator: lx.AbstractLinearOperator, options: dict[str, Any]) -> ConditionedState:
        """Form and condition the matrix, and set the inner solver up.

        Raises:
            ValueError: if the operator is not square and real, or not what conditioners and inner solver need.
        """
        check_dense(operator, self.name)
        check_real(operator, self.name)
        matrix = operator.as_matrix()
        definite = lx.is_positive_semidefinite(operator)
        symmetric = definite or lx.is_symmetric(operator)
        given = System.over(
            lx.MatrixLinearOperator(matrix, lx.symmetric_tag if symmetric else ()),
            symmetric=symmetric,
            eigenvalue_floor=options.get("eigenvalue_floor"),
            layout=options.get("layout"),
        )
        left = self.conditioned(given)
        # A right-hand side leaves its scale with its basis.
        known = {"verify": False, "scale": not isinstance(left.coordinates, Standard)}
        if "estimate" in options:
            known["estimate"] = options["estimate"]
        inner = self.inner.init(lx.MatrixLinearOperator(left.matrix, self._tag(left, definite)), known)
        likes = Structure.of(operator.in_structure()), Structure.of(operator.out_structure())
        return ConditionedState(Check.of(matrix, options), inner, left.coordinates, *likes)

    def compute(
        self, state: ConditionedState, vector: PyTree[Array], options: dict[str, Any]
    ) -> tuple[PyTree[Array], lx.RESULTS, dict[str, Any]]:
        """Solve the conditioned system.

        Returns:
            The solution in the basis of the right-hand side; how it went, see the class; and the inner solver's stats,
            with `residual`, `||A x - b|| / ||b||` of the system as handed over, where that is verified.
        """
        b, exponent = state.check.care.near_one(flatten(vector))
        found, result, stats = self.inner.compute(state.inner, state.coordinates.into(b), options)
        x = as_held(state.coordinates.back(found), exponent)
        stats = {name: value for name, value in stats.items() if name != "residual"}
        if state.check.care.verify:
            size = jnp.linalg.norm(b)
            scale = jnp.where(size > 0, size, 1)
            residual = jnp.linalg.norm(state.check.residual.left(x, b)) / scale
            # NaN fails the comparison.
            good = residual + lost_below(x) / scale <= self.tolerance
            result = lx.RESULTS.where((result == lx.RESULTS.successful) & ~good, lx.RESULTS.breakdown, result)
            stats["residual"] = residual
        value, result = at_scale(x, exponent, result)
        return state.like.unflatten(value), result, stats

    def transpose(self, state: ConditionedState, options: dict[str, Any]) -> tuple[ConditionedState, dict[str, Any]]:
        # (R^T A R)^T = R^T A^T R: the basis is the same.
        inner, options = self.inner.transpose(state.inner, options)
        likes = state.like_transposed, state.like
        return ConditionedState(state.check.transpose(), inner, state.coordinates, *likes), options

    def conj(self, state: ConditionedState, options: dict[str, Any]) -> tuple[ConditionedState, dict[str, Any]]:
        # Real throughout.
        return state, options

    def _tag(self, left: System, definite: bool) -> object:
        """Return the tag of the conditioned system.

        Definiteness that cannot be excluded is assumed for an inner solver that needs it.
        """
        sure = definite
        for conditioner in self.conditioning:
            kept = conditioner.guarantee.definiteness
            sure = {
                Definiteness.KEPT: sure,
                Definiteness.REGAINED: definite,
                Definiteness.MADE: left.symmetric,
                Definiteness.LOST: False,
            }[kept]
        if sure or (definite and self.inner.capabilities.needs_definite):
            return lx.positive_semidefinite_tag
        return lx.symmetric_tag if left.symmetric else ()


def _said(conditioner: AbstractConditioner) -> str:
    """Return a conditioner's name and arguments, e.g. `Prune(0.5)`."""
    parts = []
    for place, field in enumerate(dataclasses.fields(conditioner)):
        value = getattr(conditioner, field.name)
        if field.init and value != field.default:
            shown = f"{value:g}" if isinstance(value, float) else str(value)
            parts.append(shown if place == 0 else f"{field.name}={shown}")
    return f"{type(conditioner).__name__}({', '.join(parts)})"

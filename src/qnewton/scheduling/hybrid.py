"""The scheduler as a linear solver."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, PyTree

from ..core.records import System
from ..core.trees import ravel, unravel
from ..estimation import AbstractEstimator, Automatic
from ..hardware import AbstractAssumptions, ClassicalMachine, Paper, QuantumMachine
from ..solvers import LU, QLSA, AbstractSolver, Cholesky
from .calibration import calibrate_once
from .plan import Plan, make_plan
from .policy import AbstractPolicy, Fastest
from .union import StateUnion


class HybridState(eqx.Module):
    """A plan, and the factorisation of the candidate that it chose."""

    plan: Plan
    slots: tuple[Array, ...]
    in_structure: Any = eqx.field(static=True)
    out_structure: Any = eqx.field(static=True)
    symmetric: bool = eqx.field(static=True)
    transposed: bool = eqx.field(static=True)


class Hybrid(lx.AbstractLinearSolver[HybridState]):
    """Gives each system to the candidate that is predicted to finish it soonest.

    A `lineax.AbstractLinearSolver`, so `lineax.linear_solve(operator, vector, solver=Hybrid())` schedules one system;
    the solution's `stats["plan"]` is its `Plan`. The choice is traced: one branch of a `lax.switch` runs, and nothing
    recompiles when the choice changes. Do not `vmap` it: a batched switch runs every branch.

    Mark the operator with `lineax.symmetric_tag` or `lineax.positive_semidefinite_tag` where it has that property. The
    linear-solve option `eigenvalue_floor` (scalar) states a proven lower bound on the smallest eigenvalue.

    Attributes:
        solvers: the candidates; ties go to the first.
        estimator: finds the condition number that quantum costs depend on.
        classical: calibration of the machine that runs classical candidates. None: measured on this machine when first
            traced, which takes about a second (`qnewton.calibrate` does it beforehand).
        quantum: the machine that quantum candidates are charged on.
        assumptions: what a quantum solve is charged for; the first set acts, the others are recorded.
        policy: how predictions become a choice.
    """

    solvers: tuple[AbstractSolver, ...] = eqx.field(converter=tuple, default=(Cholesky(), LU(), QLSA()))
    estimator: AbstractEstimator = Automatic()
    classical: ClassicalMachine | None = None
    quantum: QuantumMachine = QuantumMachine()
    assumptions: tuple[AbstractAssumptions, ...] = eqx.field(converter=tuple, default=(Paper(),))
    policy: AbstractPolicy = Fastest()

    def __check_init__(self):
        if not self.solvers:
            raise ValueError("Hybrid got no candidates: pass at least one solver, e.g. Hybrid([LU(), QLSA()])")
        if not self.assumptions:
            raise ValueError("Hybrid got no assumption set: pass at least one, e.g. assumptions=[Paper()]")
        for what, names in (("solver", self.names), ("assumption set", tuple(a.name for a in self.assumptions))):
            if len(set(names)) < len(names):
                raise ValueError(f"Hybrid got the same {what} twice: {', '.join(names)}. Records tell them by name")

    @property
    def names(self) -> tuple[str, ...]:
        """The candidates' names, in the order of a plan's columns."""
        return tuple(solver.name for solver in self.solvers)

    def plan(self, system: System) -> Plan:
        """Estimate a system, predict every candidate and choose, without solving.

        Raises:
            ValueError: if the classical machine was calibrated for another dtype.
        """
        dtype = str(system.matrix.dtype)
        classical = calibrate_once(self.solvers, dtype) if self.classical is None else self.classical
        if classical.dtype != dtype:
            raise ValueError(
                f"the system is {dtype} and the classical machine was calibrated for {classical.dtype}: calibrate with "
                f"qnewton.calibrate(solvers, dtype={dtype!r})"
            )
        return make_plan(
            self.estimator(system),
            self.solvers,
            self.assumptions,
            classical,
            self.quantum,
            self.policy,
            symmetric=system.symmetric,
        )

    def init(self, operator: lx.AbstractLinearOperator, options: dict[str, Any]) -> HybridState:
        """Plan the system and factorise it with the chosen candidate."""
        if operator.in_size() != operator.out_size():
            raise ValueError(
                f"Hybrid solves square systems, got an operator of shape ({operator.out_size()}, {operator.in_size()})"
            )
        matrix = operator.as_matrix()
        if jnp.issubdtype(matrix.dtype, jnp.complexfloating):
            raise ValueError(f"Hybrid solves real systems, got {matrix.dtype}")
        symmetric = lx.is_symmetric(operator) or lx.is_positive_semidefinite(operator)
        floor = options.get("eigenvalue_floor")
        if floor is not None and not symmetric:
            raise ValueError(
                "Hybrid got an eigenvalue_floor for an operator that is not known to be symmetric: tag the operator "
                "with lineax.symmetric_tag, or leave the option away"
            )
        system = System.of(matrix, symmetric=symmetric, eigenvalue_floor=floor)
        plan = self.plan(system)
        union = self._union(jax.ShapeDtypeStruct(matrix.shape, matrix.dtype), symmetric)
        branches = [
            lambda m, i=i: union.pack(i, self.solvers[i].init(self._operator(i, m, symmetric), {}))
            for i in range(len(self.solvers))
        ]
        slots = _switch(plan.choice[0], branches, matrix)
        return HybridState(plan, slots, operator.in_structure(), operator.out_structure(), symmetric, False)

    def compute(
        self, state: HybridState, vector: PyTree[Array], options: dict[str, Any]
    ) -> tuple[PyTree[Array], lx.RESULTS, dict[str, Any]]:
        """Solve with the stored factorisation; `stats` holds the plan."""
        flat = ravel(jax.tree.leaves(vector))
        union = self._union(jax.ShapeDtypeStruct((flat.size, flat.size), flat.dtype), state.symmetric)

        def solve(i: int, slots: Sequence[Array], b: Float[Array, " n"]) -> tuple[Float[Array, " n"], lx.RESULTS]:
            inner, inner_options = union.unpack(i, slots), {}
            if state.transposed:
                inner, inner_options = self.solvers[i].transpose(inner, inner_options)
            value, result, _ = self.solvers[i].compute(inner, b, inner_options)
            return value, result

        branches = [lambda slots, b, i=i: solve(i, slots, b) for i in range(len(self.solvers))]
        value, result = _switch(state.plan.choice[0], branches, state.slots, flat)
        # No candidate could take it: say so by NaN rather than pass off whatever the first one returned.
        value = jnp.where(jnp.any(state.plan.feasible[0]), value, jnp.nan)
        leaves, structure = jax.tree.flatten(state.in_structure)
        return jax.tree.unflatten(structure, unravel(value, leaves)), result, {"plan": state.plan}

    def transpose(self, state: HybridState, options: dict[str, Any]) -> tuple[HybridState, dict[str, Any]]:
        # The transpose maps the other way, so its solutions have the structure of the vectors.
        ends = state.out_structure, state.in_structure
        return HybridState(state.plan, state.slots, *ends, state.symmetric, not state.transposed), options

    def conj(self, state: HybridState, options: dict[str, Any]) -> tuple[HybridState, dict[str, Any]]:
        return state, options

    def assume_full_rank(self) -> bool:
        return True

    def _operator(self, i: int, matrix: Float[Array, "n n"], symmetric: bool) -> lx.MatrixLinearOperator:
        # Tags are static and the choice is not: each branch claims what its solver needs, and the plan admits a solver
        # that needs definiteness only where the estimate found it, and one that needs symmetry only where it is.
        if self.solvers[i].needs_definite:
            return lx.MatrixLinearOperator(matrix, lx.positive_semidefinite_tag)
        return lx.MatrixLinearOperator(matrix, lx.symmetric_tag if symmetric or self.solvers[i].needs_symmetric else ())

    def _union(self, matrix: jax.ShapeDtypeStruct, symmetric: bool) -> StateUnion:
        return StateUnion(
            [
                eqx.filter_eval_shape(lambda m, i=i: self.solvers[i].init(self._operator(i, m, symmetric), {}), matrix)
                for i in range(len(self.solvers))
            ]
        )


def _switch(index: Array, branches: list, *operands: Any) -> Any:
    return branches[0](*operands) if len(branches) == 1 else jax.lax.switch(index, branches, *operands)

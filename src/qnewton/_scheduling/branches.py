"""Branches of the scheduler's switch: set up one candidate, and solve with it."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, Int

from .._core.layout import Layout
from .._core.records import SystemEstimate
from .._solvers import AbstractSolver
from .._solvers.base import Options
from .._solvers.verified import Care
from .union import StateUnion


class Executed(eqx.Module):
    """Results of an emulated candidate's circuits; zeros, and 1, for any other.

    Attributes:
        queries: of the block encoding, copies and repetitions included.
        success_probability: of one application.
        outcome: an `Outcome` of the solvers, which has the remedy.
    """

    queries: Float[Array, ""]
    success_probability: Float[Array, ""]
    outcome: Int[Array, ""]


Solved = tuple[Float[Array, " n"], lx.RESULTS, Int[Array, ""], Executed]


class Known(eqx.Module):
    """Facts about a system besides its matrix.

    Attributes:
        symmetric: whether it is.
        care: what is left to whoever solves it.
        layout: where the matrices of layers lie; None where nobody asks.
        eigenvalue_floor: below its eigenvalues; None where nobody asks, or none is known.
    """

    symmetric: bool = eqx.field(static=True)
    care: Care = eqx.field(static=True)
    layout: Layout | None = eqx.field(static=True, default=None)
    eigenvalue_floor: Float[Array, ""] | None = None

    def options(self, estimate: SystemEstimate | None) -> Options:
        """Return the options of the linear solve.

        Args:
            estimate: of the system that the candidate solves.
        """
        # Emulated circuits are built for the numbers that are estimated, not for those that are true.
        asked = {"estimate": estimate, **self.care._asdict()}
        own = {"layout": self.layout, "eigenvalue_floor": self.eigenvalue_floor}
        return asked | {name: value for name, value in own.items() if value is not None}


def set_up(solver: AbstractSolver, matrix: Float[Array, "n n"], known: Known, estimate: SystemEstimate | None) -> Any:
    """Return a candidate's state for a matrix; None if it cannot take one."""
    operator = lx.MatrixLinearOperator(matrix, _tag(solver, known.symmetric))
    return None if solver.refuses(operator) else solver.init(operator, known.options(estimate))


def solve(solver: AbstractSolver, state: Any, transposed: bool, vector: Float[Array, " n"]) -> Solved:
    """Solve from the state that `set_up` returned."""
    if state is None:
        return _not_solved(vector)
    state, options = solver.transpose(state, {}) if transposed else (state, {})
    return _solved(*solver.compute(state, vector, options))


def solve_once(
    solver: AbstractSolver,
    operator: lx.AbstractLinearOperator,
    known: Known,
    estimate: SystemEstimate,
    vector: Float[Array, " n"],
) -> Solved:
    """Set up and solve; formed only for a candidate that needs a matrix."""
    tag = _tag(solver, known.symmetric)
    if solver.refuses(operator):
        return _not_solved(vector)
    if solver.capabilities.matrix_free and not isinstance(operator, lx.MatrixLinearOperator):
        tagged = lx.TaggedLinearOperator(operator, tag)
    else:
        tagged = lx.MatrixLinearOperator(operator.as_matrix(), tag)
    return _solved(*solver.compute(solver.init(tagged, known.options(estimate)), vector, {}))


def union_of(
    solvers: Sequence[AbstractSolver],
    matrix: jax.ShapeDtypeStruct | Float[Array, "n n"],
    known: Known,
    estimates: Sequence[SystemEstimate],
) -> StateUnion:
    """Return the union of the candidates' states for a matrix of that shape, with each one's estimate."""
    like = jax.ShapeDtypeStruct(matrix.shape, matrix.dtype)
    return StateUnion(
        [
            eqx.filter_eval_shape(lambda m, e, one=one: set_up(one, m, known, e), like, estimate)
            for one, estimate in zip(solvers, estimates, strict=True)
        ]
    )


def switch(index: Array, branches: list, *operands: Any) -> Any:
    """Return `jax.lax.switch`, or the single branch if there is no choice."""
    return branches[0](*operands) if len(branches) == 1 else jax.lax.switch(index, branches, *operands)


def _tag(solver: AbstractSolver, symmetric: bool) -> object:
    # Tags are static and the choice is not: each branch claims what its solver needs, and the plan admits a solver
    # that needs definiteness only where the estimate found it, and one that needs symmetry only where it is.
    needs = solver.capabilities
    if needs.needs_definite:
        return lx.positive_semidefinite_tag
    return lx.symmetric_tag if symmetric or needs.needs_symmetric else ()


def _solved(value: Float[Array, " n"], result: lx.RESULTS, stats: dict[str, Any]) -> Solved:
    executed = Executed(
        queries=jnp.asarray(stats.get("queries", 0.0), value.dtype),
        success_probability=jnp.asarray(stats.get("success_probability", 1.0), value.dtype),
        outcome=jnp.asarray(stats.get("outcome", 0), jnp.int32),
    )
    return value, result, jnp.asarray(stats.get("num_steps", 0), jnp.int32), executed


def _not_solved(vector: Float[Array, " n"]) -> Solved:
    """Return the result of a candidate that cannot be set up: the plan prefers any candidate that can."""
    return _solved(jnp.full_like(vector, jnp.nan), lx.RESULTS.breakdown, {})

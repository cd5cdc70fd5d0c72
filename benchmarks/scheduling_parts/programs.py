"""What `scheduling.py` times, compiled: every candidate alone, and the scheduler's own program."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx

import qnewton as qn
from qnewton._core.operators import Shifted
from qnewton._core.records import System, SystemEstimate
from qnewton._solvers.base import solve_trusting

RTOL = 1e-3


def candidates(n: int, eigh_largest: int, *, formed: bool) -> tuple[Any, ...]:
    """Direct solvers, `Eigh` up to a size, and CG and MINRES, plain and with Jacobi.

    Of operators there are the dual solve and K-FAC besides; EKFAC and Nystrom are not raced.
    """
    iterative = [
        method(RTOL, preconditioner=inner)
        for method in (qn.CG, qn.MINRES)
        for inner in (qn.solvers.Identity(), qn.Jacobi())
    ]
    if not formed:
        return (
            *(qn.Cholesky(), qn.LU(), qn.Dual(), *iterative),
            *(method(RTOL, preconditioner=qn.KFAC()) for method in (qn.CG, qn.MINRES)),
        )
    return (qn.Cholesky(fallback=True), qn.LU(), *([qn.Eigh()] if n <= eigh_largest else []), *iterative)


def decisive(estimate: SystemEstimate) -> tuple[jax.Array, ...]:
    """What of an estimate the predictions of classical candidates rest on, size and access aside."""
    return estimate.log_condition_number, estimate.recurrence.log_cg, estimate.recurrence.log_minres


def recorded(plan: Any) -> tuple[jax.Array, ...]:
    """What a run keeps of a plan; the rest it has already."""
    return plan.choice, plan.verdict, plan.offers.seconds, plan.offers.refusal, plan.offers.expected_steps


class Programs:
    """Everything that is timed, compiled once per size, or per block that is not formed.

    A block is given as `held`: its matrix, or the arrays of its operator.

    Attributes:
        hybrid: the scheduler.
        loops: how often `alone`, `solve` and `estimate_again` do what they do.
        alone: of each candidate `(None, held, vector) -> solution, iterations`.
        estimate: `(floor, held) -> estimate`, by the scheduler's estimator; `estimate_again` likewise.
        plan: `(known, held) -> plan`, where known are `floor, estimate, turn`.
        choose: `((known, held), numbers) -> what is recorded of the plan`, 200 times.
        solve: `(known, held, vector, numbers) -> solution, what is recorded of the plan, iterations`.
    """

    def __init__(self, n: int, hybrid: qn.Hybrid, operator_of: Callable[[Any], lx.AbstractLinearOperator]):
        self.hybrid = hybrid
        self.loops = loops = 1 if n > 4000 else min(200, max(4, int(1e10 / n**3)))

        def over(held: Any, floor: jax.Array) -> System:
            operator = operator_of(held)
            if isinstance(operator, Shifted):
                return System.over(operator, symmetric=True, eigenvalue_floor=floor)
            return System.of(operator.as_matrix(), symmetric=True, eigenvalue_floor=floor)

        def estimate(floor: jax.Array, held: Any) -> Any:
            return hybrid.estimator(over(held, floor))

        def plan(known: Any, held: Any) -> Any:
            floor, estimate, turn = known
            return hybrid.plan(over(held, floor), estimate, turn)

        def choose(fixed: Any, numbers: Any) -> Any:
            (floor, estimate, turn), held = fixed
            return recorded(plan((floor, eqx.tree_at(decisive, estimate, numbers), turn), held))

        def solve(known: Any, held: Any, vector: jax.Array, numbers: Any) -> Any:
            floor, estimate, turn = known
            estimate = eqx.tree_at(decisive, estimate, numbers)
            options = {
                "eigenvalue_floor": floor,
                "estimate": estimate,
                "turn": turn,
                "once": True,
                "verify": False,
                "scale": False,
            }
            value, _, stats = hybrid.compute(hybrid.init(operator_of(held), options), vector, options)
            return value, recorded(stats["plan"]), stats["num_steps"]

        self.alone = [jax.jit(_again(_alone(solver, operator_of), loops)) for solver in hybrid.solvers]
        self.estimate, self.estimate_again = jax.jit(estimate), jax.jit(_again(estimate, loops))
        self.plan, self.choose = jax.jit(plan), jax.jit(_again(choose, 200))
        self.solve = jax.jit(_again(solve, loops))


def _alone(solver: Any, operator_of: Callable[[Any], lx.AbstractLinearOperator]) -> Callable:
    tag = lx.positive_semidefinite_tag if solver.capabilities.needs_definite else lx.symmetric_tag

    def solve(_: None, held: Any, vector: jax.Array) -> tuple[jax.Array, jax.Array]:
        operator = operator_of(held)
        if solver.capabilities.matrix_free and isinstance(operator, Shifted):
            tagged = lx.TaggedLinearOperator(operator, tag)
        else:
            tagged = lx.MatrixLinearOperator(operator.as_matrix(), tag)
        return solve_trusting(solver, tagged, vector)

    return solve


def _again(function: Callable, loops: int) -> Callable:
    """`function(fixed, *moving)` as often, none of whose turns can be left out: each waits for the one before.

    One entry of each moving array is written, in place: a sum with the whole of it would be a copy that some programs
    fuse into their first product and others cannot. What is fixed is not written, since each scalar costs a kernel in
    every turn that no training step has; nothing that the function computes may rest on it alone.
    """
    if loops == 1:
        return function

    def run(fixed: Any, *moving: Any) -> Any:
        def turn(_: Any, carry: Any) -> Any:
            moving, before = carry
            nothing = 0 * jax.tree.leaves(before)[0].ravel()[0]
            fresh = jax.tree.map(
                lambda x: x if x.dtype == bool else x.at[(0,) * x.ndim].add(nothing.astype(x.dtype)), moving
            )
            return fresh, function(fixed, *fresh)

        first = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(function, fixed, *moving))
        return jax.lax.fori_loop(0, loops, turn, (moving, first))[1]

    return run

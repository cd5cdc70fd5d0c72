"""The damped least squares of a fit under one scheduler: from the root of their systems, or from its square."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._core.status import Verdict
from .._pricing.need import residual_for
from .._solvers import AbstractSolver
from .._solvers.base import is_least_squares
from .branches import switch
from .group_plan import GroupPlan
from .groups import GroupSolver
from .one_system import each_of, iterated, state_of
from .union import StateUnion

Solve = Callable[[Float[Array, "k rows"], Float[Array, "k n"] | None], Float[Array, "k n"]]


@dataclass(frozen=True)
class Fit:
    """The systems `R^T R + m I` of several dampings, whose root is at hand.

    Attributes:
        root: `R` `[rows, n]`.
        dampings: `m`, positive.
        sound: False makes NaN of the solutions; the root is finite, whatever it says.
        squared_in: number type in which `R^T R` is formed and factored.
    """

    root: Float[Array, "rows n"]
    dampings: Float[Array, " k"]
    sound: Bool[Array, ""]
    squared_in: jnp.dtype

    def opened(self, solver: GroupSolver, last: Int[Array, " sets"] | None = None) -> tuple[GroupPlan, Solve]:
        """The plan, and the solve `(R^T R + m I)^-1 (R^T u + v)` for each damping, which may be called several times.

        What nobody can take is NaN. One row of `u` and `v` serves all dampings.

        Args:
            solver: of the group, whose `root_rows` are those of the root.
            last: its last choice under each set; None before the first.
        """
        if not solver.estimates:
            only = solver.solvers[0]
            state = self._set_up(only, None)
            return solver.settled, lambda along, slopes: self._solve(only, state, along, slopes, only.stops_at)
        systems = self._systems(self.dampings.dtype)
        estimates = each_of(lambda pair: solver.estimate(*pair), ((systems,), (self.dampings,)))
        second = solver.second_of((systems,), (self.dampings,))
        plan, index = solver.planned(estimates, last, second)
        shapes = [eqx.filter_eval_shape(partial(self._set_up, one), estimates) for one in solver.solvers]
        union = StateUnion(shapes)
        packs = [
            lambda given, k=k, one=one: union.pack(k, self._set_up(one, given)) for k, one in enumerate(solver.solvers)
        ]
        slots = switch(index, packs, estimates)
        nobody = plan.verdict[0] == Verdict.NOBODY
        group = solver.group
        wanted = residual_for(group.need, estimates[0].log_condition_number, group.power)

        def solve(along: Float[Array, "k rows"], slopes: Float[Array, "k n"] | None) -> Float[Array, "k n"]:
            branches = [
                lambda given, k=k, one=one: self._solve(one, union.unpack(k, given[0]), given[1], given[2], wanted)
                for k, one in enumerate(solver.solvers)
            ]
            return jnp.where(nobody, jnp.nan, switch(index, branches, (slots, along, slopes)))

        return plan, solve

    def _systems(self, dtype: jnp.dtype) -> Float[Array, "k n n"]:
        root = self.root.astype(dtype)
        square = jnp.matmul(root.T, root, precision=jax.lax.Precision.HIGHEST)
        return square + self.dampings.astype(dtype)[:, None, None] * jnp.eye(root.shape[1], dtype=dtype)

    def _set_up(self, solver: AbstractSolver, estimates: Any) -> Any:
        if is_least_squares(solver):
            return solver.decomposed(self.root, self.sound)
        systems = self._systems(self.squared_in)
        if estimates is None:
            return each_of(lambda one: state_of(solver, (one,), None)[0], systems)
        return each_of(lambda given: state_of(solver, (given[0],), given[1])[0], (systems, estimates))

    def _solve(
        self,
        solver: AbstractSolver,
        state: Any,
        along: Float[Array, "k rows"],
        slopes: Float[Array, "k n"] | None,
        wanted: Any,
    ) -> Float[Array, "k n"]:
        if is_least_squares(solver):
            return solver.damped(state, self.dampings, along, slopes)
        dtype = self.squared_in
        right = along.astype(dtype) @ self.root.astype(dtype)
        right = right if slopes is None else right + slopes.astype(dtype)
        right = jnp.where(self.sound, jnp.broadcast_to(right, (self.dampings.size, right.shape[1])), jnp.nan)
        scale = jnp.max(jnp.abs(right), axis=1, keepdims=True)
        scale = jnp.where((scale > 0) & jnp.isfinite(scale), scale, 1)

        if solver.capabilities.matrix_free and not solver.capabilities.quantum:
            residuals = jnp.broadcast_to(jnp.asarray(wanted, dtype), len(right))
            found = each_of(
                lambda given: iterated(solver, (given[0],), given[1][:, None], given[2])[:, 0],
                (state, right / scale, residuals),
            )
        else:
            found = each_of(lambda given: solver.compute(given[0], given[1], {})[0], (state, right / scale))
        return (found * scale).astype(along.dtype)

"""Leaving out the rows and columns of a block that are zero over the whole batch."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, Int

from .._core.operators import AbstractCurvatureOperator, Shifted

Solve = Callable[
    [lx.AbstractLinearOperator, Float[Array, " n"], Float[Array, " n"] | None],
    tuple[Float[Array, " n"], Int[Array, ""]],
]


def solve_on_support(
    operator: lx.AbstractLinearOperator,
    vector: Float[Array, " n"],
    solve: Solve,
    every: int = 1,
    start: Float[Array, " n"] | None = None,
) -> tuple[Float[Array, " n"], Int[Array, ""]]:
    """Solve an unformed system on the smallest of the block's `reductions` that holds its support.

    Exact: where row and column are zero, the solution is the right-hand side over the shift. How many they are is known
    at run time only, so that each size is compiled, and one of them runs.

    Args:
        operator: of the system; anything but a `Shifted` block is solved whole.
        vector: right-hand side `[n]`.
        solve: `(operator, vector, start)` to the solution and the number of iterations, for any size.
        every: take only every so many of the block's reductions, since each is compiled.
        start: first guess at the solution `[n]`; None where there is none.
    """
    base = operator.base if isinstance(operator, Shifted) else None
    if not isinstance(operator, Shifted) or not isinstance(base, AbstractCurvatureOperator) or not base.reductions:
        return solve(operator, vector, start)

    def cut_to(size: int) -> Callable[[], tuple[Float[Array, " n"], Int[Array, ""]]]:
        def branch() -> tuple[Float[Array, " n"], Int[Array, ""]]:
            reduced, kept = base.reduced(size)
            value, iterations = solve(
                Shifted(reduced, operator.shift, operator.definite),
                vector[kept],
                None if start is None else start[kept],
            )
            return (vector / operator.shift).at[kept].set(value), iterations

        return branch

    sizes = base.reductions[::every]
    index = jnp.searchsorted(jnp.asarray(sizes), base.support())
    return jax.lax.switch(index, [*(cut_to(size) for size in sizes), lambda: solve(operator, vector, start)])

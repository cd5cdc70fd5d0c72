"""Programs that XLA compiles faster: scalar bookkeeping in one kernel, short stacks without copies."""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core as jex
from jaxtyping import Array, PyTree

Results = TypeVar("Results", bound=PyTree)

LARGE = 2**16
"""Numbers in a vector from which a copy of it takes longer than it spares to treat two vectors as one array."""


def in_one_kernel(function: Callable[[], Results]) -> Results:
    """Return the results of a function of captured scalars and pairs, computed in one kernel.

    Compiling a step takes XLA about as long for a scalar's `where` as for a matrix: each result becomes a kernel of its
    own, 10 ms on a CPU. A loop whose body touches less than 1 kB is one kernel there, whatever it holds, so this is a
    loop of one pass. Larger functions are computed as well, and gain nothing.

    Args:
        function: pure; its results have shapes that do not depend on numbers.
    """
    closed, shapes = jax.make_jaxpr(function, return_shape=True)()
    # What the function closes over are its arguments here: from jax 0.11 on a program holds its constants, and the rule
    # below, which outlives the trace, would hold the trace's.
    program = closed.jaxpr.replace(constvars=[], invars=list(closed.jaxpr.constvars))
    avals = closed.out_avals

    def plainly(*given: Array) -> list[Array]:
        return jex.jaxpr_as_fun(jex.ClosedJaxpr(program, ()))(*given)

    @jax.custom_jvp
    def looped(*given: Array) -> list[Array]:
        def once(_: tuple[Array, list[Array]]) -> tuple[Array, list[Array]]:
            return jnp.ones((), bool), plainly(*given)

        # XLA undoes a loop that it sees to have one pass; it does not look through the barrier.
        done = jax.lax.optimization_barrier(jnp.zeros((), bool))
        # Never read. Not all the same, which would be a kernel that fills an array.
        start: list[Any] = [
            np.arange(math.prod(aval.shape))[::-1].reshape(aval.shape).astype(aval.dtype) for aval in avals
        ]
        return jax.lax.while_loop(lambda state: ~state[0], once, (done, start))[1]

    # Derivatives leave the loop out: reverse mode cannot pass it.
    looped.defjvp(lambda given, tangents: jax.jvp(plainly, given, tangents))
    return jax.tree.unflatten(jax.tree.structure(shapes), looped(*closed.consts))


def paired(first: Array, second: Array) -> Array:
    """Return `jnp.stack` of two computed arrays by one loop that selects, instead of one for each."""
    place = np.asarray([True, False]).reshape(2, *[1] * first.ndim)
    return jax.lax.select(
        jnp.broadcast_to(place, (2, *first.shape)), *(jnp.broadcast_to(one, (2, *one.shape)) for one in (first, second))
    )

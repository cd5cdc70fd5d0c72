"""Square roots of the curvature in the outputs, for all examples at once."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core as jex
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._core.jaxprs import reached
from .._core.pieces import largest_of_all
from .._core.traces import over_last, trace
from .examples import Examples

UNROLLED = 3
"""Outputs up to which a factorisation is written out entry by entry: faster to run, and to compile, than a loop."""


def batched_root(
    matrices: Float[Array, "batch c c"], traces: Float[Array, "2"] | None = None
) -> Float[Array, "batch c c"]:
    """Lower triangular `L` with `L L^T = D + delta I`, `delta` of the order of rounding, for semidefinite `D`.

    The curvature of cross-entropy is singular, so a plain Cholesky factorisation would fail on rounding. That is as
    large for an example whose softmax has saturated as for the others, although its `D` is small: `delta` goes with the
    largest of the batch. An indefinite `D` (a loss that is not convex in the outputs) gives NaN.

    Args:
        matrices: `D`, in any unit.
        traces: the largest of `D`, and the largest that it has at other outputs, as of `largest_terms`. Where the
            softmax of the whole batch has saturated none of its own is as large as the rounding, and a root that fails
            is tried again with a `delta` of the latter; None leaves NaN.
    """
    size, identity = matrices.shape[-1], jnp.eye(matrices.shape[-1], dtype=matrices.dtype)
    tried = _shifts(matrices, traces)
    if size <= UNROLLED:
        # Both of them at once, which costs less than to ask whether the second one is needed.
        shifted = matrices + tried[:, None, None, None] * identity
        entries = [[jnp.sqrt(shifted[..., 0, 0])]] if size == 1 else _entries(shifted)
        good = jnp.isfinite(sum(entry[0] for row in entries for entry in row))
        if traces is not None:
            entries = [[jnp.where(good, entry[0], entry[1]) for entry in row] for row in entries]
        else:
            entries = [[entry[0] for entry in row] for row in entries]
        return _triangular(entries)

    def root_with(delta: Float[Array, ""]) -> Float[Array, "batch c c"]:
        return factors(matrices + delta * identity)

    if traces is None:
        return root_with(tried[0])

    def proceed(state: tuple[Float[Array, "batch c c"], Int[Array, ""]]) -> Bool[Array, ""]:
        root, count = state
        return (count == 0) | (count == 1) & ~jnp.all(jnp.isfinite(root))

    def attempt(state: tuple[Float[Array, "batch c c"], Int[Array, ""]]) -> tuple[Array, Array]:
        root, count = state
        again = root_with(tried[count])
        return jnp.where(jnp.isfinite(jnp.sum(root, axis=(1, 2), keepdims=True)), root, again), count + 1

    # A loop, so that the factorisation is compiled once.
    start = jnp.full_like(matrices, jnp.nan), jnp.zeros((), jnp.int32)
    return jax.lax.while_loop(proceed, attempt, start)[0]


def _shifts(matrices: Float[Array, "batch c c"], traces: Float[Array, "2"] | None) -> Float[Array, "2"]:
    """The two `delta` of `batched_root`."""
    size, limits = matrices.shape[-1], jnp.finfo(matrices.dtype)
    rounding = 8 * size * limits.eps
    # One output has no rounding of others.
    least = np.asarray([0 if size == 1 else limits.tiny, 0], matrices.dtype)
    shares = np.asarray([0 if size == 1 else rounding, rounding], matrices.dtype)
    terms = largest_of_all(jnp.max(trace(matrices))) if traces is None else traces.astype(matrices.dtype)
    return terms * shares + least


def positive_root(
    matrices: Float[Array, "batch c c"], traces: Float[Array, "2"] | None = None
) -> Float[Array, "batch c c"]:
    """`batched_root`, and for an indefinite matrix the root of its diagonal's positive part.

    What is not finite stays so.

    Args:
        matrices: as of `batched_root`.
        traces: likewise.
    """
    root = batched_root(matrices, traces)
    # Of the order of rounding, so that a slope without curvature of its own can be expressed by the root.
    least = jnp.maximum(_shifts(matrices, traces)[0], jnp.finfo(matrices.dtype).tiny)
    spoilt = 0 * jnp.sum(matrices, axis=(1, 2), keepdims=True)
    diagonal = jnp.diagonal(matrices, axis1=1, axis2=2)[:, :, None]
    instead = jnp.sqrt(jnp.maximum(diagonal, 0) + least) * jnp.eye(matrices.shape[-1], dtype=root.dtype) + spoilt
    return jnp.where(jnp.isfinite(jnp.sum(root, axis=(1, 2), keepdims=True)), root, instead)


class LossDerivatives(NamedTuple):
    """Derivatives of every example's loss with respect to its outputs.

    Attributes:
        curvature: Hessian at the outputs.
        slope: there.
        trace_at_zero: of the Hessian where the outputs are zero; 0 where the loss is not defined there.
        slope_at_zero: its largest entry there; 0 likewise.
    """

    curvature: Float[Array, "batch c c"]
    slope: Float[Array, "batch c"]
    trace_at_zero: Float[Array, " batch"]
    slope_at_zero: Float[Array, " batch"]

    @classmethod
    def of(cls, examples: Examples, outputs: Float[Array, "batch c"]) -> "LossDerivatives":
        """Evaluate the derivatives at the outputs, and at zero."""

        def slopes(z: Float[Array, " c"], y: PyTree) -> tuple[Float[Array, " c"], Float[Array, " c"]]:
            slope = jax.grad(examples.loss)(z, y)
            return slope, slope

        # At both outputs by one program: two would compile the same twice.
        both = jax.vmap(jax.vmap(jax.jacfwd(slopes, has_aux=True)), in_axes=(0, None))
        (curvature, at_zero), (slope, slope_at_zero) = both(
            jnp.stack([outputs, jnp.zeros_like(outputs)]), examples.batch[1]
        )
        terms = trace(at_zero), over_last(jnp.abs(slope_at_zero), largest=True)
        return cls(curvature, slope, *(jnp.where(jnp.isfinite(term), term, 0) for term in terms))


def same_hessian(examples: Examples, outputs: Float[Array, "batch c"]) -> Callable[[], Float[Array, "c c"]] | None:
    """Return the Hessian of an example's loss in its outputs where neither outputs nor targets enter it.

    So it is for squares without weights. None where the program does not show that, or shows that it is zero.

    Args:
        examples: whose losses they are.
        outputs: of all examples, for their shape.
    """
    struct = jax.ShapeDtypeStruct(outputs.shape[1:], outputs.dtype)
    targets = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), examples.batch[1])

    def product(along: Float[Array, " c"], z: Float[Array, " c"], y: PyTree) -> Float[Array, " c"]:
        return jax.jvp(lambda z: jax.grad(examples.loss)(z, y), (z,), (along,))[1]

    closed = jax.make_jaxpr(product)(struct, struct, targets)
    along, *others = closed.jaxpr.invars
    marks = [True] + [False] * len(others)
    if any(reached(closed.jaxpr, [not own for own in marks])) or not any(reached(closed.jaxpr, marks)):
        return None
    # Not read.
    zeros = [np.zeros(one.aval.shape, one.aval.dtype) for one in others]
    apply = jex.jaxpr_as_fun(closed)
    identity = np.eye(along.aval.shape[0], dtype=outputs.dtype)
    return lambda: jax.vmap(lambda column: apply(column, *zeros)[0])(identity)


def largest_terms(
    trace_at_zero: Float[Array, ""], slope_at_zero: Float[Array, ""], size: Float[Array, ""]
) -> Float[Array, ""]:
    """Return the size of the terms that make up a Hessian in the outputs, however small their difference is.

    The largest trace where the outputs are zero and no softmax has saturated, or the slope there over the size of the
    outputs, whichever is more: far out on a loss with tails (`sqrt(1 + r^2)`) there is no curvature at zero, either.

    Args:
        trace_at_zero: the largest of `LossDerivatives`.
        slope_at_zero: likewise.
        size: of the outputs, the largest.
    """
    steepness = slope_at_zero / jnp.where(size > 0, size, 1)
    return jnp.maximum(trace_at_zero, jnp.where(jnp.isfinite(steepness), steepness, 0))


def factors(matrices: Float[Array, "batch c c"]) -> Float[Array, "batch c c"]:
    """Return Cholesky factors, one matrix after the other; at least the last entry is NaN for an indefinite matrix.

    `jnp.linalg.cholesky` of the batch is avoided. It shares its work among threads, and if two of them run at once on
    fewer threads than they request, jaxlib 0.10.2 waits forever. One by one costs a third more at worst.
    """
    if matrices.shape[-1] > UNROLLED:
        return jax.lax.map(jnp.linalg.cholesky, matrices)
    return _triangular(_entries(matrices))


def _entries(matrices: Float[Array, "... c c"]) -> list[list[Float[Array, "..."]]]:
    """Return the factors' rows, each up to the diagonal; a failing column puts NaN into every later one."""
    rows: list[list[Array]] = []
    for i in range(matrices.shape[-1]):
        row: list[Array] = []
        for j in range(i + 1):
            # The mean of both triangles, as `jnp.linalg.cholesky` takes it.
            left = (matrices[..., i, j] + matrices[..., j, i]) / 2
            above = row if i == j else rows[j]
            for k in range(j):
                left = left - row[k] * above[k]
            row.append(left / above[j] if i > j else jnp.sqrt(jnp.where(left > 0, left, jnp.nan)))
        rows.append(row)
    return rows


def _triangular(rows: list[list[Float[Array, "..."]]]) -> Float[Array, "... c c"]:
    size, zero = len(rows), jnp.zeros_like(rows[0][0])
    entries = jnp.stack([entry for row in rows for entry in row + [zero] * (size - len(row))], axis=-1)
    return entries.reshape(*zero.shape, size, size)


def times(root: Float[Array, "batch c a"], vectors: Float[Array, "batch c"]) -> Float[Array, "batch a"]:
    """`L^T z` for every example; of few outputs as part of what else is computed from it."""
    if root.shape[-1] > UNROLLED:
        return jnp.einsum("nca,nc->na", root, vectors)
    return jnp.sum(root * vectors[:, :, None], axis=1)


def solved(root: Float[Array, "batch c c"], right: Float[Array, "batch c"]) -> Float[Array, "batch c"]:
    """`L^-1 b` for every example, `L` lower triangular."""
    size = root.shape[-1]
    if size > UNROLLED:
        # One by one for the reason that `factors` gives.
        solve = partial(jax.lax.linalg.triangular_solve, left_side=True, lower=True)
        return jax.lax.map(lambda pair: solve(pair[0], pair[1][:, None])[:, 0], (root, right))
    found: list[Array] = []
    for i in range(size):
        left = right[:, i]
        for j, known in enumerate(found):
            left = left - root[:, i, j] * known
        found.append(left / root[:, i, i])
    return jnp.stack(found, axis=1)

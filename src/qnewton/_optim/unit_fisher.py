"""The empirical Fisher matrix unit by unit: one block per output of a layer and per token of a table."""

import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from .._core.status import Status
from .._core.traces import trace
from .._curvature.chunks import sum_over_chunks
from .._curvature.point import Point

CHUNK_BYTES = 2**26
"""Memory for the gradients of the examples that are handled together."""
UNSEEN = 1e-4
"""Damping in units of the tensor's mean curvature: bounds the steps of units that hardly any gradient reached."""


def units_of(shape: tuple[int, ...], largest: int) -> tuple[int, int]:
    """How many blocks a tensor falls into, and their size.

    A matrix has one per row (what feeds one output; one token's embedding), so has a convolution kernel; a vector is
    one block. What would exceed `largest` falls into blocks of one.
    """
    count, size = (shape[0], math.prod(shape[1:])) if len(shape) > 1 else (1, math.prod(shape))
    return (count, size) if size <= largest else (count * size, 1)


def second_moments(point: Point, units: Sequence[tuple[int, int]]) -> list[Float[Array, "units d d"]]:
    """`sum_n w_n g_n g_n^T / sum_n w_n` within each unit of each tensor, `g_n` the gradient of example n's mean loss.

    Args:
        point: where the gradients are taken.
        units: of each leaf of the parameters, as `units_of` has them.
    """
    scored, params = point.scored().examples, point.params

    def rows(example: PyTree) -> list[Array]:
        return jax.tree.leaves(jax.grad(lambda p: scored.outputs(p, example)[0])(params))

    def add(total: list[Array], chunk: PyTree) -> list[Array]:
        found = [row.reshape(-1, *unit) for row, unit in zip(jax.vmap(rows)(chunk), units, strict=True)]
        return [old + jnp.einsum("mka,mkb->kab", row, row) for old, row in zip(total, found, strict=True)]

    leaves = jax.tree.leaves(params)
    zero = [jnp.zeros((count, size, size), leaf.dtype) for leaf, (count, size) in zip(leaves, units, strict=True)]
    each = sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
    return [total / scored.total for total in sum_over_chunks(add, zero, scored.batch[0], each, CHUNK_BYTES)]


class UnitInverse(eqx.Module):
    """`s_u (F_u + lambda_u I)^-1` for every unit u: a Newton direction in units of parameters.

    With `t_u = tr F_u / d` the mean square of an entry of a gradient, `lambda_u = damping t_u` (plus a trace of the
    tensor's mean) and `s_u = (1 + damping) sqrt(t_u)`: applied to a gradient it does not change with the scale of the
    loss, where `F^-1` alone lets steps grow like 1/|g|. For a multiple of the identity it divides by `sqrt(t_u)`.

    Attributes:
        inverses: one stack for each tensor `[units, d, d]`.
        status: a `Status` per tensor; a unit that could not be inverted is scaled by its `s_u` alone.
    """

    inverses: tuple[Float[Array, "units d d"], ...]
    status: Int[Array, " tensors"]

    @classmethod
    def of(cls, moments: Sequence[Float[Array, "units d d"]], damping: float) -> "UnitInverse":
        """Damp and invert.

        Args:
            moments: the blocks of each tensor.
            damping: relative to each block's mean diagonal entry, positive.
        """
        parts = [_shift(moment, damping) for moment in moments]
        eyes = [jnp.eye(moment.shape[1], dtype=moment.dtype) for moment in moments]
        found = _inverses([m + s[:, None, None] * eye for m, (_, s), eye in zip(moments, parts, eyes, strict=True)])
        inverses, status = [], []
        for inverse, (mean, shift), eye in zip(found, parts, eyes, strict=True):
            solved = jnp.all(jnp.isfinite(inverse), axis=(1, 2), keepdims=True)
            plain = (1 / (mean + shift))[:, None, None] * eye
            scale = (1 + damping) * jnp.sqrt(mean)
            inverses.append(scale[:, None, None] * jnp.where(solved, inverse, plain))
            status.append(jnp.where(jnp.all(solved), Status.OK, Status.NOT_SOLVED).astype(jnp.int32))
        return cls(tuple(inverses), jnp.stack(status))

    @classmethod
    def blank(cls, moments: Sequence[Float[Array, "units d d"]]) -> "UnitInverse":
        """Zeros in the shapes of `of(moments, ...)`."""
        return cls(tuple(jnp.zeros_like(moment) for moment in moments), jnp.zeros(len(moments), jnp.int32))

    def apply(self, leaves: Sequence[Array], bound: float) -> list[Array]:
        """The direction of every tensor, from its gradient.

        Args:
            leaves: the gradient.
            bound: largest root mean square over the entries of a unit; longer ones are shortened.
        """

        def direction(inverse: Float[Array, "units d d"], leaf: Array) -> Array:
            found = jnp.einsum("kab,kb->ka", inverse, leaf.reshape(inverse.shape[:2]))
            length = jnp.sqrt(jnp.mean(found**2, axis=1, keepdims=True))
            return (found * jnp.minimum(1, bound / jnp.where(length > 0, length, 1))).reshape(leaf.shape)

        return [direction(inverse, leaf) for inverse, leaf in zip(self.inverses, leaves, strict=True)]


def _shift(moment: Float[Array, "units d d"], damping: float) -> tuple[Float[Array, " units"], Float[Array, " units"]]:
    """`t` of every unit, and what is added to its diagonal."""
    mean = trace(moment) / moment.shape[1]
    shift = damping * mean + UNSEEN * jnp.mean(mean)
    # A tensor without any gradient has no direction either.
    return mean, jnp.where(shift > 0, shift, 1)


def _inverses(blocks: Sequence[Float[Array, "units d d"]]) -> list[Float[Array, "units d d"]]:
    """Of every block; NaN where one is not positive definite. Blocks of one size are worked on together."""
    found: dict[int, Array] = {}
    for size in sorted({block.shape[1] for block in blocks}):
        members = [k for k, block in enumerate(blocks) if block.shape[1] == size]
        inverses = _swept(jnp.concatenate([blocks[k] for k in members]))
        ends = np.cumsum([blocks[k].shape[0] for k in members])[:-1]
        found.update(zip(members, jnp.split(inverses, ends), strict=True))
    return [found[k] for k in range(len(blocks))]


def _swept(blocks: Float[Array, "units d d"]) -> Float[Array, "units d d"]:
    """Gauss-Jordan's inverse, without pivoting, which definite matrices do not need; a pivot that fails is told.

    For thousands of small blocks this takes a quarter of the time of LAPACK's factorisations one by one (64 against
    221 ms of CPU time for 2,400 of 32 rows, with the same error), which may not be batched either
    (`_curvature.roots.factors`).
    """
    size = blocks.shape[1]
    if size == 1:
        return jnp.where(blocks > 0, 1 / blocks, jnp.nan)

    def sweep(k: Int[Array, ""], carry: tuple[Array, Array]) -> tuple[Array, Array]:
        m, definite = carry
        pivot = m[k, k]
        row, column = m[k] / pivot, m[:, k]
        m = m - column[:, None] * row[None]
        m = m.at[k].set(row).at[:, k].set(-column / pivot).at[k, k].set(1 / pivot)
        return m, definite & (pivot > 0)

    # Units last, so that every operation runs along them.
    first = jnp.moveaxis(blocks, 0, -1), jnp.ones(blocks.shape[0], bool)
    swept, definite = jax.lax.fori_loop(0, size, sweep, first)
    return jnp.where(definite[:, None, None], jnp.moveaxis(swept, -1, 0), jnp.nan)

"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al. 2024, arXiv 2409.11321, algorithm 3)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax


class SoapState(NamedTuple):
    """Per matrix: both sides' averages, their bases, and Adam's moments in these bases (the first in the original)."""

    count: jax.Array
    sides: Any
    bases: Any
    mean: Any
    square: Any


def soap(
    learning_rate: float, b1: float = 0.95, b2: float = 0.95, eps: float = 1e-8, refresh: int = 10, largest: int = 2048
) -> optax.GradientTransformation:
    """For matrices of at most `largest` rows and columns; everything else by Adam, as the paper does for vectors.

    Kernels of convolutions are taken as matrices from all inputs to the outputs. The bases follow by one step of the
    power iteration and a QR decomposition every `refresh` steps.
    """

    def matrix(leaf: jax.Array) -> jax.Array:
        return leaf.reshape(-1, leaf.shape[-1])

    def has_bases(leaf: jax.Array) -> bool:
        return leaf.ndim >= 2 and max(matrix(leaf).shape) <= largest

    def each(leaf: jax.Array, make: Any) -> Any:
        return tuple(make(n) for n in matrix(leaf).shape) if has_bases(leaf) else ()

    def init(params: Any) -> SoapState:
        leaves = jax.tree.leaves(params)
        zeros = [jnp.zeros_like(leaf) for leaf in leaves]
        return SoapState(
            jnp.zeros((), jnp.int32),
            [each(leaf, lambda n: jnp.zeros((n, n))) for leaf in leaves],
            [each(leaf, jnp.eye) for leaf in leaves],
            zeros,
            [jnp.zeros(matrix(leaf).shape if has_bases(leaf) else leaf.shape) for leaf in leaves],
        )

    def one(g: Any, sides: Any, bases: Any, mean: Any, square: Any, count: Any) -> tuple[Any, ...]:
        mean = b1 * mean + (1 - b1) * g
        if not sides:
            square = b2 * square + (1 - b2) * g**2
            return mean / (jnp.sqrt(square) + eps), sides, bases, mean, square
        flat, (left, right), (p, q) = matrix(g), sides, bases
        square = b2 * square + (1 - b2) * (p.T @ flat @ q) ** 2
        step = p @ ((p.T @ matrix(mean) @ q) / (jnp.sqrt(square) + eps)) @ q.T
        sides = b2 * left + (1 - b2) * flat @ flat.T, b2 * right + (1 - b2) * flat.T @ flat

        def turned() -> tuple[jax.Array, ...]:
            return tuple(jnp.linalg.qr(side @ basis)[0] for side, basis in zip(sides, bases, strict=True))

        # The first gradient makes the bases, by eigenvectors, and no step, as in the authors' code.
        first = [lambda: tuple(jnp.linalg.eigh(side)[1] for side in sides), turned, lambda: bases]
        bases = jax.lax.switch(jnp.where(count == 0, 0, jnp.where(count % refresh == 0, 1, 2)), first)
        return jnp.where(count == 0, 0, step).reshape(g.shape), sides, bases, mean, square

    def update(grads: Any, state: SoapState, params: Any = None) -> tuple[Any, SoapState]:
        del params
        leaves, structure = jax.tree.flatten(grads)
        rows = zip(leaves, state.sides, state.bases, state.mean, state.square, strict=True)
        steps, *rest = zip(*[one(*row, state.count) for row in rows], strict=True)
        scale = -learning_rate * jnp.sqrt(1 - b2 ** (state.count + 1.0)) / (1 - b1 ** (state.count + 1.0))
        return jax.tree.unflatten(structure, [scale * step for step in steps]), SoapState(
            state.count + 1, *[list(part) for part in rest]
        )

    return optax.GradientTransformation(init, update)

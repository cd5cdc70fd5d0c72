"""Detection, in the program, of losses without curvature in the outputs, and the replacement for Gauss-Newton."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from .._core.jaxprs import reached
from .base import AbstractCurvature
from .batch import from_real_parts, real_parts
from .hessian import Hessian
from .layer_operator import LayerOperator
from .objective import Batch, Objective
from .partition import Block
from .point import Point
from .product_operator import ProductOperator


class StandInHessian(AbstractCurvature):
    """The exact Hessian in place of a Gauss-Newton matrix that is zero, with nothing known about its eigenvalues."""

    @property
    def semidefinite(self) -> bool:
        return True  # as Gauss-Newton's: there is a floor, and for no batch is it more than minus infinity

    def operator(self, point: Point, block: Block) -> ProductOperator | LayerOperator:
        return Hessian().operator(point, block)

    def floor(self, point: Point, block: Block) -> Float[Array, ""]:
        return jnp.full((), -jnp.inf, point.like(block).dtype)


def linear_in_outputs(objective: Objective, params: PyTree, batch: Batch, key: Key[Array, ""] | None = None) -> bool:
    """Return whether the loss's Hessian in the outputs is always zero; the Gauss-Newton matrix then is, too.

    This holds for a model that returns its loss, a reward, hinges, or absolute errors. The program is traced, not run;
    the result is False if the program does not show it.
    """

    def bent(slope: Callable[[PyTree], PyTree], outputs: PyTree, cotangent: PyTree) -> PyTree:
        return jax.vjp(slope, outputs)[1](cotangent)[0]

    return not _depends(objective, params, batch, key, bent)


def quadratic_in_outputs(objective: Objective, params: PyTree, batch: Batch, key: Key[Array, ""] | None = None) -> bool:
    """Return whether the loss's Hessian in the outputs is constant, as for squares (and, piecewise, Huber's loss)."""

    def twisted(slope: Callable[[PyTree], PyTree], outputs: PyTree, cotangent: PyTree) -> PyTree:
        def bent(z: PyTree) -> PyTree:
            return jax.vjp(slope, z)[1](outputs)[0]

        return jax.vjp(bent, outputs)[1](cotangent)[0]

    return not _depends(objective, params, batch, key, twisted)


def _depends(
    objective: Objective, params: PyTree, batch: Batch, key: Key[Array, ""] | None, derivative: Callable[..., PyTree]
) -> bool:
    """Return whether the program shows that a linear function of a cotangent depends on it."""

    def read(outputs: PyTree, targets: PyTree, cotangent: PyTree) -> PyTree:
        def total(z: PyTree) -> Float[Array, ""]:
            return jnp.sum(objective.terms(from_real_parts(whole, z), targets)[0])

        return derivative(jax.grad(total), outputs, cotangent)

    whole = jax.eval_shape(lambda p, x, k: objective.outputs(p, x, k), params, batch[0], key)
    outputs = jax.eval_shape(real_parts, whole)
    if not all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(outputs)):
        return True
    jaxpr = jax.make_jaxpr(read)(outputs, batch[1], outputs).jaxpr
    last = len(jax.tree.leaves(outputs))
    marks = [index >= len(jaxpr.invars) - last for index in range(len(jaxpr.invars))]
    return any(reached(jaxpr, marks))

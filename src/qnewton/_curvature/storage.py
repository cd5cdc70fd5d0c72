"""Layer operators built from what one pass over the batch stores."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._core.operators import AbstractRoot
from .kronecker import Layer, Small, layout_of
from .layer_operator import LayerOperator
from .partition import Block
from .point import Point

Inner = Callable[[Point, Sequence[Layer], PyTree], tuple[Small, list[Float[Array, "t i"]]]]


def stored_operator(
    point: Point,
    block: Block,
    layers: Sequence[Layer],
    inner: Inner,
    rooted: Callable[[], AbstractRoot] | None = None,
) -> LayerOperator | None:
    """The block from the inputs of its layers and the curvature in their outputs, both kept for the whole batch.

    Args:
        point: where.
        block: whose parameters are used in the layers.
        layers: each applied once per example.
        inner: curvature of one example in the outputs of the layers, and the layers' inputs.
        rooted: makes the square root of the block, where its curvature has one.

    Returns:
        None where a parameter is used more than once, so that the layers have no layout.
    """
    layout = layout_of(block, layers, point.sizes(block))
    if layout is None:
        return None
    dtype = point.like(block).dtype
    # Data or outputs may be wider than the parameters; the block is not.
    small, leads = jax.vmap(lambda example: inner(point, layers, example))(point.examples.batch)
    inputs = tuple(jax.vmap(layer.extend)(x.astype(dtype))[:, 0] for layer, x in zip(layers, leads, strict=True))

    def part(u: int, v: int) -> Float[Array, "batch a b"]:
        found = small[u, v] if u <= v else jnp.transpose(small[v, u], (0, 3, 4, 1, 2))
        return found[:, 0, :, 0, :].astype(dtype)

    count = range(len(layers))
    curvature = jnp.concatenate([jnp.concatenate([part(u, v) for v in count], axis=2) for u in count], axis=1)
    return LayerOperator(layout, inputs, curvature, jnp.asarray(point.examples.total, dtype), rooted)

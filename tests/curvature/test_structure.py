"""Ways to use a parameter, each of which must give the dense block whether or not a curvature recognises it.

Curvatures may take a short cut where a model uses its parameters linearly (`x W + b`). These models look alike to a
careless eye: weights moved, shared, fed to themselves, biases that broadcast along the wrong axis or are added late. A
new trap is one function here, with the parameters that are recognised; its parameters form one block, with the leaves
in reverse order.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from qnewton._curvature import AbstractCurvature, Block, GaussNewton, Hessian, Objective
from qnewton._curvature.structure import Program, trace

Params = dict[str, Array]
Predict = Callable[[Params, Array], Array]

BATCH = 5
TRAPS: dict[str, tuple[Predict, dict[str, tuple[int, ...]]]] = {}
RECOGNISED: dict[str, set[str]] = {}


def of_one(predict: Callable) -> Callable:
    """The raveled outputs of one example, from a model of batches."""
    return lambda params, x: jnp.ravel(predict(params, jax.tree.map(lambda leaf: leaf[None], x))[0])


def trap(*recognised: str, **shapes: tuple[int, ...]) -> Callable[[Predict], Predict]:
    """Registers a model `(params, x [batch, 3]) -> [batch, 2]` with the shapes of its parameters."""

    def register(predict: Predict) -> Predict:
        TRAPS[predict.__name__] = predict, shapes
        RECOGNISED[predict.__name__] = set(recognised)
        return predict

    return register


@trap("w", "b", w=(2, 3), b=(2,))
def weight_on_the_left(p: Params, x: Array) -> Array:
    return jnp.tanh(p["w"] @ x.T + p["b"][:, None]).T


@trap("w", w=(6,))
def weight_reshaped_and_reversed(p: Params, x: Array) -> Array:
    return jnp.tanh(x @ p["w"].reshape(2, 3)[::-1, ::-1].T)


@trap("w", w=(3, 2))
def one_weight_for_two_inputs(p: Params, x: Array) -> Array:
    return jnp.tanh(x @ p["w"]) * jnp.sin(jnp.cos(x) @ p["w"])


@trap("w", "v", w=(3, 3), v=(3, 2))
def weight_that_feeds_itself(p: Params, x: Array) -> Array:
    return jnp.tanh(jnp.tanh(x @ p["w"]) @ p["w"]) @ p["v"]


@trap(w=(3, 2))
def linear_use_beside_a_penalty(p: Params, x: Array) -> Array:
    return jnp.tanh(x @ p["w"]) + jnp.sum(p["w"] ** 4)


@trap("w", "b", w=(3, 2), b=(2,))
def bias_beside_another_use_of_the_product(p: Params, x: Array) -> Array:
    z = x @ p["w"]
    return jnp.tanh(z + p["b"]) + z**3


@trap("w", "b", w=(3, 4), b=(2, 2))
def bias_on_the_transposed_product(p: Params, x: Array) -> Array:
    z = jnp.swapaxes((x @ p["w"]).reshape(-1, 2, 2), 1, 2) + p["b"]
    return jnp.tanh(z) @ jnp.array([1.0, 2.0])


def positions(x: Array) -> Array:
    """Two positions of six features per example."""
    return jnp.stack(
        [jnp.concatenate([x, x**2 / 2], axis=1), jnp.concatenate([jnp.sin(x), jnp.cos(x)], axis=1)], axis=1
    )


@trap("w", w=(2, 6))
def weight_on_the_left_of_several_positions(p: Params, x: Array) -> Array:
    z = jnp.tensordot(p["w"], positions(x), axes=([1], [2]))
    return jnp.prod(jnp.tanh(z) + 2, axis=2).T


@trap("w", "b", w=(6, 2), b=(2, 2))
def bias_of_its_own_at_each_position(p: Params, x: Array) -> Array:
    return jnp.prod(jnp.tanh(positions(x) @ p["w"] + p["b"]) + 2, axis=1)


@trap("w", "b", w=(6, 2), b=(2,))
def positions_transposed_before_the_bias(p: Params, x: Array) -> Array:
    """As many positions as outputs, so that mixing them up keeps the shapes."""
    z = jnp.swapaxes(positions(x) @ p["w"], 1, 2) + p["b"]
    return jnp.prod(jnp.tanh(z) + 2, axis=1)


@trap("w", w=(6, 2), idle=(3,))
def several_positions_beside_a_parameter_without_use(p: Params, x: Array) -> Array:
    return jnp.prod(jnp.tanh(positions(x) @ p["w"]) + 2, axis=1)


@trap("w", "v", w=(3, 3), v=(3, 2))
def inside_a_loop(p: Params, x: Array) -> Array:
    hidden, _ = jax.lax.scan(lambda h, _: (jnp.tanh(h @ p["w"]), None), x, None, length=3)
    return hidden @ p["v"]


@trap("w", "v", w=(3, 3), v=(3, 2))
def inside_a_wrapper(p: Params, x: Array) -> Array:
    hidden = jax.checkpoint(lambda w, x: jnp.tanh(x @ w))(p["w"], x)
    return jax.jit(jnp.matmul)(hidden, p["v"])


@trap("w", "v", w=(3, 3), v=(3, 2))
def inside_a_derivative_of_its_own(p: Params, x: Array) -> Array:
    """The rule is wrong on purpose: it must be obeyed, not seen through."""

    @jax.custom_jvp
    def layer(w: Array, x: Array) -> Array:
        return jnp.tanh(x @ w)

    layer.defjvp(lambda primals, tangents: (layer(*primals), 2 * (primals[1] @ tangents[0] + tangents[1])))
    return layer(p["w"], x) @ p["v"]


@trap("b", w=(3, 2), b=(2,))
def weight_that_scales_and_multiplies(p: Params, x: Array) -> Array:
    return jnp.tanh(x @ p["w"] * p["w"][0] + p["b"])


@trap("b", g=(3,), b=(3,))
def scale_and_shift(p: Params, x: Array) -> Array:
    return jnp.tanh(x * p["g"] + p["b"]) @ jnp.array([[1.0, 2.0], [3.0, -1.0], [0.5, 1.0]])


# Heads, and slices of fused weights


@trap("w", "b", "v", w=(3, 2, 2), b=(2, 2), v=(2, 2, 2))
def heads(p: Params, x: Array) -> Array:
    hidden = jnp.tanh(jnp.einsum("bd,dhk->bhk", x, p["w"]) + p["b"])
    return jnp.einsum("bhk,hkd->bd", hidden, p["v"])


@trap("w", w=(2, 3, 2))
def a_weight_for_each_head(p: Params, x: Array) -> Array:
    return jnp.sum(jnp.tanh(jnp.einsum("bhd,hdk->bhk", jnp.stack([x, x**2], axis=1), p["w"])), axis=1)


@trap("w", w=(6, 3))
def fused_weight_sliced(p: Params, x: Array) -> Array:
    q, k, v = (x @ p["w"][start : start + 2].T for start in (0, 2, 4))
    return jnp.tanh(q * k) + v


@trap("w", "b", w=(3, 4), b=(4,))
def fused_weight_and_bias_split(p: Params, x: Array) -> Array:
    (w, v), (b, c) = jnp.split(p["w"], 2, axis=1), jnp.split(p["b"], 2)
    return jnp.tanh(x @ w + b) * (x @ v + c)


@trap("w", "b", w=(3, 4), b=(2,))
def product_split_before_the_bias(p: Params, x: Array) -> Array:
    left, right = jnp.split(x @ p["w"], 2, axis=1)
    return jnp.tanh(left + p["b"]) * right


@trap("w", w=(5, 3))
def slices_that_overlap_and_leave_out(p: Params, x: Array) -> Array:
    return jnp.tanh(x @ p["w"][1:3].T) * (x @ p["w"][0:4:2].T)


@trap(w=(3, 2))
def row_of_a_weight_as_a_scale(p: Params, x: Array) -> Array:
    return jnp.tanh(x @ p["w"][:, ::-1]) * p["w"][0]


# Parameters that are joined


@trap("w", "u", "v", "b", "c", w=(3, 2), u=(3, 3), v=(5, 2), b=(2,), c=(3,))
def joined_columns(p: Params, x: Array) -> Array:
    """Biases, too, and the whole is taken apart again."""
    w, b = jnp.concatenate([p["w"], p["u"]], axis=1), jnp.concatenate([p["b"], p["c"]])
    return jnp.tanh(x @ w + b)[:, ::-1] @ p["v"]


@trap("w", "u", w=(3, 2), u=(2, 3))
def joined_rows_within_a_loop(p: Params, x: Array) -> Array:
    def turn(h: Array, _: None) -> tuple[Array, None]:
        return jnp.tanh(jnp.concatenate([h, x**2], axis=1) @ jnp.concatenate([p["w"][:2], p["u"].T])), None

    return jax.lax.scan(turn, x[:, :2], None, length=2)[0]


@trap("w", "u", w=(2, 4), u=(2, 2))
def joined_and_sliced_and_joined_again(p: Params, x: Array) -> Array:
    both = jnp.concatenate([p["w"], p["u"]], axis=1)
    return jnp.tanh(x[:, :2] @ jnp.concatenate([both[:, 3:], p["w"][:, :1]], axis=1))[:, ::2]


@trap(w=(2, 3), u=(2, 3))
def joined_in_a_corner(p: Params, x: Array) -> Array:
    """Rows of the one beside rows of the other, which is no matrix of either."""
    return jnp.tanh(x @ jnp.concatenate([p["w"], p["u"]], axis=1).reshape(3, 4))[:, :2]


# Convolutions


def image(x: Array) -> Array:
    """Two channels of 4 x 3 pixels per example."""
    return jnp.sin(jnp.arange(1, 9)[None, :, None] * x[:, None, :]).reshape(-1, 2, 4, 3)


def pool(z: Array) -> Array:
    """To two outputs, with no two entries alike."""
    flat = jnp.tanh(z).reshape(z.shape[0], -1)
    return flat @ jnp.cos(jnp.arange(2 * flat.shape[1], dtype=flat.dtype)).reshape(-1, 2)


@trap("w", "b", w=(3, 2, 2, 2), b=(3,))
def convolution(p: Params, x: Array) -> Array:
    z = jax.lax.conv_general_dilated(image(x), p["w"], (2, 1), ((1, 0), (-1, 2)), rhs_dilation=(1, 2))
    return pool(z + p["b"][:, None, None])


@trap("w", "b", w=(2, 3, 2, 2), b=(2,))
def convolution_transposed_with_channels_last(p: Params, x: Array) -> Array:
    z = jax.lax.conv_general_dilated(
        jnp.moveaxis(image(x), 1, -1),
        p["w"],
        (3, 2),
        ((1, 1), (2, 0)),
        lhs_dilation=(2, 1),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return pool(z + p["b"])


@trap("w", "b", w=(3, 2, 2, 2), b=(3, 3, 2))
def convolution_with_a_bias_of_its_own_at_each_pixel(p: Params, x: Array) -> Array:
    return pool(jax.lax.conv(image(x), p["w"], (1, 1), "VALID") + p["b"])


@trap("w", w=(2, 2, 3, 1))
def kernel_for_two_convolutions(p: Params, x: Array) -> Array:
    left = jax.lax.conv(image(x), p["w"], (1, 1), "VALID")
    return pool(left[:, :, :1] * jax.lax.conv(image(x**2), p["w"], (2, 1), "SAME"))


@trap("w", w=(2, 2, 2, 2))
def kernel_that_feeds_itself(p: Params, x: Array) -> Array:
    return pool(jax.lax.conv(jnp.tanh(jax.lax.conv(image(x), p["w"], (1, 1), "SAME")), p["w"], (2, 2), "VALID"))


@trap("w", w=(2, 2, 3, 3))
def kernel_in_a_dense_product(p: Params, x: Array) -> Array:
    return pool(jax.lax.conv(image(x), p["w"], (2, 1), "VALID")) + jnp.tanh(x @ p["w"][0, :, 1].T)


@trap("w", w=(2, 3, 2, 2))
def kernel_flipped_and_transposed(p: Params, x: Array) -> Array:
    return pool(jax.lax.conv(image(x), jnp.swapaxes(p["w"][:, :, ::-1, ::-1], 0, 1), (1, 1), "VALID"))


@trap("w", w=(4, 1, 2, 2))
def convolution_in_groups(p: Params, x: Array) -> Array:
    return pool(jax.lax.conv_general_dilated(image(x), p["w"], (1, 1), "VALID", feature_group_count=2))


@trap(w=(1, 3, 3))
def image_as_a_kernel(p: Params, x: Array) -> Array:
    kernels = image(x)[:, :1, :2, :2].reshape(-1, 1, 2, 2)
    return pool(jnp.moveaxis(jax.lax.conv(p["w"][None], kernels, (1, 1), "VALID"), 1, 0))


@trap("w", "b", w=(2, 2, 1, 6), b=(6,))
def convolution_depthwise_with_channels_last(p: Params, x: Array) -> Array:
    """Three outputs for each channel, and places left out."""
    z = jax.lax.conv_general_dilated(
        jnp.moveaxis(image(x), 1, -1),
        p["w"],
        (1, 2),
        ((1, 0), (0, 1)),
        rhs_dilation=(2, 1),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=2,
    )
    return pool(z + p["b"])


@trap("w", "b", w=(4, 2, 3), b=(4, 2))
def a_kernel_for_each_place(p: Params, x: Array) -> Array:
    """What a local convolution is: as many products as places."""
    patches = jnp.stack([jnp.roll(image(x)[:, 0], k, axis=2) for k in range(2)], axis=2)
    return pool(jnp.einsum("bsti,sti->bst", patches, p["w"]) + p["b"] + p["w"].shape[0])


# Loops


def cell(w: Array, u: Array, b: Array, h: Array, x: Array) -> Array:
    gate, new = jnp.split(h @ w + (x @ u + b), 2, axis=-1)
    return jax.nn.sigmoid(gate) * h + jnp.tanh(new)


@trap("w", "u", "b", "v", w=(2, 4), u=(3, 4), b=(4,), v=(2, 2))
def recurrence_over_a_sequence(p: Params, x: Array) -> Array:
    sequence = jnp.stack([x, x**2, jnp.sin(x)])
    start = jnp.zeros((x.shape[0], 2))
    step = jax.checkpoint(lambda h, x: (cell(p["w"], p["u"], p["b"], h, x), h))
    last, seen = jax.lax.scan(step, start, sequence, reverse=True)
    return jnp.tanh(last + seen.sum(0)) @ p["v"]


@trap("w", "b", w=(3, 3, 2, 3), b=(3, 3))
def layers_stacked_in_a_loop(p: Params, x: Array) -> Array:
    """Each turn has a weight of its own, of which each sees two views, and a bias."""

    def layer(h: Array, given: tuple[Array, Array]) -> tuple[Array, Array]:
        w, b = given
        h = jnp.tanh(h @ w[:, 0] + b) + h @ w[:, 1].T
        return h, h[:, 0]

    hidden, seen = jax.lax.scan(layer, x, (p["w"], p["b"]))
    return hidden[:, :2] + seen[1][:, None]


@trap("w", "b", w=(3, 2, 3), b=(2, 3))
def layers_stacked_on_the_middle_axis_and_shared_bias_by_layer(p: Params, x: Array) -> Array:
    stacked = jnp.moveaxis(p["w"], 1, 0)
    hidden, _ = jax.lax.scan(lambda h, given: (jnp.tanh(h @ given[0].T + given[1]), None), x, (stacked, p["b"]))
    return hidden[:, :2]


@trap("w", "b", w=(3, 3), b=(4, 3))
def one_weight_and_a_bias_for_each_turn(p: Params, x: Array) -> Array:
    hidden, _ = jax.lax.scan(lambda h, b: (jnp.tanh(h @ p["w"] + b), None), x, p["b"])
    return hidden[:, :2]


@trap("w", "u", w=(2, 3, 3), u=(3, 3))
def loops_within_loops(p: Params, x: Array) -> Array:
    """Two turns around three: the one weight is stacked outside and whole inside, the other whole in both."""

    def outer(h: Array, w: Array) -> tuple[Array, None]:
        return jax.lax.scan(lambda h, _: (jnp.sin(h @ w + jnp.sin(h) @ p["u"]), None), h, None, length=3)[0], None

    return jax.lax.scan(outer, x, p["w"])[0][:, 1:]


@trap("w", w=(2, 2, 3, 3))
def stacks_of_stacks(p: Params, x: Array) -> Array:
    def inner(h: Array, w: Array) -> tuple[Array, None]:
        return jnp.tanh(h @ w), None

    return jax.lax.scan(lambda h, w: (jax.lax.scan(inner, h, w)[0], None), x, p["w"])[0][:, 1:]


@trap("w", "k", w=(2, 3, 4, 4), k=(2, 2, 1, 2, 2))
def copies_stacked_in_a_loop(p: Params, x: Array) -> Array:
    """Heads with weights of their own, and convolutions in groups, in stacked layers."""

    def layer(z: Array, given: tuple[Array, Array]) -> tuple[Array, None]:
        w, k = given
        rows = jnp.einsum("bcij,ijk->bcik", jnp.moveaxis(z, 3, 2)[:, :, :3], w)
        return z + jax.lax.conv_general_dilated(
            jnp.tanh(jnp.moveaxis(rows, 2, 3)), k, (1, 1), "SAME", feature_group_count=2
        ), None

    return pool(jax.lax.scan(layer, image(x), (p["w"], p["k"]))[0])


@trap("v", w=(3, 3, 3), v=(3, 2))
def looked_up_by_the_counter_of_a_loop(p: Params, x: Array) -> Array:
    return jax.lax.fori_loop(0, 3, lambda k, h: jnp.tanh(h @ p["w"][k]), x) @ p["v"]


@trap("w", "b", w=(3, 2), b=(1, 2))
def noise_in_a_loop_of_one_turn(p: Params, x: Array) -> Array:
    def turn(carry: tuple[Array, Array], b: Array) -> tuple[tuple[Array, Array], Array]:
        h, key = carry
        key, used = jax.random.split(key)
        return (h, key), jnp.tanh(h @ p["w"] + b) * jax.random.normal(used, (2,))

    return jax.lax.scan(turn, (x, jax.random.key(0)), p["b"])[1][0]


@trap("v", w=(3, 3), v=(3, 2))
def carried_by_a_loop(p: Params, x: Array) -> Array:
    (hidden, _), _ = jax.lax.scan(lambda c, _: ((jnp.tanh(c[0] @ c[1]), 2 * c[1]), None), (x, p["w"]), None, length=2)
    return hidden @ p["v"]


@trap("v", w=(3, 3), v=(3, 2))
def scaled_in_a_loop(p: Params, x: Array) -> Array:
    hidden, _ = jax.lax.scan(lambda h, _: (jnp.tanh(h @ p["w"]) * p["w"][0], None), x, None, length=2)
    return hidden @ p["v"]


# Derivatives of their own, and products of parameters


@trap("w", "u", "b", w=(2, 2), u=(3, 2), b=(2,))
def fixed_point_by_its_own_rule(p: Params, x: Array) -> Array:
    """A deep equilibrium: found by iteration, differentiated by the implicit function theorem."""

    def excess(z: Array) -> Array:
        return jnp.tanh(z @ p["w"] / 8 + x @ p["u"] + p["b"]) - z

    def solve(function: Callable, start: Array) -> Array:
        return jax.lax.fori_loop(0, 30, lambda _, z: z + function(z), start)

    def tangent(linear: Callable, y: Array) -> Array:
        flat = jax.jacobian(lambda v: linear(v.reshape(y.shape)).ravel())(jnp.zeros(y.size))
        return jnp.linalg.solve(flat, y.ravel()).reshape(y.shape)

    return jax.lax.custom_root(excess, jnp.zeros((x.shape[0], 2)), solve, tangent)


@trap("w", "b", "v", w=(3, 3), b=(3,), v=(3, 2))
def derivative_of_its_own_in_a_loop(p: Params, x: Array) -> Array:
    @jax.custom_jvp
    def layer(h: Array, w: Array, b: Array) -> Array:
        return jnp.tanh(h @ w + b)

    @layer.defjvp
    def _(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
        (h, w, _), (dh, dw, db) = primals, tangents
        z = layer(*primals)
        return z, 3 * (1 - z**2) * (dh @ w + h @ dw + db)

    return jax.lax.scan(lambda h, _: (layer(h, p["w"], p["b"]), None), x, None, length=2)[0] @ p["v"]


@trap("v", g=(3,), v=(3, 2))
def scale_by_its_own_rule(p: Params, x: Array) -> Array:
    @jax.custom_jvp
    def scaled(x: Array, g: Array) -> Array:
        return x * g

    scaled.defjvp(lambda primals, tangents: (scaled(*primals), primals[0] * tangents[1] + tangents[0] * primals[1]))
    return jnp.tanh(scaled(x, p["g"])) @ p["v"]


@trap("a", "c", a=(3, 2), c=(2, 2))
def product_of_two_parameters(p: Params, x: Array) -> Array:
    return jnp.tanh(x @ (jnp.cos(jnp.arange(6.0)).reshape(3, 2) + p["a"] @ p["c"]))


@trap("w", w=(3, 3))
def product_of_a_parameter_with_itself(p: Params, x: Array) -> Array:
    return jnp.tanh(x @ (p["w"] @ p["w"].T))[:, :2]


@trap("w", "v", w=(3, 3), v=(3, 2))
def a_use_that_no_derivative_passes(p: Params, x: Array) -> Array:
    h = x @ p["w"]
    nearest = jnp.argmin(jnp.sum((p["w"] ** 2)[None] + h[:, None], axis=-1), axis=-1)
    return jnp.tanh(h + jax.lax.stop_gradient(jnp.sum(p["w"] ** 3))) @ p["v"] + nearest[:, None]


# Rows taken from a table


def tokens(x: Array) -> Array:
    """Three tokens per example, from -1 to 4."""
    return jnp.clip(jnp.floor(2 * x + 2), -1, 4).astype(int)


@trap("e", "b", "w", e=(6, 2), b=(2,), w=(2, 2))
def look_up(p: Params, x: Array) -> Array:
    return pool((p["e"][tokens(x)] + p["b"]) @ p["w"])


@trap("e", e=(2, 4))
def look_up_of_columns(p: Params, x: Array) -> Array:
    return pool(jnp.moveaxis(jnp.take(p["e"], jnp.maximum(tokens(x), 0) % 4, axis=1), 0, 2))


@trap("e", e=(2, 4, 2))
def look_up_in_the_middle_clipped(p: Params, x: Array) -> Array:
    return pool(jnp.moveaxis(jnp.take(p["e"], 2 * tokens(x), axis=1, mode="clip"), 0, -1))


@trap("e", e=(3, 2))
def look_up_filled(p: Params, x: Array) -> Array:
    return pool(p["e"].at[tokens(x)].get(mode="fill", fill_value=0.5))


@trap("e", e=(4, 2))
def look_up_wrapped(p: Params, x: Array) -> Array:
    return pool(jnp.take(p["e"], tokens(x), axis=0, mode="wrap"))


@trap("e", e=(5, 2))
def look_up_masked_where_padded(p: Params, x: Array) -> Array:
    found = jnp.abs(tokens(x))
    return pool(jnp.where((found == 0)[..., None], 0.0, p["e"][found]))


@trap(e=(5, 2))
def look_up_with_a_row_set_to_zero(p: Params, x: Array) -> Array:
    return pool(p["e"].at[0].set(0.0)[jnp.abs(tokens(x))])


@trap("e", "w", e=(6, 2), w=(2, 2))
def look_up_tied_to_the_head(p: Params, x: Array) -> Array:
    return pool(jnp.tanh(p["e"][tokens(x)] @ p["w"]) @ p["e"].T)


@trap("e", e=(5, 3))
def table_in_a_dense_product(p: Params, x: Array) -> Array:
    return pool(p["e"][jnp.abs(tokens(x))]) * pool(x @ p["e"].T)


@trap("e", e=(5, 2))
def look_up_one_by_one(p: Params, x: Array) -> Array:
    """A start beyond the end is moved back."""
    rows = [jax.lax.dynamic_slice(p["e"], (token, 0), (1, 2)) for token in 2 * tokens(x)[:, 0]]
    return jnp.tanh(jnp.concatenate(rows))


@trap(e=(5, 2))
def look_up_of_two_rows_at_once(p: Params, x: Array) -> Array:
    rows = [jax.lax.dynamic_slice(p["e"], (token, 0), (2, 2)) for token in tokens(x)[:, 0]]
    return pool(jnp.stack(rows))


@trap(e=(5, 4))
def look_up_of_single_entries(p: Params, x: Array) -> Array:
    return pool(p["e"][jnp.abs(tokens(x)), tokens(x)[:, ::-1] % 4])


# The check ---------------------------------------------------------------------------------------------------------


def problem(name: str) -> tuple[Objective, Params, tuple[Array, Array]]:
    predict, shapes = TRAPS[name]
    rng = np.random.default_rng(7)
    params = {key: jnp.asarray(rng.standard_normal(shape)) for key, shape in shapes.items()}
    batch = jnp.asarray(rng.standard_normal((BATCH, 3))), jnp.asarray(rng.standard_normal((BATCH, 2)))

    def pseudo_huber(outputs: Array, targets: Array) -> Array:
        return jnp.sum(jnp.sqrt(1 + (outputs - targets) ** 2), axis=-1)

    return Objective(predict, pseudo_huber), params, batch


# Unoptimised, since the algebra is on trial here and not the compiler; and all models compiled together.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def hessian_of(objective: Objective, params: Params, batch: tuple[Array, Array]) -> Array:
    vector, unravel = ravel_pytree(params)
    return jax.hessian(lambda w: objective(unravel(w), batch))(vector)


@functools.cache
def exact() -> dict[str, np.ndarray]:
    @jit
    def run(problems: dict[str, tuple[Params, tuple[Array, Array]]]) -> dict[str, Array]:
        return {name: hessian_of(problem(name)[0], params, batch) for name, (params, batch) in problems.items()}

    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, run({name: problem(name)[1:] for name in TRAPS}))


def gauss_newton() -> dict[str, np.ndarray]:
    results = {}
    for name, (_, outputs, by_parameter) in jacobians().items():
        with jax.enable_x64(True):
            targets = np.asarray(problem(name)[2][1])
        jacobian = np.concatenate([by_parameter[key] for key in sorted(by_parameter)], axis=-1)
        curvature = (1 + (outputs - targets) ** 2) ** -1.5
        results[name] = np.einsum("bcp,bc,bcq->pq", jacobian, curvature, jacobian) / BATCH
    return results


CURVATURES: dict[str, tuple[AbstractCurvature, Callable[[], dict[str, np.ndarray]]]] = {
    "hessian": (Hessian(), exact),
    # Small chunks, so that the last one is smaller.
    "gauss_newton": (GaussNewton(chunk_bytes=200), gauss_newton),
}


def block_of(params: PyTree) -> Block:
    leaves = jax.tree.leaves(params)
    return Block("all", tuple(range(len(leaves)))[::-1], sum(leaf.size for leaf in leaves))


@functools.cache
def formed(curvature: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Actual and expected blocks of the models."""
    subject, expected = CURVATURES[curvature]

    @jit
    def run(problems: dict[str, tuple[Params, tuple[Array, Array]]]) -> dict[str, Array]:
        return {
            name: subject.form(problem(name)[0], params, batch, block_of(params)).matrix
            for name, (params, batch) in problems.items()
        }

    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, run({name: problem(name)[1:] for name in TRAPS})), expected()


@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("name", TRAPS)
def test_every_use_of_a_parameter_gives_the_dense_block(name: str, curvature: str) -> None:
    actual, expected = (blocks[name] for blocks in formed(curvature))
    sizes = [int(np.prod(shape)) for _, shape in sorted(TRAPS[name][1].items())]
    ends = np.cumsum(sizes)
    rows = np.concatenate([np.arange(end - size, end) for end, size in zip(ends, sizes, strict=True)][::-1])
    expected = expected[np.ix_(rows, rows)]
    scale = np.max(np.abs(expected))
    assert scale > 1e-3
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12 * scale)


def jacobian_through_uses(program: Program, params: Params, example: Array) -> dict[str, Array]:
    """The Jacobian of the outputs in the recognised parameters, by the chain rule through the uses."""
    names = sorted(params)
    uses = [use for found in program.uses.values() for use in found]
    zeros = [jnp.zeros(use.output_shape) for use in uses]

    def run(given: list[Array]) -> tuple[Array, list[Array]]:
        outputs, inputs = program.run(params, example, dict(zip(uses, given, strict=True)))
        return outputs, [inputs[use] for use in uses]

    outputs, pullback, inputs = jax.vjp(run, zeros, has_aux=True)
    (cotangents,) = jax.vmap(pullback)(jnp.eye(len(outputs)))
    result = {names[leaf]: jnp.zeros((len(outputs), params[names[leaf]].size)) for leaf in program.uses}
    for use, x in zip(uses, inputs, strict=True):
        # What is perturbed at the carrier of a bias is perturbed at the bias.
        cotangent = cotangents[uses.index(use.carrier if use.carrier in uses else use)]
        part = jnp.einsum("...ti,c...to->c...io", x, cotangent)
        result[names[use.leaf]] = result[names[use.leaf]].at[:, use.index].add(part)
    return result


@functools.cache
def jacobians() -> dict[str, tuple[dict[str, np.ndarray], np.ndarray, dict[str, np.ndarray]]]:
    """Of every model the Jacobian by the uses, the outputs, and the Jacobian by jax."""

    @jit
    def run(problems: dict[str, tuple[Params, Array]]) -> dict[str, tuple[dict[str, Array], Array, dict[str, Array]]]:
        results = {}
        for name, (params, inputs) in problems.items():
            predict = TRAPS[name][0]
            program = trace(of_one(predict), params, inputs)
            actual = jax.vmap(lambda x, p=params, program=program: jacobian_through_uses(program, p, x))(inputs)
            expected = jax.jacfwd(predict)(params, inputs)
            expected = {key: leaf.reshape(BATCH, 2, -1) for key, leaf in expected.items()}
            results[name] = actual, predict(params, inputs), expected
        return results

    with jax.enable_x64(True):
        problems = {name: problem(name)[1:] for name in TRAPS}
        return jax.tree.map(np.asarray, run({name: (params, batch[0]) for name, (params, batch) in problems.items()}))


@pytest.mark.parametrize("name", TRAPS)
def test_the_uses_of_a_parameter_are_all_that_the_outputs_depend_on(name: str) -> None:
    actual, _, expected = jacobians()[name]
    assert set(actual) == RECOGNISED[name]
    for key, jacobian in actual.items():
        np.testing.assert_allclose(jacobian, expected[key], rtol=0, atol=1e-13 * np.max(np.abs(expected[key])))


def test_a_bias_is_carried_by_the_product_that_it_is_added_to() -> None:
    """Or the block of a layer would cost as much as that of two."""
    carried = {}
    with jax.enable_x64(True):
        for name in ("weight_on_the_left", "heads", "convolution", "look_up", "bias_of_its_own_at_each_position"):
            _, params, (inputs, _) = problem(name)
            program = trace(of_one(TRAPS[name][0]), params, inputs)
            (bias,) = program.uses[sorted(params).index("b")]
            carried[name] = None if bias.carrier is None else sorted(params)[bias.carrier.leaf]
    assert carried == {
        "weight_on_the_left": "w",
        "heads": "w",
        "convolution": "w",
        "look_up": "e",
        "bias_of_its_own_at_each_position": None,
    }


@pytest.mark.parametrize(
    ("name", "key", "transposed"),
    [
        ("convolution", "w", True),
        ("convolution_transposed_with_channels_last", "w", False),
        ("heads", "w", False),
        ("heads", "v", False),
        ("look_up", "e", False),
    ],
)
def test_entries_are_taken_in_their_own_order(name: str, key: str, transposed: bool) -> None:
    """So that placing a block is a transposition, and not a gather of its rows."""
    with jax.enable_x64(True):
        _, params, (inputs, _) = problem(name)
        (use,) = trace(of_one(TRAPS[name][0]), params, inputs).uses[sorted(params).index(key)]
    index = use.index.T if transposed else use.index
    np.testing.assert_array_equal(index.reshape(-1), np.arange(params[key].size))


@pytest.mark.parametrize(("stored", "used", "count"), [("bfloat16", "float32", 1), ("float32", "bfloat16", 0)])
def test_a_parameter_may_be_widened_but_not_rounded(stored: str, used: str, count: int) -> None:
    params, inputs = {"w": jnp.ones((3, 2), stored)}, jnp.ones((BATCH, 3), used)
    program = trace(of_one(lambda p, x: x @ p["w"].astype(used)), params, inputs)
    assert len(program.uses) == count
    for use in program.uses.get(0, ()):
        outputs, _ = program.run(params, inputs[0], {use: jnp.ones((1, 2))})
        assert outputs.dtype == used
        np.testing.assert_array_equal(outputs, [4, 4])


def test_one_trace_serves_every_block() -> None:
    """Tracing takes shapes only, and nothing of it depends on the block."""
    calls = []

    def predict(p: Params, x: Array) -> Array:
        calls.append(x.shape)
        return TRAPS["heads"][0](p, x)

    _, params, (inputs, _) = problem("heads")
    program = trace(of_one(predict), jax.eval_shape(lambda: params), inputs)
    assert calls == [(1, 3)]
    assert {len(program.uses[leaf]) for leaf in range(3)} == {1}
    program.run(params, inputs[0], {use: jnp.ones((1, use.index.shape[1])) for (use,) in program.uses.values()})
    assert len(calls) == 1

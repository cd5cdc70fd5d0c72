"""The proof that examples are independent: it names the place in the user's code where they meet, and holds elsewhere.

A model is one row of `COUPLED` or `INDEPENDENT`: a function that returns parameters and `predict`, and its inputs.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jaxtyping import Array, PyTree

from qnewton._curvature.coupling import refuse_coupling

BATCH, WIDTH, LENGTH = 6, 4, 3
VECTORS = jnp.linspace(-1, 1, BATCH * WIDTH).reshape(BATCH, WIDTH)
SQUARE = jnp.linspace(-1, 1, BATCH * BATCH).reshape(BATCH, BATCH)
SEQUENCES = jnp.linspace(-1, 1, BATCH * LENGTH * WIDTH).reshape(BATCH, LENGTH, WIDTH)
# As many positions as examples: an axis must be told by where it comes from, not by its size.
SQUARES = jnp.linspace(-1, 1, BATCH * BATCH * WIDTH).reshape(BATCH, BATCH, WIDTH)
IMAGES = jnp.linspace(-1, 1, BATCH * 16).reshape(BATCH, 1, 4, 4)
WORDS = jnp.arange(BATCH * LENGTH).reshape(BATCH, LENGTH) % 5
KERNEL = jnp.linspace(-1, 1, WIDTH * WIDTH).reshape(WIDTH, WIDTH)

Predict = Callable[[PyTree, Any], Array]
Case = tuple[Callable[[], tuple[PyTree, Predict]], Array]


def plain(predict: Predict, params: PyTree = KERNEL) -> Callable[[], tuple[PyTree, Predict]]:
    return lambda: (params, predict)


def equinox(make: Callable[[], Callable], *, times: int = 1) -> Callable[[], tuple[PyTree, Predict]]:
    """A layer on single examples, mapped over the batch; attention takes its argument several times."""

    def build() -> tuple[PyTree, Predict]:
        params, static = eqx.partition(make(), eqx.is_inexact_array)
        return params, lambda p, x: jax.vmap(lambda a: eqx.combine(p, static)(*[a] * times))(x)

    return build


def equinox_batch_norm(*, inference: bool) -> Callable[[], tuple[PyTree, Predict]]:
    def build() -> tuple[PyTree, Predict]:
        make = eqx.nn.make_with_state(eqx.nn.BatchNorm)
        model, state = make(WIDTH, axis_name="examples", mode="batch", inference=inference)
        params, static = eqx.partition(model, eqx.is_inexact_array)

        def predict(p: PyTree, x: Array) -> Array:
            return jax.vmap(lambda a: eqx.combine(p, static)(a, state)[0], axis_name="examples")(x)

        return params, predict

    return build


def flax(make: Callable[[nnx.Rngs], nnx.Module]) -> Callable[[], tuple[PyTree, Predict]]:
    def build() -> tuple[PyTree, Predict]:
        graph, params, rest = nnx.split(make(nnx.Rngs(0)), nnx.Param, ...)
        return nnx.to_pure_dict(params), lambda p, x: nnx.merge(graph, p, rest, copy=True)(x)

    return build


def batch_norm(p: PyTree, x: Array) -> Array:
    z = x @ p
    return (z - jnp.mean(z, axis=0)) / jnp.std(z, axis=0)


def named_norm(p: PyTree, x: Array) -> Array:
    with jax.named_scope("my_norm"):
        return x @ p - jnp.mean(x @ p, axis=0)


def attention_across_the_batch(p: PyTree, x: Array) -> Array:
    return jax.nn.softmax((x @ p) @ x.T) @ x


def maximum_pooling_of(x: Array, p: Array) -> Array:
    h = jax.lax.conv_general_dilated(x, p, (1, 1), "SAME")
    return jax.lax.reduce_window(h, -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")


def noise_of_the_batch(p: PyTree, x: Array) -> Array:
    return x @ p * jax.random.bernoulli(jax.random.key(0), 0.5, (x.shape[0], WIDTH))


# What the message must name: the operation, and the layer or the file.
HERE, FLAX = r"test_coupling\.py", r"flax.*normalization\.py"
COUPLED: dict[str, tuple[Case, str, str]] = {
    "equinox-batch-norm": ((equinox_batch_norm(inference=False), VECTORS), "psum", r"BatchNorm"),
    "flax-batch-norm": ((flax(lambda r: nnx.BatchNorm(WIDTH, rngs=r)), VECTORS), "reduce_sum", FLAX),
    "plain-batch-norm": ((plain(batch_norm), VECTORS), "reduce_sum", HERE),
    "named-batch-norm": ((plain(named_norm), VECTORS), "reduce_sum", r"in `my_norm` at .*test_coupling\.py"),
    "jitted-batch-norm": ((plain(jax.jit(batch_norm)), VECTORS), "reduce_sum", HERE),
    "rematerialised": ((plain(jax.checkpoint(batch_norm)), VECTORS), "reduce_sum", HERE),
    "attention-across-the-batch": ((plain(attention_across_the_batch), VECTORS), "dot_general", HERE),
    "square-attention": ((plain(attention_across_the_batch, SQUARE), SQUARE), "dot_general", HERE),
    "examples-mixed-by-a-weight": ((plain(lambda p, x: p @ x, SQUARE), VECTORS), "dot_general", HERE),
    "cumsum": ((plain(lambda p, x: jnp.cumsum(x @ p, axis=0)), VECTORS), "cumsum", HERE),
    "sort": ((plain(lambda p, x: jnp.sort(x @ p, axis=0)), VECTORS), "sort", HERE),
    "rank": ((plain(lambda p, x: x @ p * jnp.argsort(x, axis=0)), VECTORS), "sort", HERE),
    "relative-to-the-best": ((plain(lambda p, x: x @ p - jnp.max(x @ p)), VECTORS), "reduce_max", HERE),
    "over-the-batch-in-sequences": (
        (plain(lambda p, x: x @ p - jnp.mean(x @ p, axis=(0, 1))), SEQUENCES),
        "reduce_sum",
        HERE,
    ),
    "after-a-bias": ((plain(lambda p, x: batch_norm(p, x + p[0])), VECTORS), "reduce_sum", HERE),
    "after-a-convolution-and-pooling": (
        (plain(lambda p, x: (h := maximum_pooling_of(x, p)) - jnp.mean(h, axis=0), jnp.ones((1, 1, 3, 3))), IMAGES),
        "reduce_sum",
        HERE,
    ),
    "after-a-gather": ((plain(lambda p, x: batch_norm(p, x[:, jnp.array([3, 2, 1, 0])])), VECTORS), "reduce_sum", HERE),
    "after-a-concatenation": (
        (plain(lambda p, x: jnp.sum(jnp.concatenate([x @ p, x], axis=1), axis=0) + x @ p[:, :1]), VECTORS),
        "reduce_sum",
        HERE,
    ),
    "after-a-slice": ((plain(lambda p, x: x @ p - jnp.max(x[:, 1:3])), VECTORS), "reduce_max", HERE),
    "inside-a-scan": (
        (plain(lambda p, x: jax.lax.scan(lambda h, _: (h @ p - jnp.mean(h, axis=0), None), x, None, 2)[0]), VECTORS),
        "reduce_sum",
        HERE,
    ),
    "inside-a-branch": (
        (plain(lambda p, x: jax.lax.cond(p[0, 0] > 0, lambda h: h, lambda h: batch_norm(p, h), x) @ p), VECTORS),
        "reduce_sum",
        HERE,
    ),
    "tokens-joined-with-examples": (
        (plain(lambda p, x: (h := x.reshape(-1, WIDTH) @ p) - jnp.mean(h, axis=0)), SEQUENCES),
        "reduce_sum",
        HERE,
    ),
    "reversed": ((plain(lambda p, x: x @ p + x[::-1]), VECTORS), "rev", HERE),
    "after-a-stack": ((plain(lambda p, x: jnp.stack([x @ p, x], axis=0).max(axis=1)), VECTORS), "reduce_max", HERE),
    "after-rows-of-their-own": (
        (plain(lambda p, x: x @ p - jnp.max((x @ p)[jnp.arange(BATCH), jnp.argmax(x, axis=1)])), VECTORS),
        "reduce_max",
        HERE,
    ),
    "the-wrong-one-of-two-equal-axes": ((plain(lambda p, x: jnp.cumsum(x @ p, axis=0)), SQUARES), "cumsum", HERE),
}


@pytest.mark.parametrize(("case", "operation", "place"), COUPLED.values(), ids=COUPLED)
def test_a_model_that_couples_examples_is_refused_with_operation_and_place(
    case: Case, operation: str, place: str
) -> None:
    make, inputs = case
    params, predict = make()
    message = rf"predict couples the examples of a batch, or .*`{operation}` works along their axis.*{place}.*layer or"
    with pytest.raises(ValueError, match=message):
        refuse_coupling(predict, params, inputs)


def map_in_a_map(then: Callable[[Array], Array]) -> Predict:
    """As many numbers for each example as there are examples: only the axis tells one from the other."""

    def predict(p: PyTree, x: Array) -> Array:
        return then(jax.lax.map(lambda a: jax.lax.map(lambda b: jnp.tanh(a @ p @ b), VECTORS), x))

    return predict


# Nothing is computed along the examples, and still one alone would be treated otherwise.
UNPROVEN: dict[str, tuple[Predict, str]] = {
    "noise-of-the-batch": (noise_of_the_batch, "differs from one position of the batch to another"),
    "an-array-for-each-example": (lambda p, x: jnp.tanh((x + VECTORS[::-1]) @ p), "differs from one position"),
    "a-stop-gradiented-maximum": (lambda p, x: x @ p - jax.lax.stop_gradient(jnp.max(x @ p)), "reduce_max"),
    "a-guard": (lambda p, x: jnp.where(jnp.all(jnp.isfinite(x)), x @ p, 0), "reduce_and"),
    "rows-of-others": (lambda p, x: (x @ p)[jnp.arange(BATCH)[::-1], jnp.argmax(x, axis=1)], "differs from one"),
    "positions-in-a-map": (lambda p, x: jax.lax.map(lambda a: a[0] @ p * a[1], (x, jnp.arange(BATCH))), "hands the"),
    "calls-in-a-map": (
        lambda p, x: jax.lax.map(lambda a: jax.pure_callback(lambda b: b, jax.typeof(a), a) @ p, x),
        "is not understood by the proof",
    ),
    "transposed-while-reshaped": (lambda p, x: jax.lax.reshape(x @ p, x.shape, (1, 0)), "is not understood by"),
    "a-map-in-a-map-on-its-side": (map_in_a_map(lambda h: h.T), "another axis than the first"),
    "a-map-in-a-map-summed": (map_in_a_map(lambda h: jnp.sum(h, axis=0)), "reduce_sum"),
    "unheard-of": (lambda p, x: jax.pure_callback(lambda a: a, jax.typeof(x), x) @ p, "is not understood by the proof"),
}


@pytest.mark.parametrize(("predict", "how"), UNPROVEN.values(), ids=UNPROVEN)
def test_what_the_proof_cannot_show_is_not_let_through(predict: Predict, how: str) -> None:
    with pytest.raises(ValueError, match=how):
        refuse_coupling(predict, KERNEL, VECTORS)


def layer_norm(p: PyTree, x: Array) -> Array:
    z = x @ p
    return (z - jnp.mean(z, axis=-1, keepdims=True)) / (1 + jnp.std(z, axis=-1, keepdims=True))


def attention(p: PyTree, x: Array) -> Array:
    scores = jax.nn.softmax(jnp.einsum("bsi,bti->bst", x @ p, x))
    return jnp.einsum("bst,bti->bsi", scores, x)


def along_positions(p: PyTree, x: Array) -> Array:
    """Time first, as recurrent networks like it; sums and sorts along time are no business of the batch."""
    time_first = jnp.swapaxes(x @ p, 0, 1)
    return jnp.swapaxes(jnp.cumsum(time_first, axis=0) + jnp.sort(time_first, axis=0), 0, 1)


def recurrent(p: PyTree, x: Array) -> Array:
    start = jnp.zeros((x.shape[0], WIDTH))
    return jax.lax.scan(lambda h, a: (jnp.tanh(h @ p + a), 0.0), start, jnp.moveaxis(x, 1, 0))[0]


def flattened_tokens(p: PyTree, x: Array) -> Array:
    return (x.reshape(-1, WIDTH) @ p).reshape(x.shape).mean(axis=1)


def maximum_pooling(p: PyTree, x: Array) -> Array:
    window = (1, 1, 2, 2)
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID").reshape(x.shape[0], -1) @ p


def convolution(p: PyTree, x: Array) -> Array:
    return jnp.mean(jax.lax.conv_general_dilated(x, p, (1, 1), "SAME"), axis=(2, 3))


def with_unused_statistics(p: PyTree, x: Array) -> Array:
    """Statistics of the batch for a log: the outputs know nothing of them."""
    z = x @ p
    outputs, _ = z, {"mean": jnp.mean(z), "largest": jnp.max(z, axis=0)}
    return outputs


def weight_on_the_left(p: PyTree, x: Array) -> Array:
    return (p @ x.T).T


ONES = jnp.ones((2, 1, 3, 3))
INDEPENDENT: dict[str, Case] = {
    "layer-norm": (plain(layer_norm), VECTORS),
    "layer-norm-of-a-square": (plain(layer_norm, SQUARE), SQUARE),
    "equinox-layer-norm": (equinox(lambda: eqx.nn.LayerNorm(WIDTH)), VECTORS),
    "equinox-group-norm": (equinox(lambda: eqx.nn.GroupNorm(2, WIDTH)), VECTORS),
    "flax-layer-norm": (flax(lambda r: nnx.LayerNorm(WIDTH, rngs=r)), VECTORS),
    "flax-group-norm": (flax(lambda r: nnx.GroupNorm(WIDTH, num_groups=2, rngs=r)), VECTORS),
    "equinox-batch-norm-in-inference": (equinox_batch_norm(inference=True), VECTORS),
    "flax-batch-norm-in-inference": (
        flax(lambda r: nnx.BatchNorm(WIDTH, use_running_average=True, rngs=r)),
        VECTORS,
    ),
    "attention": (plain(attention), SEQUENCES),
    "attention-with-as-many-positions-as-examples": (plain(attention), SQUARES),
    "equinox-attention": (
        equinox(lambda: eqx.nn.MultiheadAttention(2, WIDTH, key=jax.random.key(0)), times=3),
        SEQUENCES,
    ),
    "flax-attention": (flax(lambda r: nnx.MultiHeadAttention(2, WIDTH, decode=False, rngs=r)), SEQUENCES),
    "along-positions": (plain(along_positions), SEQUENCES),
    "along-as-many-positions-as-examples": (plain(along_positions), SQUARES),
    "recurrent": (plain(recurrent), SEQUENCES),
    "flattened-tokens": (plain(flattened_tokens), SEQUENCES),
    "one-example": (plain(flattened_tokens), SEQUENCES[:1]),
    "convolution": (plain(convolution, ONES), IMAGES),
    "equinox-convolution": (equinox(lambda: eqx.nn.Conv2d(1, 2, 2, key=jax.random.key(0))), IMAGES),
    "maximum-pooling": (plain(maximum_pooling), IMAGES),
    "equinox-maximum-pooling": (
        equinox(lambda: eqx.nn.Sequential([eqx.nn.MaxPool2d(2, 2), eqx.nn.Conv2d(1, 1, 1, key=jax.random.key(0))])),
        IMAGES,
    ),
    "embedding": (plain(lambda p, words: jnp.mean(p[words], axis=1), jnp.ones((5, WIDTH))), WORDS),
    "flax-embedding": (flax(lambda r: nnx.Embed(5, WIDTH, rngs=r)), WORDS),
    "mapped-sort": (plain(lambda p, x: jax.vmap(lambda a: jnp.sort(a, axis=0) @ p)(x)), SEQUENCES),
    "median-of-positions": (plain(lambda p, x: jnp.median(x @ p, axis=1)), SEQUENCES),
    "weight-on-the-left": (plain(weight_on_the_left), VECTORS),
    "square-weight-on-the-left": (plain(weight_on_the_left, SQUARE), SQUARE),
    "unused-statistics": (plain(with_unused_statistics), VECTORS),
    "unused-statistics-under-jit": (plain(jax.jit(with_unused_statistics)), VECTORS),
    "two-views-of-the-batch": (
        plain(lambda p, x: (h := jnp.concatenate([x, -x]) @ p)[:BATCH] * h[BATCH:]),
        VECTORS,
    ),
    "mapped-one-by-one": (plain(lambda p, x: jax.lax.map(lambda a: jnp.cumsum(a @ p), x)), VECTORS),
    "a-map-in-a-map": (plain(map_in_a_map(lambda h: h)), VECTORS),
    "parameters-carried": (plain(lambda p, x: jax.lax.scan(lambda p, a: (p, jnp.tanh(a @ p)), p, x)[1]), VECTORS),
    "a-loop-of-ones-own": (
        plain(lambda p, x: jax.lax.map(lambda a: jax.lax.while_loop(lambda b: b @ b > 1, lambda b: b / 2, a @ p), x)),
        VECTORS,
    ),
    "stacked": (plain(lambda p, x: jnp.stack([x @ p, x], axis=1).sum(axis=1)), VECTORS),
    "unstacked": (plain(lambda p, x: jnp.add(*jnp.unstack(x @ p, axis=1)[:2])), VECTORS),
    "split": (plain(lambda p, x: jnp.add(*jnp.split(jnp.concatenate([x @ p, x]), 2))), VECTORS),
    "rows-of-their-own": (plain(lambda p, x: (x @ p)[jnp.arange(BATCH), jnp.argmax(x, axis=1)]), VECTORS),
    "columns-of-their-own": (plain(lambda p, x: (x @ p).T[jnp.argmax(x, axis=1), jnp.arange(BATCH)]), VECTORS),
    "written-into-zeros": (plain(lambda p, x: jnp.zeros(x.shape).at[:, jnp.array([0, 1])].set(x @ p[:, :2])), VECTORS),
    "written-into-by-each": (
        plain(lambda p, x: jax.vmap(lambda a, k: a.at[k].set(1.0))(x @ p, jnp.argmax(x, axis=1))),
        VECTORS,
    ),
    "a-branch": (plain(lambda p, x: jax.lax.cond(p[0, 0] > 0, jnp.tanh, jnp.sin, x @ p)), VECTORS),
    "along-the-other-axis-of-a-branch": (plain(lambda p, x: jnp.cumsum(x @ p, axis=1)[:, ::-1]), VECTORS),
    "labels-in-the-inputs": (plain(lambda p, x: jnp.take_along_axis(x @ p, jnp.argsort(x, 1)[:, :1], 1)), VECTORS),
    "bias": (plain(lambda p, x: x @ p + p[0]), VECTORS),
    "a-loop": (plain(lambda p, x: jax.lax.fori_loop(0, 3, lambda i, h: jnp.tanh(h @ p), x)), VECTORS),
    "written-into": (plain(lambda p, x: x.at[:, 0].set(1.0) @ p), VECTORS),
    "solved": (
        plain(lambda p, x: jnp.linalg.solve((x @ p)[:, :, None] * x[:, None] + jnp.eye(WIDTH), x[:, :, None])[..., 0]),
        VECTORS,
    ),
    "in-the-order-of-fortran": (
        plain(lambda p, x: (x @ p).ravel(order="F").reshape((BATCH, WIDTH), order="F")),
        VECTORS,
    ),
    "tiled": (plain(lambda p, x: jnp.tile(x @ p, (1, 2))), VECTORS),
    "normalised-weights": (plain(lambda p, x: x @ (p / jnp.sum(p, axis=0))), VECTORS),
}


@pytest.mark.parametrize("case", INDEPENDENT.values(), ids=INDEPENDENT)
def test_a_model_of_independent_examples_passes(case: Case) -> None:
    make, inputs = case
    params, predict = make()
    refuse_coupling(predict, params, inputs)
    if inputs.shape[0] > 1 and jnp.issubdtype(inputs.dtype, jnp.floating):
        # The row is right: one example changes, and the outputs of the others do not.
        run = jax.jit(predict)
        one, other = run(params, inputs), run(params, inputs.at[0].mul(-2))
        np.testing.assert_allclose(one[1:], other[1:], rtol=1e-5, atol=1e-6)

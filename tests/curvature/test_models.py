"""Blocks of models as they come: equinox, flax nnx and plain functions, against dense derivatives in float64.

Each model says which of its parameters are recognised as used linearly (`curvature.structure`), so that none falls back
to Hessian-vector products unnoticed. What is left over are the scales of layer norms.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from qnewton._core.trees import leaf_names
from qnewton._curvature import AbstractCurvature, Batch, Block, GaussNewton, Hessian, Objective, per_layer, per_tensor
from qnewton._curvature.structure import trace

BATCH, CLASSES, LENGTH, WORDS, WIDTH = 4, 3, 3, 5, 4
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}  # relative to the largest entry of the block

Predict = Callable[[PyTree, Array], Array]


def of_one(predict: Callable) -> Callable:
    """The raveled outputs of one example, from a model of batches."""
    return lambda params, x: jnp.ravel(predict(params, jax.tree.map(lambda leaf: leaf[None], x))[0])


class Case(NamedTuple):
    """A model as `(params, predict)`, its kind of inputs, and the names of the parameters that are not recognised."""

    make: Callable[[], tuple[PyTree, Predict]]
    inputs: Callable[[np.random.Generator], np.ndarray]
    unrecognised: set[str]


def vectors(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((BATCH, 3)).astype(np.float32)


def images(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((BATCH, 4, 4, 2)).astype(np.float32)


def sentences(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, WORDS, (BATCH, LENGTH))


# Equinox -------------------------------------------------------------------------------------------------------------


def of_equinox(model: Callable) -> tuple[PyTree, Predict]:
    params, static = eqx.partition(model, eqx.is_inexact_array)
    return params, lambda p, x: jax.vmap(eqx.combine(p, static))(x)


def equinox_mlp() -> tuple[PyTree, Predict]:
    return of_equinox(eqx.nn.MLP(3, CLASSES, width_size=4, depth=1, activation=jnp.tanh, key=jax.random.key(0)))


def equinox_convolutions() -> tuple[PyTree, Predict]:
    keys = jax.random.split(jax.random.key(0), 3)

    class Net(eqx.Module):
        plane: eqx.nn.Conv2d = eqx.nn.Conv2d(2, 3, 2, stride=2, padding=1, key=keys[0])
        line: eqx.nn.Conv1d = eqx.nn.Conv1d(3, 2, 3, dilation=2, key=keys[1])
        head: eqx.nn.Linear = eqx.nn.Linear(10, CLASSES, key=keys[2])

        def __call__(self, x: Array) -> Array:
            hidden = jnp.tanh(self.plane(jnp.moveaxis(x, -1, 0)))
            return self.head(jnp.tanh(self.line(hidden.reshape(3, -1))).reshape(-1))

    return of_equinox(Net())


def equinox_transformer() -> tuple[PyTree, Predict]:
    keys = jax.random.split(jax.random.key(0), 3)

    class Net(eqx.Module):
        embedding: eqx.nn.Embedding = eqx.nn.Embedding(WORDS, WIDTH, key=keys[0])
        norm: eqx.nn.LayerNorm = eqx.nn.LayerNorm(WIDTH)
        attention: eqx.nn.MultiheadAttention = eqx.nn.MultiheadAttention(
            2, WIDTH, use_value_bias=True, use_output_bias=True, key=keys[1]
        )
        head: eqx.nn.Linear = eqx.nn.Linear(WIDTH, CLASSES, key=keys[2])

        def __call__(self, words: Array) -> Array:
            x = jax.vmap(self.embedding)(words)
            h = jax.vmap(self.norm)(x)
            x = x + self.attention(h, h, h, mask=jnp.tril(jnp.ones((LENGTH, LENGTH), bool)))
            return jnp.sum(jnp.tanh(jax.vmap(self.head)(x)), axis=0)

    return of_equinox(Net())


# Flax ----------------------------------------------------------------------------------------------------------------


def of_flax(model: nnx.Module) -> tuple[PyTree, Predict]:
    graph, params, rest = nnx.split(model, nnx.Param, ...)
    return nnx.to_pure_dict(params), lambda p, x: nnx.merge(graph, p, rest)(x)


def flax_convolutions() -> tuple[PyTree, Predict]:
    class Net(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.plane = nnx.Conv(2, 3, (2, 2), strides=2, padding="SAME", rngs=rngs)
            self.head = nnx.Linear(12, CLASSES, rngs=rngs)

        def __call__(self, x: Array) -> Array:
            return self.head(nnx.silu(self.plane(x)).reshape(x.shape[0], -1))

    return of_flax(Net(nnx.Rngs(0)))


def double_attention(query: Array, key: Array, value: Array, **_: object) -> Array:
    """What flax computes by default, where the softmax is in float32 whatever the inputs are."""
    scores = jnp.einsum("bshi,bthi->bhst", query, key) / jnp.sqrt(query.shape[-1])
    return jnp.einsum("bhst,bthi->bshi", jax.nn.softmax(scores), value)


def flax_transformer() -> tuple[PyTree, Predict]:
    class Net(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            width = jnp.result_type(float)
            self.embedding = nnx.Embed(WORDS, WIDTH, dtype=width, rngs=rngs)
            self.norm = nnx.LayerNorm(WIDTH, rngs=rngs)
            self.attention = nnx.MultiHeadAttention(
                2,
                WIDTH,
                decode=False,
                attention_fn=double_attention if width == jnp.float64 else nnx.dot_product_attention,
                rngs=rngs,
            )
            self.head = nnx.Linear(WIDTH, CLASSES, rngs=rngs)

        def __call__(self, words: Array) -> Array:
            x = self.embedding(words)
            x = x + self.attention(self.norm(x))
            return jnp.sum(jnp.tanh(self.head(x)), axis=1)

    return of_flax(Net(nnx.Rngs(0)))


# Plain functions -----------------------------------------------------------------------------------------------------


def plain_convolution() -> tuple[PyTree, Predict]:
    """A kernel shared by two scales of the image."""
    params = {"kernel": np.zeros((2, 2, 2, 3)), "bias": np.zeros(3), "head": np.zeros((3, CLASSES))}

    def predict(p: PyTree, x: Array) -> Array:
        def layer(x: Array) -> Array:
            z = jax.lax.conv_general_dilated(
                x, p["kernel"], (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            return jnp.mean(jax.nn.softplus(z + p["bias"]), axis=(1, 2))

        return (layer(x) + layer(x[:, ::2, ::2])) @ p["head"]

    return params, predict


def plain_transformer() -> tuple[PyTree, Predict]:
    """With positions, a fused projection, a head tied to the embedding."""
    params = {
        "embedding": np.zeros((WORDS, WIDTH)),
        "position": np.zeros((LENGTH + 1, WIDTH)),
        "fused": {"weight": np.zeros((WIDTH, 3 * WIDTH)), "bias": np.zeros(3 * WIDTH)},
        "out": np.zeros((2, 2, WIDTH)),
    }

    def predict(p: PyTree, words: Array) -> Array:
        x = p["embedding"][words] + p["position"][:LENGTH]
        # A matrix product for each of query, key and value, as some libraries have it.
        weights, biases = (jnp.split(p["fused"][name], 3, axis=-1) for name in ("weight", "bias"))
        q, k, v = ((x @ w + b).reshape(*x.shape[:-1], 2, 2) for w, b in zip(weights, biases, strict=True))
        scores = jax.nn.softmax(jnp.einsum("bshi,bthi->bhst", q, k))
        x = x + jnp.einsum("bhst,bthi,hid->bsd", scores, v, p["out"])
        return jnp.mean(x, axis=1) @ p["embedding"][:CLASSES].T

    return params, predict


CASES = {
    "equinox_mlp": Case(equinox_mlp, vectors, set()),
    "equinox_convolutions": Case(equinox_convolutions, images, set()),
    "equinox_transformer": Case(equinox_transformer, sentences, {"norm.weight"}),
    "flax_convolutions": Case(flax_convolutions, images, set()),
    "flax_transformer": Case(flax_transformer, sentences, {"norm.scale"}),
    "plain_convolution": Case(plain_convolution, images, set()),
    "plain_transformer": Case(plain_transformer, sentences, set()),
}


# Oracles -------------------------------------------------------------------------------------------------------------


def cross_entropy(logits: Array, labels: Array) -> Array:
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=-1)[:, 0]


def dense_hessian(objective: Objective, params: PyTree, batch: Batch) -> Array:
    vector, unravel = ravel_pytree(params)

    def mean_loss(w: Array) -> Array:
        return jnp.mean(cross_entropy(objective.predict(unravel(w), batch[0]), batch[1]))

    return jax.hessian(mean_loss)(vector)


def dense_gauss_newton(objective: Objective, params: PyTree, batch: Batch) -> Array:
    vector, unravel = ravel_pytree(params)

    def outputs(w: Array) -> Array:
        return objective.predict(unravel(w), batch[0])

    jacobian = jax.jacfwd(outputs)(vector)
    p = jax.nn.softmax(outputs(vector))
    curvature = jnp.eye(CLASSES) * p[:, None, :] - p[:, :, None] * p[:, None, :]
    return jnp.einsum("bcp,bcd,bdq->pq", jacobian, curvature, jacobian) / BATCH


CURVATURES: dict[str, tuple[AbstractCurvature, Callable[..., Array]]] = {
    "hessian": (Hessian(), dense_hessian),
    "gauss_newton": (GaussNewton(), dense_gauss_newton),
}

# Unoptimised: the algebra is on trial here and not the compiler.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@functools.cache
def build(name: str, width: str) -> tuple[Objective, PyTree, Batch]:
    """Parameters and data are drawn in float32, so that both widths see the same model.

    The parameters are small enough for attention not to saturate, where float32 has few digits left of a derivative.
    """
    rng = np.random.default_rng(3)
    with jax.enable_x64(width == "float64"):
        shapes, predict = CASES[name].make()
        inputs = CASES[name].inputs(rng)
        inputs = jnp.asarray(inputs, width if inputs.dtype == np.float32 else None)
        params = jax.tree.map(
            lambda leaf: jnp.asarray((rng.standard_normal(leaf.shape) / 2).astype(np.float32), width), shapes
        )
        return Objective(predict, cross_entropy), params, (inputs, jnp.asarray(rng.integers(0, CLASSES, BATCH)))


@functools.cache
def oracle(name: str) -> dict[str, np.ndarray]:
    """The whole matrices in float64."""
    with jax.enable_x64(True):
        objective, params, batch = build(name, "float64")

        @jit
        def run(params: PyTree, batch: Batch) -> dict[str, Array]:
            return {curvature: dense(objective, params, batch) for curvature, (_, dense) in CURVATURES.items()}

        return jax.tree.map(np.asarray, run(params, batch))


def blocks_of(params: PyTree, width: str) -> dict[tuple[int, ...], Block]:
    # Every layer, and some tensors without the rest of theirs. The other width adds only rounding, which need not be
    # seen (and compiled) in each block.
    blocks = [*per_layer(params), *per_tensor(params)[::3]] if width == "float64" else per_layer(params)[::3]
    return {block.leaves: block for block in blocks}


@functools.cache
def form(name: str, width: str) -> dict[str, dict[tuple[int, ...], np.ndarray]]:
    """Every block of either curvature, all compiled together."""
    objective, params, batch = build(name, width)
    blocks = blocks_of(params, width)

    @jit
    def run(params: PyTree, batch: Batch) -> dict[str, dict[tuple[int, ...], Array]]:
        return {
            curvature: {
                leaves: subject.form(objective, params, batch, block).matrix for leaves, block in blocks.items()
            }
            for curvature, (subject, _) in CURVATURES.items()
        }

    return jax.tree.map(np.asarray, run(params, batch))


models = pytest.mark.parametrize("name", CASES)
# Single precision: one model of each library, and each kind of layer.
WIDTHS = [(name, "float64") for name in CASES]
WIDTHS += [(name, "float32") for name in ("equinox_convolutions", "flax_transformer", "plain_transformer")]


@pytest.mark.parametrize(("name", "dtype"), WIDTHS, indirect=["dtype"])
@pytest.mark.parametrize("curvature", CURVATURES)
def test_every_block_of_a_model_equals_the_dense_one(name: str, curvature: str, dtype: jnp.dtype) -> None:
    params = build(name, dtype.name)[1]
    sizes = [leaf.size for leaf in jax.tree.leaves(params)]
    starts = np.cumsum([0, *sizes])
    expected = oracle(name)[curvature]
    actual = form(name, dtype.name)[curvature]
    assert dtype == "float32" or {leaf for leaves in actual for leaf in leaves} == set(range(len(sizes)))
    for leaves, block in actual.items():
        rows = np.concatenate([np.arange(starts[leaf], starts[leaf + 1]) for leaf in leaves])
        dense = expected[np.ix_(rows, rows)]
        # The bias of a key changes nothing (it adds the same to every score): its block is zero, but for the rounding
        # of what cancels.
        scale = max(np.max(np.abs(dense)), 0.1 * np.max(np.abs(expected)))
        assert block.dtype == dtype
        np.testing.assert_allclose(block, dense, rtol=0, atol=TOLERANCE[dtype.name] * scale, err_msg=str(leaves))


@models
def test_the_parameters_of_a_model_are_recognised(name: str) -> None:
    objective, params, (inputs, _) = build(name, "float32")
    program = trace(of_one(objective.predict), params, inputs)
    unrecognised = {leaf for position, leaf in enumerate(leaf_names(params)) if position not in program.uses}
    assert unrecognised == CASES[name].unrecognised


@models
def test_the_flattened_model_computes_what_the_model_computes(name: str) -> None:
    objective, params, (inputs, _) = build(name, "float32")
    program = trace(of_one(objective.predict), params, inputs)
    uses = [use for found in program.uses.values() for use in found]
    still = {use: jnp.zeros((use.positions, use.index.shape[1])) for use in uses}

    @jit
    def both(params: PyTree, inputs: Array) -> tuple[Array, Array]:
        return jax.vmap(lambda x: program.run(params, x, still)[0])(inputs), objective.predict(params, inputs)

    actual, expected = both(params, inputs)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)

"""What every curvature must do, on every model; a new curvature is one row of `CURVATURES`.

The oracle works on the whole parameter vector in float64 and on the whole batch, and cuts each block out of the result
by index arithmetic of its own: no block, no chunk and no product of the library is involved.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from qnewton._core.records import System
from qnewton._curvature import (
    AbstractCurvature,
    Batch,
    Block,
    GaussNewton,
    Hessian,
    Objective,
    Partition,
    per_layer,
    per_tensor,
    whole,
)
from qnewton.testing import dense_hessian_block

BATCH = 7
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}  # relative to the largest entry of the block


# Models --------------------------------------------------------------------------------------------------------------


class Model(NamedTuple):
    objective: Objective
    params: PyTree
    batch: Batch


def draw(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Normal numbers that float32 holds exactly, so that both widths see the same model."""
    return rng.standard_normal(shape).astype(np.float32).astype(np.float64)


def cross_entropy(logits: Array, labels: Array) -> Array:
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=-1)[:, 0]


def squares(outputs: Array, targets: Array) -> Array:
    return jnp.sum((outputs - targets) ** 2, axis=-1) / 2


def equinox_mlp(activation: Callable, rng: np.random.Generator) -> tuple[PyTree, Callable]:
    model = eqx.nn.MLP(3, 3, width_size=4, depth=1, activation=activation, key=jax.random.key(0))
    shapes, static = eqx.partition(model, eqx.is_inexact_array)
    params = jax.tree.map(lambda leaf: draw(rng, *leaf.shape), shapes)
    return params, lambda p, x: jax.vmap(eqx.combine(p, static))(x)


def relu_mlp(rng: np.random.Generator) -> Model:
    """Classification; outputs are piecewise linear in each tensor."""
    params, predict = equinox_mlp(jax.nn.relu, rng)
    return Model(Objective(predict, cross_entropy), params, (draw(rng, BATCH, 3), rng.integers(0, 3, BATCH)))


def tanh_mlp(rng: np.random.Generator) -> Model:
    """Regression."""
    params, predict = equinox_mlp(jnp.tanh, rng)
    return Model(Objective(predict, squares), params, (draw(rng, BATCH, 3), draw(rng, BATCH, 3)))


def plain_dict(rng: np.random.Generator) -> Model:
    """A function of nested dicts with a scalar leaf (n = 1); outputs of shape `[batch]`, weighted examples in dicts."""
    params = {
        "log_gain": draw(rng),
        "hidden": [{"weight": draw(rng, 3, 2), "bias": draw(rng, 2)}],
        "head": draw(rng, 2),
    }

    def predict(p: PyTree, inputs: PyTree) -> Array:
        hidden = jnp.sin(inputs["x"] @ p["hidden"][0]["weight"] + p["hidden"][0]["bias"])
        return jnp.exp(p["log_gain"]) * (hidden @ p["head"])

    def logistic(logits: Array, targets: PyTree) -> Array:
        return targets["weight"] * (jnp.logaddexp(0, logits) - targets["label"] * logits)

    targets = {"label": rng.integers(0, 2, BATCH), "weight": np.abs(draw(rng, BATCH))}
    return Model(Objective(predict, logistic), params, ({"x": draw(rng, BATCH, 3)}, targets))


def tied_embedding(rng: np.random.Generator) -> Model:
    """One matrix as embedding and as head: the second use takes the output of the first."""
    params = {"embedding": draw(rng, 4, 3), "mix": {"weight": draw(rng, 3, 3), "bias": draw(rng, 3)}}

    def predict(p: PyTree, tokens: Array) -> Array:
        return jnp.tanh(p["embedding"][tokens] @ p["mix"]["weight"] + p["mix"]["bias"]) @ p["embedding"].T

    tokens, labels = rng.integers(0, 4, BATCH), rng.integers(0, 4, BATCH)
    return Model(Objective(predict, cross_entropy), params, (tokens, labels))


def attention(rng: np.random.Generator) -> Model:
    """Positions share the weights and see each other; the outputs have a position axis besides the features."""
    params = {"query": draw(rng, 3, 2), "key": draw(rng, 3, 2), "value": draw(rng, 3, 2)}

    def predict(p: PyTree, x: Array) -> Array:
        scores = jnp.einsum("bsi,bti->bst", x @ p["query"], x @ p["key"])
        return jnp.einsum("bst,bti->bsi", jax.nn.softmax(scores), x @ p["value"])

    def log_cosh(outputs: Array, targets: Array) -> Array:
        return jnp.sum(jnp.logaddexp(outputs - targets, targets - outputs), axis=(-2, -1))

    return Model(Objective(predict, log_cosh), params, (draw(rng, BATCH, 4, 3), draw(rng, BATCH, 4, 2)))


MODELS = (relu_mlp, tanh_mlp, plain_dict, tied_embedding, attention)


def interleaved(params: PyTree) -> tuple[Block, ...]:
    """A custom partition: blocks of leaves that are not neighbours, and not in order."""
    leaves = jax.tree.leaves(params)
    groups = [tuple(range(len(leaves)))[start::2][::-1] for start in (0, 1)]
    return tuple(Block(f"every-other-{g}", g, sum(leaves[i].size for i in g)) for g in groups)


# Oracles -------------------------------------------------------------------------------------------------------------


def exact_hessian(model: Model) -> Array:
    vector, unravel = ravel_pytree(model.params)
    return jax.jit(jax.hessian(lambda w: model.objective(unravel(w), model.batch)))(vector)


def dense_gauss_newton(model: Model) -> Array:
    """`(1/B) sum_n J_n^T D_n J_n` from the Jacobian of the whole batch, forwards."""
    vector, unravel = ravel_pytree(model.params)
    inputs, targets = model.batch

    def outputs(w: Array) -> Array:
        return model.objective.predict(unravel(w), inputs)

    def loss(z: Array, y: PyTree) -> Array:
        return model.objective.loss(z[None], jax.tree.map(lambda leaf: leaf[None], y))[0]

    @jax.jit
    def matrix(w: Array) -> Array:
        z = outputs(w)
        curvature = jax.vmap(jax.hessian(loss))(z, targets).reshape(BATCH, z[0].size, z[0].size)
        jacobian = jax.jacfwd(outputs)(w).reshape(BATCH, z[0].size, w.size)
        return jnp.einsum("bcp,bcd,bdq->pq", jacobian, curvature, jacobian) / BATCH

    return matrix(vector)


# The case table ------------------------------------------------------------------------------------------------------


class Case(NamedTuple):
    curvature: AbstractCurvature
    oracle: Callable[[Model], Array]


CURVATURES = {
    "hessian": Case(Hessian(), exact_hessian),
    "gauss_newton": Case(GaussNewton(), dense_gauss_newton),
}

MODEL_NAMES = [make.__name__ for make in MODELS]
curvatures = pytest.mark.parametrize("name", CURVATURES)
models = pytest.mark.parametrize("model", MODEL_NAMES)


@functools.cache
def build(model: str, width: str) -> Model:
    make = MODELS[MODEL_NAMES.index(model)]

    def cast(leaf: np.ndarray) -> Array:
        return jnp.asarray(leaf, width if np.issubdtype(leaf.dtype, np.floating) else None)

    with jax.enable_x64(width == "float64"):
        objective, params, batch = make(np.random.default_rng(5))
        return Model(objective, jax.tree.map(cast, params), jax.tree.map(cast, batch))


@functools.cache
def oracle(name: str, model: str) -> np.ndarray:
    """The whole matrix in float64."""
    with jax.enable_x64(True):
        return np.asarray(CURVATURES[name].oracle(build(model, "float64")))


# Every partition in one width; the other adds only rounding, which need be seen (and compiled) once for each leaf.
PARTITIONS = {"float64": (whole, per_layer, per_tensor, interleaved), "float32": (per_tensor,)}


def all_blocks(params: PyTree, partitions: Sequence[Partition]) -> tuple[Block, ...]:
    # Partitions share blocks (one leaf per layer, say); each is formed once.
    blocks = itertools.chain.from_iterable(partition(params) for partition in partitions)
    return tuple({block.leaves: block for block in blocks}.values())


@functools.cache
def form(name: str, model: str, width: str) -> dict[tuple[int, ...], System]:
    """All blocks of all partitions, formed in one jit."""
    objective, params, batch = build(model, width)
    blocks = all_blocks(params, PARTITIONS[width])

    @jax.jit
    def run(params: PyTree, batch: Any) -> list[System]:
        return [CURVATURES[name].curvature.form(objective, params, batch, block) for block in blocks]

    return {block.leaves: system for block, system in zip(blocks, run(params, batch), strict=True)}


def cut(matrix: np.ndarray, params: PyTree, leaves: tuple[int, ...]) -> np.ndarray:
    """The rows and columns of the given leaves, in their order."""
    sizes = [leaf.size for leaf in jax.tree.leaves(params)]
    starts = np.cumsum([0, *sizes])
    rows = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in leaves])
    return matrix[np.ix_(rows, rows)]


def assert_close(actual: Array, expected: np.ndarray, tolerance: float, what: object) -> None:
    scale = np.max(np.abs(expected))
    assert scale > 0, f"{what}: a zero block proves nothing"
    error = np.max(np.abs(np.asarray(actual, np.float64) - expected)) / scale
    assert error <= tolerance, f"{what}: relative error {error:.1e}"


# The contract --------------------------------------------------------------------------------------------------------


@curvatures
@models
def test_every_block_equals_the_dense_oracle(name: str, model: str, dtype: jnp.dtype) -> None:
    params = build(model, dtype.name).params
    expected = oracle(name, model)
    systems = form(name, model, dtype.name)
    assert len(systems) >= 3
    for leaves, system in systems.items():
        assert_close(system.matrix, cut(expected, params, leaves), TOLERANCE[dtype.name], leaves)
    assert {i for leaves in systems for i in leaves} == set(range(len(jax.tree.leaves(params))))


@curvatures
@models
def test_a_formed_system_is_symmetric_in_the_dtype_of_the_parameters_and_untouched(
    name: str, model: str, dtype: jnp.dtype
) -> None:
    params = build(model, dtype.name).params
    for leaves, system in form(name, model, dtype.name).items():
        n = sum(jax.tree.leaves(params)[i].size for i in leaves)
        assert system.matrix.shape == (n, n)
        assert system.matrix.dtype == dtype
        np.testing.assert_array_equal(system.matrix, system.matrix.T)
        assert system.symmetric
        assert (system.damping, system.kept_fraction, system.perturbation) == (0, 1, 0)
        assert {leaf.dtype for leaf in jax.tree.leaves(system)} == {dtype}


@curvatures
@models
def test_an_eigenvalue_floor_lies_at_or_below_the_smallest_eigenvalue(name: str, model: str, dtype: jnp.dtype) -> None:
    for leaves, system in form(name, model, dtype.name).items():
        assert (system.eigenvalue_floor is not None) == CURVATURES[name].curvature.semidefinite
        if system.eigenvalue_floor is not None:
            eigenvalues = np.linalg.eigvalsh(np.asarray(system.matrix, np.float64))
            rounding = len(eigenvalues) * np.finfo(dtype).eps * eigenvalues[-1]
            assert eigenvalues[0] >= system.eigenvalue_floor - rounding, leaves


@curvatures
def test_a_repeated_batch_changes_nothing(name: str) -> None:
    """The block is a mean over the examples, not a sum, and the order of the examples does not matter."""
    with jax.enable_x64(True):
        objective, params, batch = build("plain_dict", "float64")
        (block,) = whole(params)
        order = np.random.default_rng(1).permutation(np.repeat(np.arange(BATCH), 3))
        repeated = jax.tree.map(lambda leaf: leaf[order], batch)
        system = jax.jit(lambda b: CURVATURES[name].curvature.form(objective, params, b, block))(repeated)
    assert_close(system.matrix, oracle(name, "plain_dict"), 1e-12, name)


@curvatures
def test_a_poisoned_example_shows(name: str) -> None:
    """NaN in one example must reach the matrix, where the step looks for it."""
    objective, params, (inputs, targets) = build("tanh_mlp", "float32")
    block = per_tensor(params)[0]
    poisoned = (inputs.at[3, 1].set(jnp.nan), targets)
    system = jax.jit(lambda b: CURVATURES[name].curvature.form(objective, params, b, block))(poisoned)
    assert np.isnan(system.matrix).any()


@curvatures
def test_a_loss_that_averages_is_refused(name: str) -> None:
    objective, params, batch = build("tanh_mlp", "float32")
    averaged = Objective(objective.predict, lambda z, y: jnp.mean(squares(z, y)))
    with pytest.raises(ValueError, match=r"loss returned shape \(\).*one value per example"):
        CURVATURES[name].curvature.form(averaged, params, batch, whole(params)[0])


# Facts that tie the curvatures to each other and to the models -------------------------------------------------------


def test_hessian_and_gauss_newton_agree_for_each_tensor_of_a_relu_network(dtype: jnp.dtype) -> None:
    """Away from kinks the outputs are linear in one tensor, so the second term of the Hessian vanishes."""
    params = build("relu_mlp", dtype.name).params
    exact, approximate = (form(name, "relu_mlp", dtype.name) for name in ("hessian", "gauss_newton"))
    for block in per_tensor(params):
        assert_close(
            approximate[block.leaves].matrix, np.asarray(exact[block.leaves].matrix), TOLERANCE[dtype.name], block.name
        )


def test_hessian_and_gauss_newton_differ_for_the_whole_relu_network_and_for_tanh() -> None:
    """The counterpart: without it the agreement above would not tell the two apart."""
    assert np.max(np.abs(oracle("hessian", "relu_mlp") - oracle("gauss_newton", "relu_mlp"))) > 0.01
    params = build("tanh_mlp", "float64").params
    exact, approximate = oracle("hessian", "tanh_mlp"), oracle("gauss_newton", "tanh_mlp")
    for block in per_tensor(params)[:-2]:  # all but the last layer, in which the outputs are linear
        difference = cut(exact - approximate, params, block.leaves)
        assert np.max(np.abs(difference)) > 0.01, block.name


def test_exact_blocks_of_these_models_are_indefinite() -> None:
    """So that `Hessian` claiming semidefiniteness would be a lie that the floor test catches."""
    for model in MODEL_NAMES:
        assert np.linalg.eigvalsh(oracle("hessian", model))[0] < -1e-3, model


def test_ignoring_the_second_use_of_the_tied_matrix_would_show() -> None:
    """The two uses of the embedding do not simply add: the block is not what one use alone gives."""
    with jax.enable_x64(True):
        _, params, batch = build("tied_embedding", "float64")

        def untied(embedding: Array) -> Array:
            hidden = jnp.tanh(embedding[batch[0]] @ params["mix"]["weight"] + params["mix"]["bias"])
            return jnp.mean(cross_entropy(hidden @ params["embedding"].T, batch[1]))

        one_use = np.asarray(jax.jit(jax.hessian(untied))(params["embedding"])).reshape(12, 12)
    block = per_tensor(params)[0]
    assert block.name == "embedding"
    both = cut(oracle("hessian", "tied_embedding"), params, block.leaves)
    assert np.max(np.abs(both - one_use)) > 0.1 * np.max(np.abs(both))


def test_the_shipped_oracle_agrees_with_the_cut_of_the_whole() -> None:
    with jax.enable_x64(True):
        objective, params, batch = build("plain_dict", "float64")
        block = interleaved(params)[0]
        block_of = jax.jit(lambda p: dense_hessian_block(objective, p, batch, block))
        assert_close(block_of(params), cut(oracle("hessian", "plain_dict"), params, block.leaves), 1e-12, block.name)

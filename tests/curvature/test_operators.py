"""Every question that a solver may ask of a block that was not formed, against dense matrices in float64.

The oracles differentiate whole batches (or, for the empirical Fisher, single examples) in the whole parameter vector,
and cut blocks out by index arithmetic; no block, layer or layout of the library is involved. A new curvature is one row
of `CURVATURES`, with the paths that its blocks take in `PATHS`.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from qnewton._core.operators import AbstractCurvatureOperator, Path, Shifted, max_entry, path_of
from qnewton._core.trees import leaf_names
from qnewton._curvature import (
    AbstractCurvature,
    Block,
    EmpiricalFisher,
    GaussNewton,
    Hessian,
    Objective,
    Partition,
    Point,
    per_layer,
    whole,
)

BATCH = 5
TOLERANCE = 1e-11  # relative to the largest entry of the block

# Models --------------------------------------------------------------------------------------------------------------


class Model(NamedTuple):
    """Values and weights of single examples stay apart, so that the oracles need not take an objective to pieces."""

    params: PyTree
    batch: tuple[Any, Any]
    predict: Callable[[PyTree, Array], Array]
    values: Callable[[Array, PyTree], Array]
    weights: Callable[[PyTree], Array]
    partitions: tuple[Partition, ...]

    @property
    def objective(self) -> Objective:
        return Objective(self.predict, lambda z, y: (self.values(z, y), self.weights(y)))


def groups(*members: tuple[int, ...]) -> Partition:
    """A user's partition: leaves of different layers in one block, and not in order."""

    def partition(params: PyTree) -> tuple[Block, ...]:
        leaves, names = jax.tree.leaves(params), leaf_names(params)
        return tuple(Block("+".join(names[i] for i in m), m, sum(leaves[i].size for i in m)) for m in members)

    return partition


def drawn(seed: int, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in shapes]


def mlp() -> Model:
    """Equinox, weights as [outputs, inputs]; classification, all weights 1."""
    net = eqx.nn.MLP(3, 3, width_size=4, depth=1, activation=jnp.tanh, key=jax.random.key(0))
    shapes, static = eqx.partition(net, eqx.is_inexact_array)
    params = jax.tree.map(lambda leaf: drawn(leaf.size, leaf.shape)[0], shapes)

    def cross_entropy(logits: Array, labels: Array) -> Array:
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=-1)[:, 0]

    return Model(
        params,
        (drawn(1, (BATCH, 3))[0], np.array([0, 1, 2, 1, 0])),
        lambda p, x: jax.vmap(eqx.combine(p, static))(x),
        cross_entropy,
        lambda labels: jnp.ones(labels.shape),
        (whole, groups((1,), (2,)), groups((3, 0), (2, 1))),
    )


def plain() -> Model:
    """Weights as [inputs, outputs], a bias that is added reversed, a gain that is not recognised; weighted examples.

    The loss is not convex in the outputs, so that nothing may lean on semidefiniteness.
    """
    gain, out, head, bias, kernel, x, y = drawn(2, (), (2,), (4, 2), (4,), (3, 4), (BATCH, 3), (BATCH, 2))
    params = {"gain": gain, "head": {"bias": out, "kernel": head}, "hidden": {"bias": bias, "kernel": kernel}}

    def predict(p: PyTree, x: Array) -> Array:
        hidden = jnp.tanh(x @ p["hidden"]["kernel"] + p["hidden"]["bias"][::-1])
        return jnp.exp(p["gain"]) * (hidden @ p["head"]["kernel"] + p["head"]["bias"])

    return Model(
        params,
        (x, {"y": y, "weight": np.array([1.0, 0.25, 3.0, 0.0, 2.0])}),
        predict,
        lambda z, t: jnp.cos(z[:, 0] - t["y"][:, 0]) + 4 * z[:, 0] * z[:, 1] + z[:, 1] ** 2,
        lambda t: t["weight"],
        (whole, per_layer, groups((1, 4), (3, 2, 0))),
    )


def attention() -> Model:
    """Two positions share the weights and see each other."""
    query, key, value, x, y = drawn(3, (5, 2), (5, 2), (5, 2), (BATCH, 2, 5), (BATCH, 2))

    def predict(p: PyTree, x: Array) -> Array:
        scores = jax.nn.softmax(jnp.einsum("bsi,bti->bst", x @ p["query"], x @ p["key"]))
        return jnp.mean(jnp.tanh(jnp.einsum("bst,bti->bsi", scores, x @ p["value"])), axis=1)

    return Model(
        {"key": key, "query": query, "value": value},
        (x, y),
        predict,
        lambda z, y: jnp.sum(jnp.logaddexp(z - y, y - z), axis=-1),
        lambda y: jnp.ones(y.shape[:1]),
        (whole, groups((2, 0), (1,))),
    )


MODELS = {"mlp": mlp, "plain": plain, "attention": attention}

# Oracles -------------------------------------------------------------------------------------------------------------


def exact_hessian(model: Model) -> Array:
    vector, unravel = ravel_pytree(model.params)
    inputs, targets = model.batch
    weights = model.weights(targets)

    def loss(w: Array) -> Array:
        return jnp.sum(weights * model.values(model.predict(unravel(w), inputs), targets)) / jnp.sum(weights)

    return jax.jit(jax.hessian(loss))(vector)


def dense_gauss_newton(model: Model) -> Array:
    vector, unravel = ravel_pytree(model.params)
    inputs, targets = model.batch
    weights = model.weights(targets)

    @jax.jit
    def matrix(w: Array) -> Array:
        z = model.predict(unravel(w), inputs)
        # The whole Hessian in all outputs: that examples do not meet in it is not taken for granted.
        curvature = jax.hessian(lambda z: jnp.sum(weights * model.values(z, targets)))(z).reshape(z.size, z.size)
        jacobian = jax.jacfwd(lambda w: model.predict(unravel(w), inputs))(w).reshape(z.size, w.size)
        return jacobian.T @ curvature @ jacobian / jnp.sum(weights)

    return matrix(vector)


def second_moment(model: Model) -> Array:
    """`sum_n w_n g_n g_n^T / sum_n w_n`, example by example."""
    vector, unravel = ravel_pytree(model.params)

    @jax.jit
    def gradient(w: Array, x: Array, y: PyTree) -> Array:
        return jax.grad(lambda w: model.values(model.predict(unravel(w), x), y)[0])(w)

    def one(tree: PyTree, n: int) -> PyTree:
        return jax.tree.map(lambda leaf: leaf[n : n + 1], tree)

    inputs, targets = model.batch
    gradients = jnp.stack([gradient(vector, one(inputs, n), one(targets, n)) for n in range(BATCH)])
    weights = model.weights(targets)
    return (gradients.T * weights) @ gradients / jnp.sum(weights)


# The case table ------------------------------------------------------------------------------------------------------


class Case(NamedTuple):
    """Variants of a curvature are seen on the first and last partition of a model: every block costs a compilation."""

    curvature: AbstractCurvature
    oracle: Callable[[Model], Array]
    every: bool = False


CURVATURES = {
    "gauss_newton": Case(GaussNewton(), dense_gauss_newton, every=True),
    "gauss_newton-jacobians": Case(GaussNewton(structure=False), dense_gauss_newton),
    "gauss_newton-chunked": Case(GaussNewton(chunk_bytes=1), dense_gauss_newton),
    "hessian": Case(Hessian(), exact_hessian, every=True),
    "hessian-products": Case(Hessian(structure=False, chunk=3), exact_hessian),
    "hessian-chunked": Case(Hessian(chunk_bytes=1), exact_hessian),
    "empirical_fisher": Case(EmpiricalFisher(), second_moment, every=True),
}

# How each block is computed; `otherwise` stands for all that are not named. A silent fall back fails here.
LAYERWISE = {"otherwise": Path.LAYERS}
JACOBIANS = {"otherwise": Path.JACOBIANS}
PRODUCTS = {"otherwise": Path.PRODUCTS}
GRADIENTS = {"otherwise": Path.GRADIENTS}
# One layer's inputs come out of the other, so the model is not affine in both; but it is in the pair
# (first weight, last bias).
MLP_HESSIAN = LAYERWISE | {"params": Path.PRODUCTS, "layers.1.weight+layers.0.bias": Path.PRODUCTS}
GAIN = dict.fromkeys(("params", "gain", "hidden.bias+head.kernel+gain"), Path.JACOBIANS)
PLAIN_HESSIAN = LAYERWISE | dict.fromkeys(GAIN, Path.PRODUCTS)
PATHS: dict[str, dict[str, dict[str, Path]]] = {
    "mlp": {
        "gauss_newton": LAYERWISE,
        "gauss_newton-chunked": LAYERWISE,
        "hessian": MLP_HESSIAN,
        "hessian-chunked": MLP_HESSIAN,
        "empirical_fisher": GRADIENTS,
    },
    "plain": {
        "gauss_newton": LAYERWISE | GAIN,
        "gauss_newton-jacobians": JACOBIANS,
        "gauss_newton-chunked": LAYERWISE | GAIN,
        "hessian": PLAIN_HESSIAN,
        "hessian-products": PRODUCTS,
        "empirical_fisher": GRADIENTS,
    },
    "attention": {
        # With several positions the layers' outputs are wider than the model's.
        "gauss_newton": JACOBIANS,
        "gauss_newton-chunked": JACOBIANS,
        "hessian": LAYERWISE,
        "hessian-chunked": LAYERWISE,
        "empirical_fisher": GRADIENTS,
    },
}

CASES = [(name, model) for model, paths in PATHS.items() for name in paths]
cases = pytest.mark.parametrize(("name", "model"), CASES)
models = pytest.mark.parametrize("model", MODELS)


@functools.cache
def build(model: str) -> Model:
    return MODELS[model]()


@functools.cache
def oracle(make: Callable[[Model], Array], model: str) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(make(build(model)))


def blocks_of(name: str, model: Model) -> dict[tuple[int, ...], Block]:
    """The blocks of all partitions, each once: partitions share some."""
    partitions = model.partitions if CURVATURES[name].every else (model.partitions[0], model.partitions[-1])
    return {block.leaves: block for partition in partitions for block in partition(model.params)}


class Answers(NamedTuple):
    """What an operator answers; `rows` to `gram` belong to its root."""

    mapped: Array
    single: Array
    diagonal: Array
    largest: Array
    matrix: Array
    upper: Array
    rows: Array | None
    pushed: Array | None
    gram: Array | None


def ask(operator: AbstractCurvatureOperator, vector: Array) -> Answers:
    units = jnp.eye(operator.like.shape[0], dtype=operator.like.dtype)
    root, rows, pushed, gram = operator.root(), None, None, None
    if root is not None:
        rows = jax.vmap(root.transpose_mv)(jnp.eye(root.rows, dtype=units.dtype))
        pushed, gram = root.mv(vector), root.gram()
    return Answers(
        jax.vmap(operator.mv)(units),
        operator.mv(vector),
        operator.diagonal(),
        operator.max_entry(),
        operator.as_matrix(),
        operator.upper_triangle(),
        rows,
        pushed,
        gram,
    )


@functools.cache
def answers(name: str, model: str) -> tuple[dict[tuple[int, ...], Answers], dict[str, Path]]:
    """Of every block, in one compilation."""
    made = build(model)
    blocks = blocks_of(name, made)
    paths: dict[str, Path] = {}

    # Compiled in a hurry: the blocks are many, and what full optimisation does to products is seen at the end.
    @functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def run(params: PyTree, batch: Any) -> list[Answers]:
        point = Point.of(made.objective, params, batch)
        asked = []
        for block in blocks.values():
            operator = CURVATURES[name].curvature.operator(point, block)
            paths[block.name] = path_of(operator)
            assert operator.like == jax.ShapeDtypeStruct((block.n,), jnp.float64)
            asked.append(ask(operator, jnp.cos(jnp.arange(block.n, dtype=operator.like.dtype))))
        return asked

    with jax.enable_x64(True):
        found = jax.tree.map(np.asarray, run(made.params, made.batch))
    return dict(zip(blocks, found, strict=True)), paths


def cut(matrix: np.ndarray, params: PyTree, leaves: tuple[int, ...]) -> np.ndarray:
    starts = np.cumsum([0, *(leaf.size for leaf in jax.tree.leaves(params))])
    rows = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in leaves])
    return matrix[np.ix_(rows, rows)]


def assert_close(actual: Any, expected: Any, what: object, tolerance: float = TOLERANCE) -> None:
    scale = np.max(np.abs(expected))
    assert scale > 0, f"{what}: zeros prove nothing"
    error = np.max(np.abs(np.asarray(actual) - expected)) / scale
    assert error <= tolerance, f"{what}: relative error {error:.1e}"


# Every question ------------------------------------------------------------------------------------------------------


@cases
def test_an_operator_answers_as_the_dense_block_would(name: str, model: str) -> None:
    dense, params = oracle(CURVATURES[name].oracle, model), build(model).params
    found, _ = answers(name, model)
    for leaves, answer in found.items():
        expected = cut(dense, params, leaves)
        vector = np.cos(np.arange(len(expected)))
        assert_close(answer.single, expected @ vector, ("mv", leaves))
        assert_close(answer.mapped, expected, ("mv of many vectors at once", leaves))
        assert_close(answer.diagonal, np.diagonal(expected), ("diagonal", leaves))
        assert_close(answer.matrix, expected, ("as_matrix", leaves))
        assert_close(np.triu(answer.upper), np.triu(expected), ("upper_triangle", leaves))
        np.testing.assert_array_equal(answer.matrix, answer.matrix.T)
    assert {i for leaves in found for i in leaves} == set(range(len(jax.tree.leaves(params))))


SEMIDEFINITE = [(name, model) for name, model in CASES if "newton" not in name or model != "plain"]


@pytest.mark.parametrize(("name", "model"), SEMIDEFINITE)
def test_the_largest_entry_is_found_without_the_matrix(name: str, model: str) -> None:
    """Of Gauss-Newton only where the loss is convex: of an indefinite one a lower bound is promised."""
    dense, params = oracle(CURVATURES[name].oracle, model), build(model).params
    for leaves, answer in answers(name, model)[0].items():
        expected = np.max(np.abs(cut(dense, params, leaves)))
        np.testing.assert_allclose(answer.largest, expected, rtol=1e-12, err_msg=str(leaves))


def test_the_largest_entry_off_the_diagonal() -> None:
    """`D = [[1, 4], [4, 2]]` for every example: layers find it; from Jacobians it is the diagonal's, a lower bound."""
    objective = Objective(lambda w, x: x @ w, lambda z, y: z[:, 0] ** 2 / 2 + z[:, 1] ** 2 + 4 * z[:, 0] * z[:, 1])
    every = [GaussNewton(), Hessian(), Hessian(structure=False), GaussNewton(structure=False)]

    @jax.jit
    def run(params: Array) -> list[Array]:
        point = Point.of(objective, params, (jnp.ones((3, 1)), jnp.zeros(3)))
        return [curvature.operator(point, whole(params)[0]).max_entry() for curvature in every]

    np.testing.assert_allclose(run(jnp.ones((1, 2))), [4, 4, 4, 2], rtol=1e-6)


ROOTED = [(name, model) for name, model in SEMIDEFINITE if CURVATURES[name].oracle is not exact_hessian]


@pytest.mark.parametrize(("name", "model"), ROOTED)
def test_a_root_squares_to_the_block(name: str, model: str) -> None:
    dense, params = oracle(CURVATURES[name].oracle, model), build(model).params
    for leaves, answer in answers(name, model)[0].items():
        assert answer.rows is not None, leaves
        assert answer.rows.shape[1] == len(answer.matrix)
        # A Cholesky factor of singular output curvature is regularised by rounding units.
        assert_close(answer.rows.T @ answer.rows, cut(dense, params, leaves), ("R^T R", leaves))
        assert_close(answer.pushed, answer.rows @ np.cos(np.arange(len(answer.matrix))), ("R v", leaves))
        assert_close(answer.gram, answer.rows @ answer.rows.T, ("gram", leaves))


@pytest.mark.parametrize("name", ["hessian", "hessian-products"])
def test_an_exact_hessian_has_no_root(name: str) -> None:
    assert all(answer.rows is None for answer in answers(name, "plain")[0].values())


@cases
def test_every_block_takes_the_path_it_should(name: str, model: str) -> None:
    expected, (_, paths) = PATHS[model][name], answers(name, model)
    for block, path in paths.items():
        assert path is expected.get(block, expected["otherwise"]), (block, path.name)


@models
def test_the_fisher_is_none_of_the_others(model: str) -> None:
    """Otherwise an operator could answer for the wrong curvature unnoticed."""
    matrices = [oracle(make, model) for make in (exact_hessian, dense_gauss_newton, second_moment)]
    for k, one in enumerate(matrices):
        for other in matrices[:k]:
            assert np.max(np.abs(one - other)) > 0.05 * np.max(np.abs(one))


def test_one_output_makes_gauss_newton_a_gradient_method() -> None:
    objective = Objective(lambda p, x: jnp.tanh(x @ p), lambda z, y: (z - y) ** 2)
    params, batch = jnp.ones(3), (jnp.ones((4, 3)), jnp.zeros(4))
    point = Point.of(objective, params, batch)
    (block,) = whole(params)
    assert path_of(GaussNewton(structure=False).operator(point, block)) is Path.GRADIENTS


# Single precision, as compiled for vmap ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gauss_newton", "hessian", "empirical_fisher"])
def test_many_products_at_once_in_single_precision(name: str) -> None:
    """`jit(vmap(mv))` of random vectors, more than there are rows; jaxlib once compiled it to wrong numbers."""
    made = build("mlp")
    params, (x, y) = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), made.params), made.batch
    batch = jnp.asarray(x, jnp.float32), jnp.asarray(y)
    blocks = per_layer(params)
    vectors = [np.random.default_rng(7).standard_normal((37, block.n)) for block in blocks]

    @jax.jit
    def run(params: PyTree, batch: Any, vectors: list[Array]) -> list[Array]:
        point = Point.of(made.objective, params, batch)
        operators = [CURVATURES[name].curvature.operator(point, block) for block in blocks]
        return [jax.vmap(operator.mv)(v) for operator, v in zip(operators, vectors, strict=True)]

    dense = oracle(CURVATURES[name].oracle, "mlp")
    products = run(params, batch, [jnp.asarray(v, jnp.float32) for v in vectors])
    for block, found, given in zip(blocks, products, vectors, strict=True):
        assert found.dtype == jnp.float32
        assert_close(found, given @ cut(dense, params, block.leaves), block.name, 1e-5)


# Kronecker factors ---------------------------------------------------------------------------------------------------


def layer_first(matrix: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Rows and columns in the order of the layer's matrix `[inputs, outputs]`, of which `order` says where it lies."""
    return matrix[np.ix_(order.reshape(-1), order.reshape(-1))]


class OneLayer(NamedTuple):
    """`x W + b` and half its square, so that the curvature in the outputs is the identity for every example.

    `order[i, a]` is where the block has the weight from input i to output a; the bias is the last input.
    """

    params: dict[str, np.ndarray]
    predict: Callable[[PyTree, Array], Array]
    order: np.ndarray


def one_layers(outputs: int) -> dict[str, OneLayer]:
    kernel, bias = drawn(9, (3, outputs), (outputs,))
    bias_at, rows = np.arange(outputs), outputs + np.arange(3 * outputs)
    return {
        "equinox": OneLayer(
            {"b": bias, "w": kernel.T},
            lambda p, x: x @ p["w"].T + p["b"],
            np.vstack([rows.reshape(outputs, 3).T, bias_at]),
        ),
        "flax": OneLayer(
            {"b": bias, "w": kernel}, lambda p, x: x @ p["w"] + p["b"], np.vstack([rows.reshape(3, outputs), bias_at])
        ),
        "reversed": OneLayer(
            {"b": bias, "w": kernel},
            lambda p, x: x @ p["w"] + p["b"][::-1],
            np.vstack([rows.reshape(3, outputs), bias_at[::-1]]),
        ),
        "without-bias": OneLayer({"w": kernel}, lambda p, x: x @ p["w"], np.arange(3 * outputs).reshape(3, outputs)),
    }


# Those that store the layers' curvature know G exactly; the others estimate it with one random sign per output, which
# is exact where there is one output.
KRONECKER = [
    *((curvature, 2) for curvature in (GaussNewton(), Hessian(), Hessian(chunk_bytes=BATCH * 2 * 2 * 8))),
    *((curvature, 1) for curvature in (GaussNewton(chunk_bytes=1), Hessian(chunk_bytes=1))),
]


@pytest.mark.parametrize(("curvature", "outputs"), KRONECKER, ids=str)
def test_the_factors_of_one_linear_layer_are_its_block(curvature: AbstractCurvature, outputs: int) -> None:
    cases = one_layers(outputs)
    x, left, right, vector = drawn(4, (BATCH, 3), (4, 4), (outputs, outputs), (4 * outputs,))
    bases = [np.linalg.qr(left)[0], np.linalg.qr(left[:3, :3])[0], np.linalg.qr(right)[0]]

    @jax.jit
    def run() -> list[Any]:
        answers = []
        for case in cases.values():
            objective = Objective(case.predict, lambda z, y: jnp.sum((z - y) ** 2, axis=tuple(range(1, z.ndim))) / 2)
            point = Point.of(objective, case.params, (x, jnp.zeros((BATCH, outputs))))
            (block,) = whole(case.params)
            operator = curvature.operator(point, block)
            factors = operator.kronecker()
            assert factors is not None
            basis = [bases[0] if len(case.order) == 4 else bases[1], bases[2]]
            (rotated,) = operator.rotated_diagonal([(jnp.asarray(basis[0]), jnp.asarray(basis[1]))])
            (split,), rest = factors.layout.split(jnp.asarray(vector[: block.n]))
            answers.append((factors.inputs, factors.outputs, factors.rest, rotated, basis, split, rest))
        return answers

    with jax.enable_x64(True):
        found = jax.tree.map(np.asarray, run())
    for (name, case), ((a,), (g,), none, rotated, basis, split, rest) in zip(cases.items(), found, strict=True):
        inputs = np.hstack([x, np.ones((BATCH, 1))])[:, : len(case.order)]
        n = case.order.size
        # In the order [inputs, outputs] the block is sum x x^T kron I: by hand, with no derivative at all.
        block = np.kron(inputs.T @ inputs / BATCH, np.eye(outputs))
        assert_close(np.kron(a, g), block, (name, "A kron G"))
        frame = np.kron(*basis)
        assert_close(rotated, np.diagonal(frame.T @ block @ frame).reshape(case.order.shape), (name, "rotated"))
        np.testing.assert_array_equal(split, vector[:n][case.order], err_msg=f"{name}: layout")
        assert none.size == rest.size == 0


def test_the_rotated_diagonal_of_a_layer_inside_a_network_is_that_of_the_dense_block() -> None:
    """Here D differs between examples, so the rotated diagonal is not that of the Kronecker product."""
    made = build("mlp")
    cases = [(make, block) for make in ("gauss_newton", "hessian") for block in per_layer(made.params)]
    left, right = (np.linalg.qr(part)[0] for part in drawn(6, (5, 5), (4, 4)))

    def basis(block: Block) -> tuple[Any, Any]:
        outputs = {16: 4, 15: 3}[block.n]
        inputs = block.n // outputs
        return np.linalg.qr(left[:inputs, :inputs])[0], np.linalg.qr(right[:outputs, :outputs])[0]

    @jax.jit
    def run() -> list[Array]:
        point = Point.of(made.objective, jax.tree.map(jnp.asarray, made.params), made.batch)
        operators = [CURVATURES[make].curvature.operator(point, block) for make, block in cases]
        return [
            operator.rotated_diagonal([basis(block)])[0] for operator, (_, block) in zip(operators, cases, strict=True)
        ]

    with jax.enable_x64(True):
        found = run()
    for rotated, (make, block) in zip(found, cases, strict=True):
        u, v = basis(block)
        # Equinox: weight [outputs, inputs], then the bias, which is the last input.
        inputs, outputs = u.shape[0] - 1, v.shape[0]
        order = np.vstack(
            [np.arange(inputs * outputs).reshape(outputs, inputs).T, inputs * outputs + np.arange(outputs)]
        )
        dense = layer_first(cut(oracle(CURVATURES[make].oracle, "mlp"), made.params, block.leaves), order)
        frame = np.kron(u, v)
        assert_close(rotated, np.diagonal(frame.T @ dense @ frame).reshape(order.shape), (make, block.name))


def test_several_positions_and_one_output_have_an_exact_rotated_diagonal() -> None:
    """`g = sum_t x_t delta_t^T` is the whole gradient of the output then, cross terms between positions included."""
    weight, x = drawn(8, (3, 2), (BATCH, 4, 3))
    u, v = (np.linalg.qr(part)[0] for part in drawn(5, (3, 3), (2, 2)))
    objective = Objective(lambda w, x: jnp.sum(jnp.tanh(x @ w), axis=(1, 2)), lambda z, y: jnp.cosh(z - y))

    @jax.jit
    def run(w: Array) -> tuple[Array, Array]:
        point = Point.of(objective, w, (x, jnp.ones(BATCH)))
        operator = GaussNewton().operator(point, whole(w)[0])
        return operator.rotated_diagonal([(jnp.asarray(u), jnp.asarray(v))])[0], operator.diagonal()

    with jax.enable_x64(True):
        rotated, diagonal = run(jnp.asarray(weight))
    slopes = 1 - np.tanh(x @ weight) ** 2
    z = np.tanh(x @ weight).sum(axis=(1, 2))
    gradients = np.einsum("nti,nta->nia", x, slopes)
    curved = np.cosh(z - 1)
    assert_close(diagonal, np.einsum("n,nia->ia", curved, gradients**2).reshape(-1) / BATCH, "diagonal")
    expected = np.einsum("n,nia->ia", curved, (u.T @ gradients @ v) ** 2) / BATCH
    assert_close(rotated, expected, "rotated")


def test_without_layers_there_are_no_factors_and_no_basis() -> None:
    params, batch = drawn(1, (3,))[0], (np.ones((BATCH, 3)), np.zeros(BATCH))
    objective = Objective(lambda p, x: jnp.sum(jnp.sin(p * x), axis=1), lambda z, y: (z - y) ** 2)
    point = Point.of(objective, params, batch)
    for curvature in (GaussNewton(), Hessian(), EmpiricalFisher()):
        operator = curvature.operator(point, whole(params)[0])
        assert operator.kronecker() is None
        with pytest.raises(ValueError, match="block `params` has no recognised layers"):
            operator.rotated_diagonal([])


# Inputs that are zero over the whole batch ---------------------------------------------------------------------------

WIDE, OUTPUTS = 70, 2
DEAD = (np.arange(20, 50), np.arange(3, WIDE), np.arange(0))


def test_zero_inputs_can_be_left_out() -> None:
    """What is left is exactly the dense block's rows and columns; what is dropped is exactly zero."""
    params = dict(zip("bw", drawn(12, (OUTPUTS,), (OUTPUTS, WIDE)), strict=True))
    x, y = drawn(13, (BATCH, WIDE), (BATCH, OUTPUTS))
    objective = Objective(lambda p, x: jnp.tanh(x @ p["w"].T + p["b"]), lambda z, y: jnp.sum((z - y) ** 2, axis=-1))
    sizes: tuple[int, ...] = ()

    @jax.jit
    def run(params: PyTree, x: Array) -> tuple[Array, Array, list[Any]]:
        nonlocal sizes
        point = Point.of(objective, params, (x, y))
        operator = Hessian().operator(point, whole(params)[0])
        sizes = operator.reductions
        reduced = [operator.reduced(size) for size in sizes]
        vectors = [jnp.arange(kept.size, dtype=x.dtype) for _, kept in reduced]
        parts = [(r.as_matrix(), r.mv(v), kept) for (r, kept), v in zip(reduced, vectors, strict=True)]
        return operator.support(), operator.as_matrix(), parts

    n = OUTPUTS * (WIDE + 1)
    for dead in DEAD:
        batch = x.copy()
        batch[:, dead] = 0
        with jax.enable_x64(True):
            support, matrix, parts = jax.tree.map(np.asarray, run(params, batch))
        alive = np.setdiff1d(np.arange(WIDE), dead)
        positions = np.concatenate([np.arange(OUTPUTS), *(OUTPUTS + o * WIDE + alive for o in range(OUTPUTS))])
        assert support == positions.size == OUTPUTS * (WIDE + 1 - dead.size)
        assert list(sizes) == sorted(set(sizes))
        assert all(size < n for size in sizes)
        assert not matrix[np.setdiff1d(np.arange(n), positions)].any()
        for size, (part, product, kept) in zip(sizes, parts, strict=True):
            assert len(kept) == size == len(set(kept.tolist()))
            assert_close(part, matrix[np.ix_(kept, kept)], (size, "rows and columns"))
            assert_close(product, matrix[np.ix_(kept, kept)] @ np.arange(size), (size, "mv"))
            # Below the support a reduction is not allowed and says nothing; from it on, nothing is missing.
            assert size < support or set(positions) <= set(kept.tolist())
        assert dead.size == 0 or any(size >= support for size in sizes)


def test_an_operator_without_reductions_refuses_one() -> None:
    params = np.ones((3, 2))
    objective = Objective(lambda p, x: x @ p, lambda z, y: jnp.sum(z**2, axis=-1))
    point = Point.of(objective, params, (np.ones((2, 3)), np.zeros(2)))
    operator = EmpiricalFisher().operator(point, whole(params)[0])
    assert operator.reductions == ()
    assert int(operator.support()) == 6
    with pytest.raises(ValueError, match=r"no reduction to 3 rows; it has \(\)"):
        operator.reduced(3)


# A block with a shift ------------------------------------------------------------------------------------------------


def test_a_shifted_block_is_the_block_plus_the_shift() -> None:
    params, x = drawn(20, (3, 2), (BATCH, 3))
    objective = Objective(lambda p, x: jnp.tanh(x @ p), lambda z, y: jnp.sum((z - y) ** 2, axis=-1))

    @jax.jit
    def run(params: Array) -> tuple[Array, ...]:
        point = Point.of(objective, params, (x, jnp.ones((BATCH, 2))))
        base = GaussNewton().operator(point, whole(params)[0])
        shifted = Shifted(base, jnp.asarray(0.25))
        assert path_of(shifted) is Path.LAYERS
        return base.as_matrix(), shifted.as_matrix(), shifted.mv(jnp.arange(6.0)), max_entry(shifted)

    with jax.enable_x64(True):
        matrix, formed, product, largest = run(jnp.asarray(params))
    dense = np.asarray(matrix) + 0.25 * np.eye(6)
    assert_close(formed, dense, "as_matrix")
    assert_close(product, dense @ np.arange(6.0), "mv")
    assert_close(largest, np.max(np.abs(dense)), "max_entry")

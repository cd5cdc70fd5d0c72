"""Weights, masks, the l2 term and noise: what an objective adds to the mean of a loss, in value and in curvature.

`MATRICES` holds a dense oracle for each curvature, of a sum over examples that is written out by hand for each term.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

import qnewton as qn
from qnewton._curvature import AbstractCurvature, EmpiricalFisher, GaussNewton, Hessian, Objective, whole

BATCH, TOKENS, INPUTS, OUTPUTS = 6, 3, 3, 2
N = INPUTS * OUTPUTS
RNG = np.random.default_rng(11)
W = RNG.standard_normal((INPUTS, OUTPUTS))
X = RNG.standard_normal((BATCH, INPUTS))
Y = RNG.standard_normal((BATCH, OUTPUTS))
SEQUENCES = RNG.standard_normal((BATCH, TOKENS, INPUTS))
LABELS = RNG.standard_normal((BATCH, TOKENS, OUTPUTS))

CURVATURES: dict[str, AbstractCurvature] = {
    "gauss_newton": GaussNewton(),
    "gauss_newton-jacobians": GaussNewton(structure=False),
    "hessian": Hessian(),
    "hessian-products": Hessian(structure=False),
    "empirical_fisher": EmpiricalFisher(damping_floor=0),
}


class Summands(NamedTuple):
    """One example as a function of the raveled parameters: outputs, and mean loss as a function of them."""

    outputs: Callable[[Array, Any], Array]
    loss: Callable[[Array, Any], Array]
    data: Any
    weights: np.ndarray


def oracle(summands: Summands, vector: Array) -> dict[str, Array]:
    """Value, gradient and every curvature, as weighted sums over the examples."""
    weights = summands.weights / np.sum(summands.weights)

    def single(w: Array, data: Any) -> Array:
        return summands.loss(summands.outputs(w, data), data)

    def mean(terms: Array) -> Array:
        return jnp.tensordot(weights, terms, axes=1)

    def of_all(f: Callable) -> Array:
        return jax.vmap(lambda data: f(vector, data))(summands.data)

    jacobians = of_all(jax.jacfwd(summands.outputs))
    inner = of_all(lambda w, data: jax.hessian(summands.loss)(summands.outputs(w, data), data))
    gradients = of_all(jax.grad(single))
    hessian = mean(of_all(jax.hessian(single)))
    gauss_newton = mean(jnp.einsum("ncp,ncd,ndq->npq", jacobians, inner, jacobians))
    return {
        "value": mean(of_all(single)),
        "gradient": mean(gradients),
        "gauss_newton": gauss_newton,
        "gauss_newton-jacobians": gauss_newton,
        "hessian": hessian,
        "hessian-products": hessian,
        "empirical_fisher": mean(jnp.einsum("np,nq->npq", gradients, gradients)),
    }


def answers(objective: Objective, params: Array, batch: Any, key: Array | None = None) -> dict[str, Array]:
    """The library's."""
    (block,) = whole(params)
    matrices = {name: c.form(objective, params, batch, block, key).matrix for name, c in CURVATURES.items()}
    value, gradient = jax.value_and_grad(objective)(params, batch, key)
    return {"value": value, "gradient": gradient.reshape(-1), **matrices}


def assert_same(actual: dict[str, Array], expected: dict[str, Array], tolerance: float = 1e-11) -> None:
    assert set(actual) == set(expected)
    for name, wanted in expected.items():
        scale = np.max(np.abs(wanted))
        assert scale > 0, name
        error = np.max(np.abs(np.asarray(actual[name]) - np.asarray(wanted))) / scale
        assert error <= tolerance, f"{name}: relative error {error:.1e}"


# Terms ---------------------------------------------------------------------------------------------------------------


def tanh_layer(w: Array, x: Array) -> Array:
    return jnp.tanh(x @ w.reshape(INPUTS, OUTPUTS))


def half_square(z: Array, y: Array) -> Array:
    return jnp.sum(jnp.cosh(z - y), axis=-1)


class Case(NamedTuple):
    """An objective with its batch, and the same summed by hand."""

    objective: Objective
    batch: Any
    summands: Summands
    l2: float = 0.0


def per_example(weights: np.ndarray, l2: float = 0.0) -> Case:
    objective = Objective(tanh_layer, lambda z, t: (half_square(z, t[0]), t[1]), l2)
    summands = Summands(
        lambda w, d: tanh_layer(w, d["x"]), lambda z, d: half_square(z, d["y"]), {"x": X, "y": Y}, weights
    )
    return Case(objective, (X, (Y, weights)), summands, l2)


def per_token(weights: np.ndarray) -> Case:
    """A sequence is one example; its loss is the weighted mean over its tokens, its weight the sum of theirs."""
    objective = Objective(tanh_layer, lambda z, t: (half_square(z, t[0]), t[1]))

    def loss(z: Array, d: Any) -> Array:
        total = jnp.sum(d["m"])
        return jnp.sum(d["m"] * half_square(z.reshape(TOKENS, OUTPUTS), d["y"])) / jnp.where(total > 0, total, 1)

    data = {"x": SEQUENCES, "y": LABELS, "m": weights.astype(float)}
    summands = Summands(lambda w, d: tanh_layer(w, d["x"]).reshape(-1), loss, data, weights.sum(axis=1))
    return Case(objective, (SEQUENCES, (LABELS, weights)), summands)


def plain() -> Case:
    weighted = per_example(np.ones(BATCH), l2=0.3)
    return weighted._replace(objective=Objective(tanh_layer, half_square, 0.3), batch=(X, Y))


TOKEN_MASK = np.array([[1, 1, 1], [1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 1, 1], [0, 0, 1]])
CASES = {
    "example-weights": lambda: per_example(np.array([1.0, 0.5, 2.0, 0.1, 3.0, 1.0])),
    "example-mask": lambda: per_example(np.array([1.0, 0.0, 1.0, 1.0, 0.0, 1.0])),
    "token-weights": lambda: per_token(np.linspace(0.1, 2.0, BATCH * TOKENS).reshape(BATCH, TOKENS)),
    # One sequence has no token left; integers, as masks come.
    "token-mask": lambda: per_token(TOKEN_MASK),
    "token-mask-of-booleans": lambda: per_token(TOKEN_MASK.astype(bool)),
    "l2": plain,
    "l2-and-weights": lambda: per_example(np.array([1.0, 0.5, 2.0, 0.1, 3.0, 1.0]), l2=2.0),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_term_enters_value_gradient_and_every_curvature(case: Callable[[], Case]) -> None:
    objective, batch, summands, l2 = case()
    with jax.enable_x64(True):
        vector = jnp.asarray(W.reshape(-1))

        @jax.jit
        def both() -> tuple[dict[str, Array], dict[str, Array]]:
            return answers(objective, vector, jax.tree.map(jnp.asarray, batch)), oracle(summands, vector)

        actual, expected = jax.tree.map(np.array, both())
    expected["value"] += l2 / 2 * np.sum(W**2)
    expected["gradient"] += l2 * W.reshape(-1)
    for name in CURVATURES:
        expected[name] += l2 * np.eye(N)
    assert_same(actual, expected)


def test_what_is_masked_does_not_matter() -> None:
    """Only that it is finite: the masked example changes, and no bit of any answer does."""
    weights = np.array([1.0, 0.0, 1.0, 1.0, 2.0, 1.0])
    objective, (x, (y, _)), _, _ = per_example(weights)
    changed = x.copy()
    changed[1] = 0.5

    run = jax.jit(lambda x, y: answers(objective, jnp.asarray(W, jnp.float32).reshape(-1), (x, (y, weights))))
    one = run(*(jnp.asarray(a, jnp.float32) for a in (x, y)))
    other = run(*(jnp.asarray(a, jnp.float32) for a in (changed, y[::1] + 9 * (weights == 0)[:, None])))
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


def test_only_the_ratio_of_weights_matters() -> None:
    """1,000 times the weights is the same mean: alpha once."""
    weights = np.array([1.0, 0.5, 2.0, 0.1, 3.0, 1.0])
    (one, batch, _, _), (_, larger, _, _) = per_example(weights), per_example(1000 * weights)
    with jax.enable_x64(True):
        run = jax.jit(lambda batch: answers(one, jnp.asarray(W).reshape(-1), batch))
        assert_same(run(jax.tree.map(jnp.asarray, larger)), run(jax.tree.map(jnp.asarray, batch)))


def test_weights_that_depend_on_the_outputs_are_constants() -> None:
    """As in a focal loss: they are not differentiated, in the gradient and in the curvature alike."""

    def loss(z: Array, y: Array) -> tuple[Array, Array]:
        return half_square(z, y), jnp.exp(z[:, 0])

    with jax.enable_x64(True):
        vector = jnp.asarray(W).reshape(-1)
        frozen = np.exp(np.tanh(X @ W)[:, 0])
        objective, batch = Objective(tanh_layer, loss), (jnp.asarray(X), jnp.asarray(Y))
        actual, expected = jax.jit(
            lambda: (answers(objective, vector, batch), oracle(per_example(frozen)[2], vector))
        )()
    assert_same(actual, expected)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda z, y: (half_square(z, y), jnp.ones(3)), r"tuple of shapes \[\(6,\), \(3,\)\]"),
        (lambda z, y: (half_square(z, y), 1.0), r"tuple of shapes \[\(6,\), \(\)\]"),
        (lambda z, y: (jnp.mean(half_square(z, y)), jnp.ones(())), r"tuple of shapes \[\(\), \(\)\]"),
        (lambda z, y: (half_square(z, y), jnp.ones(6), jnp.ones(6)), r"tuple of shapes \[\(6,\), \(6,\), \(6,\)\]"),
        (lambda z, y: (half_square(z, y)[None], jnp.ones((1, 6))), r"tuple of shapes \[\(1, 6\), \(1, 6\)\]"),
        (lambda z, y: (half_square(z, y)[:, None], jnp.ones(6)), r"tuple of shapes \[\(6, 1\), \(6,\)\]"),
    ],
    ids=["other-length", "number", "averaged", "three", "leading-one", "broadcasting"],
)
def test_a_wrong_pair_is_refused_with_its_shapes(loss: Any, message: str) -> None:
    objective, params = Objective(tanh_layer, loss), jnp.asarray(W)
    message = message + r" for outputs of shape \(6, 2\): it must be \(values, weights\).*starts with \(6,\)"
    with pytest.raises(ValueError, match=message):
        objective(params, (jnp.asarray(X), jnp.asarray(Y)))
    with pytest.raises(ValueError, match=message):
        GaussNewton().form(objective, params, (jnp.asarray(X), jnp.asarray(Y)), whole(params)[0])


@pytest.mark.parametrize("l2", [-1e-9, float("inf"), float("nan")])
def test_a_penalty_that_is_none_is_refused(l2: float) -> None:
    with pytest.raises(ValueError, match=rf"l2 is {l2}: .*finite and at least 0"):
        Objective(tanh_layer, half_square, l2)


# Noise ---------------------------------------------------------------------------------------------------------------

KEEP = 0.7


def dropout(w: Array, x: Array, key: Array | None = None) -> Array:
    hidden = x
    if key is not None:
        hidden = jnp.where(jax.random.bernoulli(key, KEEP, x.shape[1:]), x / KEEP, 0)
    return tanh_layer(w, hidden)


@pytest.mark.parametrize("make_key", [jax.random.key, jax.random.PRNGKey], ids=["typed", "legacy"])
def test_loss_gradient_and_curvature_see_the_same_noise(make_key: Callable[[int], Array]) -> None:
    """That of the oracle: a mask per example, drawn beforehand from the example's own key."""
    with jax.enable_x64(True):
        key = make_key(5)
        masks = np.stack([jax.random.bernoulli(k, KEEP, (INPUTS,)) for k in jax.random.split(key, BATCH)])
        assert len(np.unique(masks, axis=0)) > 2, "different examples must get different noise"
        x, y, vector = jnp.asarray(X), jnp.asarray(Y), jnp.asarray(W).reshape(-1)
        noisy = {"x": np.where(masks, X / KEEP, 0), "y": Y}
        summands = per_example(np.ones(BATCH))[2]._replace(data=noisy)

        @jax.jit
        def both(key: Array) -> tuple[dict[str, Array], dict[str, Array], Array]:
            objective = Objective(dropout, half_square)
            return answers(objective, vector, (x, y), key), oracle(summands, vector), objective(vector, (x, y))

        actual, expected, quiet = jax.tree.map(np.array, both(key))
        other, _, _ = jax.tree.map(np.array, both(make_key(6)))
    assert_same(actual, expected)
    assert abs(other["value"] - actual["value"]) > 1e-3
    # Without a key there is no noise.
    np.testing.assert_allclose(quiet, np.mean(np.sum(np.cosh(np.tanh(X @ W) - Y), axis=-1)), rtol=1e-12)


# Everything masked ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("curvature", [GaussNewton(), Hessian(), EmpiricalFisher()], ids=str)
def test_a_batch_without_weight_is_a_status_and_no_exception(curvature: AbstractCurvature) -> None:
    """There is no mean of nothing: the parameters stay, and the record says why."""
    objective, (x, (y, _)), _, _ = per_example(np.ones(BATCH))
    params = jnp.asarray(W, jnp.float32)
    batch = (jnp.asarray(x, jnp.float32), (jnp.asarray(y, jnp.float32), jnp.zeros(BATCH)))
    optimizer: Any = qn.newton(objective, curvature=curvature, solver=qn.MINRES(), adaptation=qn.Fixed())

    @jax.jit
    def step(params: Array, state: Any) -> tuple[Array, Any]:
        return optimizer.update(jax.grad(objective)(params, batch), state, params, batch=batch)

    update, state = step(params, optimizer.init(params))
    assert int(state.info.blocks[0].status) == qn.Status.NOT_FINITE
    np.testing.assert_array_equal(update, np.zeros_like(update))
    assert np.isnan(state.info.loss)

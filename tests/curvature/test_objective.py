"""The mean over the examples, and refusals of what is not one value per example."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from qnewton._curvature import GaussNewton, Objective, whole

X = np.random.default_rng(0).standard_normal((5, 3))
Y = np.random.default_rng(1).standard_normal((5, 2))
W = np.random.default_rng(2).standard_normal((3, 2))


def linear(w: Array, x: Array) -> Array:
    return x @ w


def test_it_is_the_mean_of_the_loss_of_each_example(dtype: jnp.dtype) -> None:
    objective = Objective(linear, lambda z, y: jnp.sum(jnp.abs(z - y), axis=-1))
    x, y, w = (jnp.asarray(a, dtype) for a in (X, Y, W))
    value = objective(w, (x, y))
    assert (value.shape, value.dtype) == ((), dtype)
    expected = np.mean([sum(abs(X[i] @ W - Y[i])) for i in range(5)])
    np.testing.assert_allclose(value, expected, rtol=1e-5 if dtype == jnp.float32 else 1e-13)


@pytest.mark.parametrize(
    ("loss", "shape"),
    [
        (lambda z, y: jnp.mean((z - y) ** 2), r"\(\)"),
        (lambda z, y: (z - y) ** 2, r"\(5, 2\)"),
        (lambda z, y: jnp.sum((z - y) ** 2, axis=-1, keepdims=True), r"\(5, 1\)"),
        (lambda z, y: jnp.sum((z - y) ** 2, axis=0), r"\(2,\)"),
        (lambda z, y: jnp.sum((z - y) ** 2, axis=-1)[None], r"\(1, 5\)"),
        (lambda z, y: 1.0, r"\(\)"),
    ],
    ids=["mean", "per-output", "keepdims", "wrong-axis", "leading-one", "python-number"],
)
@pytest.mark.parametrize("how", [lambda f: f, jax.jit, jax.grad], ids=["eager", "jit", "grad"])
def test_a_loss_without_one_value_per_example_is_refused(loss, shape: str, how) -> None:
    message = rf"loss returned shape {shape} for outputs of shape \(5, 2\).*shape \(5,\), or a tuple.*Do not average"
    with pytest.raises(ValueError, match=message):
        how(lambda w: Objective(linear, loss)(w, (jnp.asarray(X), jnp.asarray(Y))))(jnp.asarray(W))


def test_averaging_is_refused_for_a_single_example_too() -> None:
    """With one example the mean has the right value but not the shape; a larger batch would fail later."""
    objective = Objective(linear, lambda z, y: jnp.mean((z - y) ** 2))
    with pytest.raises(ValueError, match=r"shape \(\) for outputs of shape \(1, 2\)"):
        objective(jnp.asarray(W), (jnp.asarray(X[:1]), jnp.asarray(Y[:1])))


def test_outputs_without_an_axis_for_the_examples_are_refused() -> None:
    """The shapes of outputs and values agree, () and (), but nothing counts the examples."""
    objective = Objective(lambda w, x: jnp.mean(x @ w), lambda z, y: z)
    with pytest.raises(ValueError, match=r"predict returned a scalar: the leading axis.*count the examples"):
        objective(jnp.asarray(W), (jnp.asarray(X), jnp.asarray(Y)))


def test_gauss_newton_refuses_outputs_that_flatten_positions_into_the_examples() -> None:
    x = jnp.ones((5, 4, 3))
    flat = Objective(lambda w, x: (x @ w).reshape(-1, 2), lambda z, y: jnp.sum(z**2, axis=-1))
    params = jnp.asarray(W)
    with pytest.raises(ValueError, match=r"outputs of shape \(20, 2\) for 5 examples.*axis of their own"):
        GaussNewton().form(flat, params, (x, jnp.zeros((5, 4))), whole(params)[0])


@pytest.mark.parametrize(
    ("loss", "told"),
    [(lambda z, y: [z[:, 0]], "list"), (lambda z, y: jnp.argmax(z, axis=1), "int32")],
    ids=["a-list", "integers"],
)
def test_a_loss_that_returns_no_floating_point_array_is_refused(loss, told) -> None:
    objective = Objective(lambda p, x: x @ p, loss)
    with pytest.raises(ValueError, match=rf"loss returned {told}: it must return an array of floating-point numbers"):
        objective(jnp.ones((3, 2)), (jnp.ones((5, 3)), jnp.zeros(5)))

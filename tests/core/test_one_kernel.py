"""Bookkeeping that is compiled as one function: the same numbers, by fewer kernels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qnewton._core.one_kernel import in_one_kernel, paired
from qnewton._core.traces import diagonal, gram


def bookkeeping(x):
    """Results, each of which XLA would compute on its own."""
    found = []
    for k in range(8):
        x = jnp.where(x > k, x * (k + 1.5), x / (k + 2))
        found.append({"value": x, "pair": jnp.stack([x, -x]), "sign": x > 1, "count": jnp.int32(k) + (x > 2)})
    return found


def together(x):
    return in_one_kernel(lambda: bookkeeping(x))


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("compiled", [False, True])
def test_the_results_are_those_of_the_function(mapped, compiled):
    def transform(function):
        function = jax.vmap(function) if mapped else function
        return jax.jit(function) if compiled else function

    x = jnp.asarray([3.7, -0.2, jnp.nan]) if mapped else jnp.float32(3.7)
    expected, found = transform(bookkeeping)(x), transform(together)(x)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_it_has_reverse_derivatives():
    """Those who differentiate through a training need them."""

    def total(x, count, f=bookkeeping):
        return f(x)[-1]["value"] * count

    found = jax.jit(jax.grad(lambda x, count: total(x, count, together)))(3.7, jnp.int32(3))
    np.testing.assert_allclose(found, jax.grad(total)(3.7, jnp.int32(3)), rtol=1e-6)


def test_it_has_forward_derivatives():
    found, expected = (jax.jvp(lambda x, f=f: f(x)[-1]["value"], (3.7,), (1.0,)) for f in (together, bookkeeping))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="other compilers have no such kernel")
def test_the_processor_gets_one_kernel_for_all_of_it():
    # What it is for: if a new XLA compiles the loop as any other, first steps are slow again.
    text = jax.jit(together).lower(jnp.float32(3.7)).compile().as_text()
    assert text is not None
    assert "xla_cpu_small_call" in text


def test_a_pair_is_a_stack():
    x, y = jnp.arange(6.0).reshape(2, 3), -jnp.ones((2, 3))
    np.testing.assert_array_equal(paired(x, y), np.stack([x, y]))


def test_inner_products_and_their_diagonal():
    vectors = jnp.asarray(np.random.default_rng(0).standard_normal((3, 50)), jnp.float32)
    np.testing.assert_allclose(gram(vectors), np.asarray(vectors) @ np.asarray(vectors).T, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(diagonal(gram(vectors)), np.diagonal(gram(vectors)))


@pytest.mark.parametrize("around", [lambda f: f, lambda f: lambda x: jax.vmap(f)(jnp.ones(3) * x)], ids=["jit", "vmap"])
def test_nothing_of_a_trace_outlives_it(around) -> None:
    """Which the rule for derivatives would, if it held what the function closes over."""

    def step(x):
        a, b = 2 * x, x + 1
        return in_one_kernel(lambda: (jnp.where(a > b, a, b), a - b))

    with jax.checking_leaks():
        jax.jit(around(step))(1.0)

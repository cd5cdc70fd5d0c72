"""Which of numpy and JAX computes, and that neither loses digits on the way in."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qnewton._core.arrays import ceil, floating, floor, namespace, quiet, repeat


@pytest.mark.parametrize("values", [(), (1.0, 2), (np.float64(1), np.ones(3)), (np.int64(3), True)])
def test_numbers_that_no_jax_array_touches_stay_with_numpy(values) -> None:
    assert namespace(*values) is np


@pytest.mark.parametrize("others", [(), (1.0,), (np.ones(3),)])
def test_one_jax_array_is_enough(others) -> None:
    assert namespace(jnp.ones(()), *others) is jnp


def test_a_tracer_is_a_jax_array() -> None:
    seen = []
    jax.jit(lambda x: seen.append(namespace(1.0, x)) or x)(1.0)
    assert seen == [jnp]


def test_doubles_stay_doubles_without_x64() -> None:
    xp, large, small = floating(np.float64(1e300), 1)
    assert xp is np
    assert (large.dtype, small.dtype) == (np.float64, np.float64)
    assert float(large) == 1e300


def test_python_numbers_do_not_widen(dtype: jnp.dtype) -> None:
    xp, kappa, precision = floating(jnp.ones(3, dtype), 1e-2)
    assert xp is jnp
    assert (kappa.dtype, precision.dtype) == (dtype, dtype)
    assert precision.shape == ()


def test_integers_become_floats(dtype: jnp.dtype) -> None:
    _, degree = floating(jnp.arange(3))
    assert degree.dtype == dtype
    assert floating(np.arange(3))[1].dtype == np.float64


@pytest.mark.parametrize("xp", [np, jnp], ids=["numpy", "jax"])
def test_repeat_is_a_loop(xp) -> None:
    state = repeat(xp, lambda s: (s[0] * 2, s[1] + s[0]), (xp.ones(2), xp.zeros(2)), 5)
    np.testing.assert_array_equal(state[0], [32, 32])
    np.testing.assert_array_equal(state[1], [31, 31])


def test_repeat_has_reverse_mode_derivatives() -> None:
    assert jax.grad(lambda x: repeat(jnp, lambda y: y * x, x, 3))(2.0) == 4 * 2.0**3


def test_quiet_says_nothing_of_overflow_and_keeps_the_name() -> None:
    @quiet
    def square(x):
        return x * x

    assert square.__name__ == "square"
    assert square(np.float64(1e300)) == np.inf  # warnings are errors in these tests


@pytest.mark.parametrize("rounding", [ceil, floor])
@pytest.mark.parametrize("value", [-2.5, 3.0, 1e30, np.inf, -np.inf, np.nan])
def test_rounding_is_that_of_numpy_and_hands_derivatives_on(rounding, value) -> None:
    expected = getattr(np, rounding.__name__)(value)
    np.testing.assert_equal(float(rounding(np, value)), expected)
    np.testing.assert_equal(np.float32(rounding(jnp, jnp.asarray(value))), np.float32(expected))
    if np.isfinite(value):
        assert jax.grad(lambda x: rounding(jnp, 3 * x))(value) == 3

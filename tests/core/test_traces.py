"""Traces, sums and inner products, as numpy has them."""

import jax.numpy as jnp
import numpy as np
import pytest

from qnewton._core.arrays import first_of
from qnewton._core.traces import begun, inner, lengths, over_last, trace


@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (3, 4, 4), (2, 0, 0)])
def test_traces_are_those_of_numpy(shape: tuple[int, ...]):
    matrices = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    np.testing.assert_allclose(trace(jnp.asarray(matrices)), np.trace(matrices, axis1=-2, axis2=-1), rtol=1e-6)


def test_what_is_not_finite_on_the_diagonal_shows():
    assert not np.isfinite(trace(jnp.asarray([[1.0, 0.0], [0.0, np.inf]])))
    assert np.isfinite(trace(jnp.asarray([[1.0, np.nan], [0.0, 2.0]])))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 31, 32, 33, 1024, 1025])
@pytest.mark.parametrize(("largest", "numpys"), [(False, np.sum), (True, np.max)])
def test_reductions_in_two_steps(n: int, largest: bool, numpys):
    entries = np.abs(np.random.default_rng(n).standard_normal((2, n)))
    expected = numpys(entries, axis=-1)
    np.testing.assert_allclose(over_last(jnp.asarray(entries, jnp.float32), largest), expected, rtol=1e-5)
    parts = begun(jnp.asarray(entries, jnp.float32), largest)
    assert parts.shape[-1] <= 32
    np.testing.assert_allclose(numpys(np.asarray(parts, float), axis=-1), expected, rtol=1e-5)


def test_what_is_not_a_number_stays_so_in_both_steps():
    entries = jnp.ones(70).at[50].set(jnp.nan)
    assert np.isnan(np.sum(begun(entries)))
    assert np.isnan(np.max(begun(entries, largest=True)))


def test_inner_products_and_lengths_of_vectors():
    first, second = np.random.default_rng(0).standard_normal((2, 40))
    one, other = jnp.asarray(first, jnp.float32), jnp.asarray(second, jnp.float32)
    np.testing.assert_allclose(inner(one, other), first @ second, rtol=1e-5)
    np.testing.assert_allclose(lengths(one, other), [np.linalg.norm(first), np.linalg.norm(second)], rtol=1e-5)


@pytest.mark.parametrize("x", [-1.0, 0.5, 2.0, 7.0, np.nan])
def test_the_first_condition_that_holds_decides(x: float):
    value = np.float32(x)
    conditions, values = [value > 5, value > 1, value > 0], [1, 2, 3]
    expected = np.select(conditions, values, 4)
    assert first_of([jnp.asarray(one) for one in conditions], values, 4) == expected

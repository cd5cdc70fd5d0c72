"""Powers of two as units: exact at every scale, below the normal range too, compared with extended precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qnewton._core.powers_of_two import exponent_of, norm, normalised, power_of_two, restored, root_of_product, unit_of

ENDS = {"float32": (-148, 127), "float64": (-1073, 1023)}


@pytest.fixture
def dtype(dtype):
    return str(dtype)


def vectors(dtype):
    low, high = ENDS[dtype]
    rng = np.random.default_rng(0)
    for exponent in (low, low + 9, -127, -126, -125, -1023, -1022, -1, 0, 1, high - 1, high):
        if low <= exponent <= high:
            # Truncated, so that the largest lies where it is meant to.
            mantissas = np.append(rng.uniform(-1, 1, 3), 1.0)
            yield exponent, np.ldexp(mantissas.astype(np.longdouble), exponent).astype(dtype)


def test_a_vector_is_normalised_and_restored_without_a_changed_digit(dtype):
    there, back = jax.jit(normalised), jax.jit(restored)
    tiny = np.finfo(dtype).tiny
    for exponent, vector in vectors(dtype):
        scaled, found = there(jnp.asarray(vector))
        wide = vector.astype(np.longdouble)
        assert int(found) == min(exponent + 1, ENDS[dtype][1])
        np.testing.assert_array_equal(scaled, np.ldexp(wide, -int(found)).astype(dtype))
        value, held = back(scaled, found)
        if np.abs(vector).min() >= tiny:
            np.testing.assert_array_equal(value, vector)
            assert held
        elif np.abs(vector).max() < tiny:
            assert not held


def test_zero_and_what_is_not_finite_have_the_unit_one(dtype):
    for last in (0.0, np.inf, -np.inf, np.nan):
        vector = jnp.asarray([0.0, last], dtype)
        assert float(unit_of(vector)) == 1.0
        np.testing.assert_array_equal(normalised(vector)[0], vector)
    assert not restored(jnp.asarray([1.0, np.nan], dtype), jnp.asarray(0))[1]


def test_powers_are_exact_and_end_where_the_type_does(dtype):
    low, high = (-126, 127) if dtype == "float32" else (-1022, 1023)
    for exponent in (low, -7, 0, 7, high):
        assert float(power_of_two(jnp.asarray(exponent), jnp.dtype(dtype))) == 2.0**exponent
    assert float(power_of_two(jnp.asarray(low - 1), jnp.dtype(dtype))) == 0.0


def test_norms_and_roots_of_products_neither_underflow_nor_overflow(dtype):
    size = 1e-30 if dtype == "float32" else 1e-300
    for scale in (size, 1.0, 1 / size):
        entries = np.array([[3.0, 0.0], [4.0, 12.0]]) * scale
        assert float(norm(jnp.asarray(entries, dtype))) == pytest.approx(13 * scale, rel=1e-6)
        left, right = jnp.asarray([2.0 * scale, 0], dtype), jnp.asarray([8.0 / scale, 0], dtype)
        assert float(root_of_product(left, right)[0]) == pytest.approx(4.0, rel=1e-6)
    assert float(norm(jnp.zeros(3, dtype))) == 0.0


def test_complex_vectors_go_by_their_larger_part():
    vector = jnp.asarray([1e-40 + 3e-39j, 0], "complex64")
    scaled, exponent = normalised(vector)
    assert int(exponent) == int(exponent_of(vector.imag)) == np.frexp(np.float32(3e-39))[1]
    np.testing.assert_allclose(np.asarray(scaled), np.array([1e-40 + 3e-39j, 0]) * 2.0 ** -float(exponent), rtol=1e-4)

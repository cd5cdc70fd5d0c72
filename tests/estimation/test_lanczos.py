"""Ritz values, and the estimator that rests on them alone."""

import math

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from qnewton._core.records import Kind
from qnewton._core.ritz import ritz_values
from qnewton._estimation import Lanczos
from qnewton.testing import symmetric_with_spectrum


@jax.jit
def _twelve_ritz_values(matrix, start):
    return ritz_values(lambda v: matrix @ v, start, 12)


def _ritz(spectrum, dtype, seed=0):
    matrix = jnp.asarray(symmetric_with_spectrum(spectrum, seed), dtype)
    start = jnp.asarray(np.random.default_rng(seed + 1).standard_normal(len(spectrum)), dtype)
    return np.asarray(_twelve_ritz_values(matrix, start), np.float64)


# Spectra with 1, 2, 3 and few distinct eigenvalues, on which the iteration breaks down early, and full ones.
spectra = st.one_of(
    st.lists(st.sampled_from([-1.0, 0.0, 1e-4, 0.5, 1.0]), min_size=20, max_size=20),
    st.lists(st.floats(-1, 1), min_size=20, max_size=20),
)


@hypothesis.given(spectrum=spectra, seed=st.integers(0, 100))
def test_ritz_values_lie_inside_the_spectrum(spectrum, seed, dtype):
    values = _ritz(spectrum, dtype, seed)
    slack = 100 * jnp.finfo(dtype).eps
    assert values.shape == (12,)
    assert min(spectrum) - slack <= values[0]
    assert values[-1] <= max(spectrum) + slack
    assert np.all(np.diff(values) >= 0)


@pytest.mark.parametrize("rank", [1, 2, 5, 11])
def test_breakdown_on_low_rank(rank, dtype):
    spectrum = np.r_[np.arange(1.0, rank + 1), np.zeros(20 - rank)]
    values = _ritz(spectrum, dtype)
    # rank + 1 steps exhaust the Krylov space: all distinct eigenvalues are found, and nothing outside of them.
    assert values[-1] == pytest.approx(rank, rel=1e-5)
    assert values[0] == pytest.approx(0, abs=1e-4)
    assert values.min() > -1e-4


def test_ritz_values_of_a_reflection_lie_inside_its_spectrum(dtype):
    """Two products exhaust the space, and the diagonal entries until then are small against the norm."""
    reflection = symmetric_with_spectrum(np.r_[np.ones(32), -np.ones(32)])
    starts = np.random.default_rng(0).standard_normal((50, 64))
    run = jax.jit(lambda m, s: jax.lax.map(lambda start: ritz_values(lambda v: m @ v, start, 24), s))
    values = np.asarray(run(jnp.asarray(reflection, dtype), jnp.asarray(starts, dtype)), np.float64)
    slack = 100 * float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(values[:, -1], 1, atol=slack)
    np.testing.assert_allclose(values[:, 0], -1, atol=slack)


def test_more_steps_than_rows(dtype):
    np.testing.assert_allclose(np.unique(_ritz([1.0, 2.0, 5.0], dtype).round(4)), [1, 2, 5])


def test_one_row(dtype):
    assert ritz_values(lambda v: -3 * v, jnp.asarray([0.1], dtype), 12) == pytest.approx([-3])


@hypothesis.given(
    spectrum=st.lists(st.floats(-4, 0).map(lambda e: 10**e), min_size=40, max_size=40), seed=st.integers(0, 100)
)
def test_with_the_true_floor_it_never_exceeds_the_truth(spectrum, seed, dtype, estimate):
    found = estimate(Lanczos(steps=8), symmetric_with_spectrum(spectrum, seed), dtype, floor=min(spectrum))
    truth = max(spectrum) / min(spectrum)
    assert 0.5 * truth <= found.condition_number <= truth * (1 + 1e3 * jnp.finfo(dtype).eps)
    # What few products leave open is no estimate.
    close = found.condition_number >= 0.95 * truth
    assert found.kind is Kind.ROUGH or (found.kind is Kind.ESTIMATE and close)


def test_floor_short_of_the_smallest_eigenvalue_is_used_all_the_same(double, estimate):
    matrix = symmetric_with_spectrum(np.linspace(1, 2, 40))
    assert float(estimate(Lanczos(steps=8), matrix, "float64", floor=1e-3).condition_number) == pytest.approx(2e3, 1e-2)


def test_without_a_floor_enough_steps_find_both_ends(double, estimate):
    matrix = symmetric_with_spectrum(np.geomspace(0.05, 1, 40))
    found = estimate(Lanczos(steps=40), matrix, "float64")
    assert float(found.condition_number) == pytest.approx(20, rel=1e-3)
    # A smallest Ritz value above zero proves nothing.
    assert not found.definite


def test_without_a_floor_few_steps_fall_short(double, estimate):
    matrix = symmetric_with_spectrum(np.geomspace(1e-3, 1, 40))
    assert 1 < estimate(Lanczos(steps=8), matrix, "float64").condition_number < 900


def test_negative_ritz_value_makes_it_infinite(double, estimate):
    found = estimate(Lanczos(steps=8), symmetric_with_spectrum(np.linspace(-1, 1, 40)), "float64")
    assert found.condition_number == math.inf
    assert not found.definite


def test_negative_eigenvalue_that_no_ritz_value_shows_is_not_called_definite(double, estimate):
    matrix = symmetric_with_spectrum(np.r_[-1e-6, np.geomspace(1e-6, 1, 39)])
    found = estimate(Lanczos(steps=8), matrix, "float64")
    assert np.isfinite(found.condition_number), "the case is meant to be one that Lanczos does not see"
    assert not found.definite


def test_identity_of_400_rows(double, estimate):
    found = estimate(Lanczos(), np.eye(400), "float64")
    assert float(found.condition_number) == pytest.approx(1, abs=1e-5)
    assert float(found.spectral_norm) == pytest.approx(1, abs=1e-5)


def test_the_start_vector_hardly_matters_and_is_fixed(double, estimate):
    matrix = symmetric_with_spectrum(np.geomspace(0.05, 1, 40))
    first, again, other = (
        float(estimate(Lanczos(steps=8, seed=seed), matrix, "float64", floor=0.05).condition_number)
        for seed in (0, 0, 1)
    )
    assert first == again != other
    assert first == pytest.approx(other, rel=0.1)

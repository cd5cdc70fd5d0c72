"""`Exact` and `InverseLanczos` against numpy on matrices whose spectrum is prescribed."""

import functools
import math

import jax.numpy as jnp
import numpy as np
import pytest

from qnewton._estimation import Exact, InverseLanczos
from qnewton.testing import symmetric_with_spectrum

SIZES = [1, 2, 3, 16, 64, 100, 512]
# The Ritz value of the inverse falls short where singular values crowd next to the smallest, never exceeds it.
FEW_PER_CENT = 0.06


@functools.cache
def _definite_and_not(n):
    """Two matrices with norm 7 and singular values that span two decades: definite, and with alternating signs."""
    singular = 7 * np.geomspace(0.01, 1, n) if n > 1 else np.full(1, 7.0)
    signs = np.where(np.arange(n) % 2, 1, -1)
    return symmetric_with_spectrum(singular, seed=n), symmetric_with_spectrum(signs * singular, seed=n)


def _roundoff(n, dtype, kappa):
    return 8 * math.sqrt(n) * float(jnp.finfo(dtype).eps) * kappa


@pytest.mark.parametrize("n", SIZES)
def test_exact_to_rounding(n, dtype, estimate, true_log_kappa):
    for matrix, definite in zip(_definite_and_not(n), (True, False), strict=True):
        found = estimate(Exact(), matrix, dtype)
        truth = true_log_kappa(matrix, dtype)
        assert float(found.log_condition_number) == pytest.approx(truth, abs=_roundoff(n, dtype, math.exp(truth)))
        assert float(found.spectral_norm) == pytest.approx(7, rel=_roundoff(n, dtype, 1))
        assert bool(found.definite) is definite


@pytest.mark.parametrize("n", [2, 16, 100])
def test_exact_without_symmetry(n, dtype, estimate, true_log_kappa):
    matrix = np.random.default_rng(n).standard_normal((n, n))
    found = estimate(Exact(), matrix, dtype, symmetric=False)
    truth = true_log_kappa(matrix, dtype)
    assert float(found.log_condition_number) == pytest.approx(truth, abs=_roundoff(n, dtype, math.exp(truth)))


# Every pair compiles three iterations: single precision leaves out sizes that tell nothing new.
@pytest.mark.parametrize(
    ("n", "dtype"), [*((n, "float64") for n in SIZES), *((n, "float32") for n in (3, 512))], indirect=["dtype"]
)
def test_inverse_lanczos_to_a_few_per_cent(n, dtype, estimate, true_log_kappa):
    for matrix, definite in zip(_definite_and_not(n), (True, False), strict=True):
        found = estimate(InverseLanczos(), matrix, dtype)
        truth = true_log_kappa(matrix, dtype)
        assert -FEW_PER_CENT <= float(found.log_condition_number) - truth <= _roundoff(n, dtype, math.exp(truth))
        assert float(found.spectral_norm) == pytest.approx(7, rel=FEW_PER_CENT)
        assert bool(found.definite) is definite


HARD = {
    "identity": np.ones(64),
    "reflection": np.r_[np.ones(30), -np.ones(34)],
    "two_clusters": np.r_[np.full(30, 1e-3), np.full(34, 1.0)],
    "tight_cluster_at_both_ends": np.r_[1e-3 * (1 + 1e-2 * np.linspace(0, 1, 32)), np.linspace(0.99, 1, 32)],
    "one_small": np.r_[1e-3, np.linspace(0.5, 1, 63)],
    "one_small_negative": np.r_[-1e-3, np.linspace(0.5, 1, 63)],
    "one_large": np.r_[1e3, np.linspace(0.5, 1, 63)],
    "rank_1_damped": np.r_[50.0, np.full(63, 5e-3)],
    "rank_1_damped_with_the_wrong_sign": np.r_[50.0, np.full(63, -5e-3)],
    "sign_pairs": np.outer([1, -1], np.geomspace(1e-3, 1, 32)).ravel(),
    "evenly_spaced": np.linspace(1e-3, 1, 64),
}


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e15], ids=["tiny", "unit", "huge"])
@pytest.mark.parametrize("spectrum", HARD.values(), ids=HARD.keys())
def test_inverse_lanczos_on_hard_spectra(spectrum, scale, dtype, estimate, true_log_kappa):
    matrix = scale * symmetric_with_spectrum(spectrum)
    found = estimate(InverseLanczos(), matrix, dtype)
    assert float(found.log_condition_number) == pytest.approx(true_log_kappa(matrix, dtype), abs=FEW_PER_CENT)
    assert float(found.spectral_norm) == pytest.approx(scale * np.abs(spectrum).max(), rel=FEW_PER_CENT)
    assert bool(found.definite) == (spectrum.min() > 0)


@pytest.mark.parametrize(
    "matrix",
    [
        pytest.param(np.random.default_rng(0).standard_normal((16, 16)), id="gaussian"),
        pytest.param(np.eye(16) + 0.9 * np.eye(16, k=1), id="far_from_normal"),
        pytest.param(np.triu(np.random.default_rng(1).standard_normal((16, 16)), 1) / 4 + np.eye(16), id="triangular"),
        pytest.param(np.diag(np.geomspace(1e-4, 1, 16))[:, ::-1], id="permuted"),
        pytest.param(np.diag(10.0 ** np.linspace(-2, 2, 16)) @ symmetric_with_spectrum(np.ones(16)), id="row_scaled"),
    ],
)
def test_inverse_lanczos_without_symmetry(matrix, estimate, true_log_kappa):
    found = estimate(InverseLanczos(), matrix, "float32", symmetric=False)
    assert float(found.log_condition_number) == pytest.approx(true_log_kappa(matrix, "float32"), abs=FEW_PER_CENT)
    assert not found.definite


SINGULAR = {
    "rank_0": np.zeros(64),
    "rank_1": np.r_[3.0, np.zeros(63)],
    "rank_32": np.r_[np.linspace(1, 2, 32), np.zeros(32)],
    "rank_63": np.r_[np.linspace(1, 2, 63), 0.0],
    "rank_63_indefinite": np.r_[np.linspace(-1, 2, 63), 0.0],
}


@pytest.mark.parametrize("spectrum", SINGULAR.values(), ids=SINGULAR.keys())
@pytest.mark.parametrize("estimator", [Exact(), InverseLanczos()], ids=["exact", "inverse_lanczos"])
def test_singular_is_infinite_or_beyond_rounding_and_not_definite(estimator, spectrum, dtype, estimate):
    # Rounding turns a zero eigenvalue into one of either sign: no seed may make it count as positive.
    for seed in range(5):
        found = estimate(estimator, symmetric_with_spectrum(spectrum, seed), dtype)
        assert found.condition_number > 0.01 / jnp.finfo(dtype).eps
        assert not found.definite, seed


@pytest.mark.parametrize("symmetric", [True, False], ids=["symmetric", "general"])
def test_exactly_singular_pivot(symmetric, double, estimate):
    matrix = np.diag([1.0, 0.0, 2.0, 3.0, 4.0, 5.0])
    matrix[0, 3] = matrix[3, 0] = 1.0
    for estimator in (Exact(), InverseLanczos()):
        found = estimate(estimator, matrix, "float64", symmetric=symmetric)
        assert found.condition_number > 1 / jnp.finfo("float64").eps
        assert not found.definite

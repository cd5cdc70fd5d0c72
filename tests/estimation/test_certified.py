"""`Certified` is an upper bound, rounding included, for whatever is semidefinite by construction and then damped."""

import functools
import math

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from qnewton._core.records import Kind, System
from qnewton._estimation import Bracket, Certified, ProbabilisticLanczos
from qnewton.testing import symmetric_with_spectrum

N = 8
LARGEST_KAPPA = {"float32": 1e4, "float64": 1e6}


def _checked(estimate, matrix, dtype, floor):
    """Estimate `matrix`, compare with the truth for the matrix as it was stored, and return bound over truth."""
    found = estimate(Certified(), matrix, dtype, floor=floor)
    eigenvalues = np.linalg.eigvalsh(np.asarray(matrix, dtype).astype(np.float64))
    assert found.definite
    assert found.kind is Kind.CERTIFIED
    # Compared in float64, without tolerance: a certificate has no "almost". numpy's own error is given to the truth.
    truth = eigenvalues[-1] / eigenvalues[0] * (1 - 1e-13 * eigenvalues[-1] / eigenvalues[0])
    assert float(found.log_condition_number) >= math.log(truth) or found.condition_number == math.inf
    assert float(found.spectral_norm) >= eigenvalues[-1] * (1 - 1e-14)
    return math.exp(float(found.log_condition_number)) / truth


def _damped(semidefinite, relative, dtype):
    # In the arithmetic of the system itself, as curvature and Damp do it.
    semidefinite = np.asarray(semidefinite, dtype)
    amount = (relative * np.abs(semidefinite).max()).astype(dtype)
    return semidefinite + amount * np.eye(len(semidefinite), dtype=dtype), amount


@hypothesis.given(
    zeros=st.integers(0, N - 1),
    exponents=st.lists(st.floats(-6, 0), min_size=N, max_size=N),
    fraction=st.floats(0, 1),
    scale=st.integers(-18, 15),
    seed=st.integers(0, 1000),
)
def test_damped_semidefinite_spectra(zeros, exponents, fraction, scale, seed, dtype, estimate):
    spectrum = 10.0 ** (np.asarray(exponents) + scale)
    spectrum[:zeros] = 0
    damping = LARGEST_KAPPA[dtype.name] ** -fraction
    matrix, floor = _damped(symmetric_with_spectrum(spectrum, seed), damping, dtype)
    ratio = _checked(estimate, matrix, dtype, floor)
    if zeros:
        # The smallest eigenvalue is the damping itself, so only the norm is loose.
        assert ratio <= math.sqrt(N) * (1 + 0.1)


@pytest.mark.parametrize("n", [2, N])
def test_where_the_norms_are_tight(n, dtype):
    # Constant matrices: row sums and trace are the largest eigenvalue, damping is the smallest one. Nothing but the
    # allowance for rounding stands between the bound and the truth, so thousands of them are tried.
    rng, count = np.random.default_rng(n), 4000
    entry = (10 ** rng.uniform(-18, 15, count)).astype(dtype)
    amount = (entry * 10 ** rng.uniform(-3, 3, count)).astype(dtype)
    matrices = entry[:, None, None] * np.ones((n, n), dtype) + amount[:, None, None] * np.eye(n, dtype=dtype)
    eigenvalues = np.linalg.eigvalsh(matrices.astype(np.float64))
    bound = jax.jit(jax.vmap(lambda m, floor: Certified()(System.of(m, symmetric=True, eigenvalue_floor=floor))))
    found = bound(matrices, amount)
    log_kappa = np.log(eigenvalues[:, -1] / eigenvalues[:, 0])
    excess = np.asarray(found.log_condition_number, np.float64) - log_kappa * (1 - 1e-11)
    assert excess.min() >= 0
    assert excess.max() < 0.1
    assert np.all(np.asarray(found.spectral_norm, np.float64) >= eigenvalues[:, -1] * (1 - 1e-14))


@hypothesis.given(scale=st.floats(-18, 15))
def test_multiples_of_the_identity(scale, dtype, estimate):
    matrix = np.asarray(10.0**scale * np.eye(N), dtype)
    assert _checked(estimate, matrix, dtype, matrix[0, 0]) <= 1 + 100 * jnp.finfo(dtype).eps + 1e-12


@hypothesis.given(
    rows=st.sampled_from([1, 3, 8, 300]),
    fraction=st.floats(0, 1),
    scale=st.integers(-9, 7),
    offset=st.floats(0, 10),
    seed=st.integers(0, 1000),
)
def test_gauss_newton_matrices_summed_in_their_own_precision(rows, fraction, scale, offset, seed, dtype, estimate):
    # A mean of outer products with a common part, accumulated one by one in single precision: the rounding that the
    # allowance is for. The stored matrix itself may have slightly negative eigenvalues before damping.
    jacobian = np.asarray(10.0**scale * (np.random.default_rng(seed).standard_normal((rows, N)) + offset), dtype)
    summed = np.zeros((N, N), dtype)
    for row in jacobian:
        summed += np.outer(row, row) / dtype.type(rows)
    matrix, floor = _damped(summed, LARGEST_KAPPA[dtype.name] ** -fraction, dtype)
    _checked(estimate, matrix, dtype, floor)


@functools.cache
def _half_rank(n):
    return symmetric_with_spectrum(np.r_[np.zeros(n // 2), np.linspace(1, 2, n - n // 2)])


@pytest.mark.parametrize("n", [2, 3, 64, 512])
def test_sizes(n, dtype, estimate):
    matrix, floor = _damped(_half_rank(n), 1e-2, dtype)
    assert 1 <= _checked(estimate, matrix, dtype, floor) <= 1.1 * math.sqrt(n)


@pytest.mark.parametrize("relative", [0.0, 1e-9])
def test_floor_within_rounding_certifies_nothing(relative, estimate):
    matrix, floor = _damped(symmetric_with_spectrum(np.linspace(1, 2, N)), relative, np.dtype("float32"))
    found = estimate(Certified(), matrix, "float32", floor=floor)
    assert found.condition_number == math.inf
    assert not found.definite


def test_negative_floor_certifies_nothing(dtype, estimate):
    found = estimate(Certified(), symmetric_with_spectrum(np.linspace(1, 2, N)), dtype, floor=-0.5)
    assert found.condition_number == math.inf
    assert not found.definite


@pytest.mark.parametrize("estimator", [Certified(), ProbabilisticLanczos(), Bracket()], ids=["all", "few", "bracket"])
def test_what_long_sums_leave_of_a_semidefinite_matrix_is_not_called_definite(estimator, estimate):
    # A thousand outer products of rank 8 in 16 columns, one by one in single precision: rounding makes an eigenvalue
    # of zero more negative than eps times the Frobenius norm, and damping by less than that leaves it negative.
    n, rows = 16, 1500
    rng = np.random.default_rng(n + rows)
    jacobian = (rng.standard_normal((rows, n // 2)) @ rng.standard_normal((n // 2, n))).astype(np.float32)
    summed = np.zeros((n, n), np.float32)
    for row in jacobian:
        summed += np.outer(row, row)
    lowest = -np.linalg.eigvalsh(summed.astype(np.float64))[0]
    unit = np.finfo(np.float32).eps * np.linalg.norm(summed.astype(np.float64))
    assert 1.3 * unit < lowest, "the case is meant to need more than one unit"
    floor = np.float32(0.9 * lowest)
    stored = summed + floor * np.eye(n, dtype=np.float32)
    assert np.linalg.eigvalsh(stored.astype(np.float64))[0] < 0
    found = estimate(estimator, stored, "float32", floor=floor)
    assert not found.definite
    assert found.condition_number == math.inf

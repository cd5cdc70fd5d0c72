"""Cholesky that turns to LU where it breaks down, and the scheduler that lets it try."""

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

import qnewton as qn
from qnewton._hardware import KernelTimes
from qnewton.testing import symmetric_with_spectrum

LU_IS_SLOW = qn.ClassicalMachine(
    "made by hand",
    "float32",
    (("cholesky", KernelTimes(1e-6, 0.0, 0.0)), ("lu", KernelTimes(1e-3, 0.0, 0.0))),
)


def solve(matrix, vector, solver, **options):
    operator = lx.MatrixLinearOperator(matrix, lx.positive_semidefinite_tag)
    return lx.linear_solve(operator, vector, solver, options=options, throw=False)


@pytest.mark.parametrize("smallest", [1.0, -1.0])
def test_an_indefinite_matrix_is_solved_all_the_same(smallest, dtype):
    matrix = symmetric_with_spectrum(np.append(np.linspace(1, 5, 11), smallest), seed=3).astype(dtype)
    vector = np.arange(1.0, 13.0, dtype=dtype)
    expected = np.linalg.solve(matrix.astype(np.float64), vector)
    found = solve(jnp.asarray(matrix), jnp.asarray(vector), qn.Cholesky(fallback=True))
    assert found.result == lx.RESULTS.successful
    tolerance = 1e-4 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(found.value, expected, rtol=tolerance, atol=tolerance)
    without = solve(jnp.asarray(matrix), jnp.asarray(vector), qn.Cholesky())
    assert bool(jnp.all(jnp.isfinite(without.value))) is (smallest > 0)


@pytest.mark.parametrize("once", [False, True])
@pytest.mark.parametrize(("moved", "definite"), [(0.0, True), (-3e-5, False)])
def test_the_scheduler_lets_it_try_where_only_rounding_is_in_doubt(once, moved, definite):
    """Damped and semidefinite by construction, at a condition number that float32 cannot vouch for."""
    floor = 2e-6
    spectrum = np.append(np.linspace(0.5, 1, 29), floor)
    matrix = symmetric_with_spectrum(spectrum, seed=0)
    # What rounding might have done, by hand and larger: the factorisation has to break down.
    vector = np.linalg.eigh(matrix)[1][:, 0]
    matrix = jnp.asarray(matrix + moved * np.outer(vector, vector), jnp.float32)
    hybrid = qn.Hybrid([qn.LU(), qn.Cholesky(fallback=True)], estimator=qn.estimators.Certified(), classical=LU_IS_SLOW)
    strict = qn.Hybrid([qn.LU(), qn.Cholesky()], estimator=qn.estimators.Certified(), classical=LU_IS_SLOW)
    right = jnp.asarray(np.random.default_rng(1).standard_normal(30), jnp.float32)
    options = {"eigenvalue_floor": jnp.float32(floor), "once": once}
    found = jax.jit(lambda m, b: solve(m, b, hybrid, **options))(matrix, right)
    plan = found.stats["plan"]
    assert not bool(plan.estimate.definite)
    assert bool(plan.estimate.presumed_definite)
    assert hybrid.names[int(plan.choice[0])] == "Cholesky"
    assert bool(jnp.all(jnp.isfinite(jnp.linalg.cholesky(matrix)))) is definite
    residual = np.asarray(matrix, np.float64) @ np.asarray(found.value, np.float64) - np.asarray(right)
    assert np.linalg.norm(residual) < 1e-2 * np.linalg.norm(right)
    refused = solve(matrix, right, strict, **options).stats["plan"]
    assert strict.names[int(refused.choice[0])] == "LU"

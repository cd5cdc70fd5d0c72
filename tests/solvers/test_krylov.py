"""CG and MINRES: the iterates they promise, what they cost, and how they fail."""

import itertools

import equinox as eqx
import hypothesis
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest
import scipy.sparse.linalg
from hypothesis import strategies as st

from qnewton._solvers import CG, MINRES, Identity
from qnewton._solvers.krylov.steps import cg_steps
from qnewton._solvers.preconditioners import AbstractPreconditioner
from qnewton.testing import symmetric_with_spectrum

both = pytest.mark.parametrize("kind", [CG, MINRES])
PRODUCTS: list[int] = []


class Counting(lx.AbstractLinearOperator):
    """A matrix that counts its products and will not be looked at."""

    matrix: jax.Array

    def mv(self, vector):
        jax.debug.callback(lambda: PRODUCTS.append(1))
        return self.matrix @ vector

    def as_matrix(self):
        raise AssertionError("an iterative solver formed the matrix")

    def transpose(self):
        return self

    def in_structure(self):
        return jax.ShapeDtypeStruct(self.matrix.shape[:1], self.matrix.dtype)

    out_structure = in_structure


for _claim in (lx.is_symmetric, lx.is_positive_semidefinite):
    _claim.register(Counting)(lambda operator: True)
lx.linearise.register(Counting)(lambda operator: operator)


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


@eqx.filter_jit
def _solve(solver, matrix, vector, options):
    operator = lx.MatrixLinearOperator(matrix, lx.positive_semidefinite_tag)
    return lx.linear_solve(operator, vector, solver, options=options, throw=False)


def solve(solver, matrix, vector, dtype: str = "float64", /, **options):
    return _solve(solver, jnp.asarray(matrix, dtype), jnp.asarray(vector, dtype), options)


def vector(n, seed=0):
    return np.random.default_rng(seed).standard_normal(n)


def residual(matrix, value, right):
    return np.linalg.norm(right - np.asarray(matrix) @ np.asarray(value, np.float64)) / np.linalg.norm(right)


MIXED = symmetric_with_spectrum(np.concatenate([-np.geomspace(0.1, 1, 20), np.geomspace(0.1, 2, 20)]))


def krylov_space(matrix, start, steps):
    basis = start[:, None] / np.linalg.norm(start)
    while basis.shape[1] < steps:
        basis = np.linalg.qr(np.column_stack([basis, matrix @ basis[:, -1]]))[0]
    return basis


@pytest.mark.parametrize("steps", [1, 6])
def test_minres_minimises_the_residual_over_the_krylov_space(steps):
    b = vector(40)
    basis = krylov_space(MIXED, b, steps)
    best = basis @ np.linalg.lstsq(MIXED @ basis, b, rcond=None)[0]
    solution = solve(MINRES(1e-12, steps), MIXED, b)
    np.testing.assert_allclose(solution.value, best, atol=1e-10)
    assert solution.stats["residual"] == pytest.approx(residual(MIXED, best, b), rel=1e-9)


@pytest.mark.parametrize("steps", [1, 6])
def test_cg_makes_the_residual_orthogonal_to_the_krylov_space(steps):
    matrix, b = symmetric_with_spectrum(np.linspace(1, 2, 40)), vector(40)
    basis = krylov_space(matrix, b, steps)
    expected = basis @ np.linalg.solve(basis.T @ matrix @ basis, basis.T @ b)
    # With kappa = 2 the residual falls in each step, so that the last iterate is the best.
    np.testing.assert_allclose(solve(CG(1e-12, steps), matrix, b).value, expected, atol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cg_takes_as_many_iterations_as_scipy(dtype):
    # In single precision lineax.CG took ten times as many on such a system, and ended in NaN.
    matrix, b = symmetric_with_spectrum(np.geomspace(1 / 4e3, 1, 400), seed=1), vector(400)
    taken = []
    scipy.sparse.linalg.cg(matrix.astype(dtype), b.astype(dtype), rtol=1e-3, callback=taken.append)
    solution = solve(CG(), matrix, b, dtype)
    assert solution.result == lx.RESULTS.successful
    assert abs(int(solution.stats["num_steps"]) - len(taken)) <= 0.03 * len(taken)
    assert residual(matrix, solution.value, b) <= 1.01e-3
    # The residual of MINRES is the smaller one in each step.
    assert solve(MINRES(), matrix, b, dtype).stats["num_steps"] <= solution.stats["num_steps"]


def spectra(n, kappa):
    """From 1 to kappa: spread evenly, in the logarithm, towards the small end (Strakos 1991), and in two clusters."""
    towards = 0.8 ** np.arange(n - 1, -1, -1) * np.arange(n) / (n - 1)
    halves = np.geomspace(1, kappa**0.25, n // 2), np.geomspace(kappa**0.75, kappa, n - n // 2)
    return np.linspace(1, kappa, n), np.geomspace(1, kappa, n), 1 + (kappa - 1) * towards, np.concatenate(halves)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rounding_takes_cg_beyond_n_steps_and_never_beyond_the_bound(dtype):
    n, beyond = 64, 0
    for kappa, rtol in itertools.product((1.5, 1e2, 1e4, 1e6), (1e-1, 1e-3, 1e-6)):
        if kappa * np.finfo(dtype).eps > rtol:
            continue  # What the float type does not resolve no bound speaks of.
        for k, spectrum in enumerate(spectra(n, kappa)):
            matrix, b = symmetric_with_spectrum(spectrum, seed=k).astype(dtype), vector(n, k).astype(dtype)
            taken = []
            bound = int(np.ceil(cg_steps(kappa, rtol)))
            scipy.sparse.linalg.cg(matrix, b, rtol=rtol, maxiter=2 * bound, callback=taken.append)
            assert len(taken) <= bound, (kappa, rtol, k)
            beyond = max(beyond, len(taken))
    # In exact arithmetic it would end after n steps, whatever the condition number.
    assert beyond > (1.2 if dtype == "float32" else 4) * n


@both
def test_one_product_per_iteration_one_for_the_residual_one_for_a_guess_and_never_the_matrix(kind):
    matrix, b = jnp.asarray(symmetric_with_spectrum(np.geomspace(0.01, 1, 30))), jnp.asarray(vector(30))
    for options, more in (({}, 1), ({"y0": jnp.asarray(vector(30, 1))}, 2), ({"verify": False}, 0)):
        PRODUCTS.clear()
        solution = lx.linear_solve(Counting(matrix), b, kind(1e-6), options=options)
        jax.block_until_ready(solution.value)
        jax.effects_barrier()
        assert len(PRODUCTS) == int(solution.stats["num_steps"]) + more
        assert int(solution.stats["num_steps"]) > 5


@both
@hypothesis.given(
    exponents=st.lists(st.floats(-3, 0), min_size=12, max_size=12),
    seed=st.integers(0, 1000),
    scale=st.integers(-40, 40),
    negative=st.integers(0, 11),
)
def test_the_residual_at_exit_is_as_claimed(kind, exponents, seed, scale, negative):
    spectrum = 10.0 ** np.asarray(exponents)
    spectrum[:negative] *= -1 if kind is MINRES else 1
    matrix, b = symmetric_with_spectrum(spectrum, seed), vector(12, seed) * 10.0**scale
    solution = solve(kind(1e-6), matrix, b)
    assert solution.result == lx.RESULTS.successful
    found = residual(matrix, solution.value, b)
    assert found <= 1.001e-6
    assert float(solution.stats["residual"]) == pytest.approx(found, rel=1e-3, abs=1e-9)


@both
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exhausted_krylov_spaces(kind, dtype):
    tight = kind(1e-6 if dtype == "float32" else 1e-12)
    b = vector(50)
    identity = solve(tight, 3 * np.eye(50), b, dtype)
    assert (identity.result == lx.RESULTS.successful) & (identity.stats["num_steps"] == 1)
    np.testing.assert_allclose(identity.value, b / 3, rtol=1e-6)
    # Rank 3 plus a shift has four different eigenvalues, and takes four steps.
    low_rank = symmetric_with_spectrum([*np.full(47, 0.1), 2.0, 1.0, 3.0])
    four = solve(tight, low_rank, b, dtype)
    assert (four.result == lx.RESULTS.successful) & (four.stats["num_steps"] <= 5)
    # Singular and consistent: the solution of least norm.
    singular = symmetric_with_spectrum([*np.zeros(47), 2.0, 1.0, 3.0])
    solution = solve(tight, singular, singular @ b, dtype)
    assert solution.result == lx.RESULTS.successful
    np.testing.assert_allclose(solution.value, np.linalg.pinv(singular) @ (singular @ b), atol=1e-4)


@pytest.mark.parametrize("spectrum", [[0.0, 0, 1, 2, -3], [0.0, 0, 0, 0, 0]], ids=["rank_3", "zero"])
def test_minres_reports_an_inconsistent_system(spectrum):
    matrix, b = symmetric_with_spectrum(spectrum), vector(5)
    solution = solve(MINRES(1e-6), matrix, b)
    assert solution.result == lx.RESULTS.singular
    assert int(solution.stats["num_steps"]) <= 5
    # A least-squares solution all the same.
    np.testing.assert_allclose(matrix @ (b - matrix @ solution.value), 0, atol=1e-9)


def test_cg_reports_negative_curvature_and_returns_the_iterate_before_it():
    matrix = np.diag([1.0, 2, 3, -0.01])
    solution = solve(CG(1e-8), matrix, [1.0, 1, 1, 1e-3])
    assert solution.result == lx.RESULTS.breakdown
    assert 0 < float(solution.stats["residual"]) < 1
    assert residual(matrix, solution.value, np.array([1.0, 1, 1, 1e-3])) == pytest.approx(
        float(solution.stats["residual"]), rel=1e-6
    )
    # At once, where the first direction shows it.
    first = solve(CG(), -np.eye(3), np.ones(3))
    assert first.result == lx.RESULTS.breakdown
    assert np.array_equal(first.value, np.zeros(3))


@both
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_reported_and_does_not_spread(kind, bad):
    matrix = np.diag([1.0, 2, 3])
    broken = matrix.copy()
    broken[1, 1] = bad
    in_matrix, in_vector = solve(kind(), broken, np.ones(3)), solve(kind(), matrix, [1.0, bad, 1.0])
    assert in_matrix.result == lx.RESULTS.singular
    assert in_vector.result == lx.RESULTS.nonfinite_input
    assert np.all(np.isfinite(in_matrix.value))
    assert np.all(np.isfinite(in_vector.value))
    assert int(in_matrix.stats["num_steps"]) <= 1


@both
def test_nothing_to_solve_takes_no_steps(kind):
    matrix = symmetric_with_spectrum([1.0, 2, 3])
    for options in ({}, {"y0": jnp.ones(3)}):
        solution = solve(kind(), matrix, np.zeros(3), **options)
        assert solution.result == lx.RESULTS.successful
        assert np.array_equal(solution.value, np.zeros(3))
        assert int(solution.stats["num_steps"]) == 0


@both
def test_a_guess_that_is_the_solution_takes_no_steps_and_a_near_one_fewer(kind):
    matrix, b = symmetric_with_spectrum(np.geomspace(0.01, 1, 30)), vector(30)
    exact = np.linalg.solve(matrix, b)
    cold = solve(kind(1e-6), matrix, b)
    assert int(solve(kind(1e-6), matrix, b, y0=jnp.asarray(exact)).stats["num_steps"]) == 0
    near = solve(kind(1e-6), matrix, b, y0=jnp.asarray(exact * (1 + 1e-4 * vector(30, 1))))
    assert near.result == lx.RESULTS.successful
    assert 0 < int(near.stats["num_steps"]) < int(cold.stats["num_steps"])
    with pytest.raises(ValueError, match="y0 has 3 entries, and the system 30"):
        solve(kind(), matrix, b, y0=jnp.ones(3))


@both
def test_of_a_guess_the_multiple_with_the_least_residual_is_taken(kind):
    """So a guess of any length and sign does as well, and a useless one no harm."""
    matrix, b = symmetric_with_spectrum(np.geomspace(0.01, 1, 30)), vector(30)
    exact = np.linalg.solve(matrix, b)
    for factor in (-1.0, 1e-3, 1e3):
        assert int(solve(kind(1e-6), matrix, b, y0=jnp.asarray(factor * exact)).stats["num_steps"]) == 0
    guess = vector(30, 3)
    image = matrix @ guess
    least = np.linalg.norm(b - image * (image @ b) / (image @ image)) / np.linalg.norm(b)
    halted = solve(kind(0.999999, max_steps=1), matrix, b, y0=jnp.asarray(guess))
    assert float(halted.stats["residual"]) <= least * (1 + 1e-9)
    for none in (np.zeros(30), np.full(30, np.nan), np.full(30, np.inf)):
        cold = solve(kind(1e-6), matrix, b)
        np.testing.assert_array_equal(solve(kind(1e-6), matrix, b, y0=jnp.asarray(none)).value, cold.value)


@both
def test_running_out_of_budget_returns_the_best_iterate(kind):
    matrix, b = symmetric_with_spectrum(np.geomspace(1e-3, 1, 30)), vector(30)
    found = []
    for budget in (2, 6):
        solution = solve(kind(1e-10, budget), matrix, b)
        assert solution.result == lx.RESULTS.max_steps_reached
        assert (int(solution.stats["num_steps"]), int(solution.stats["max_steps"])) == (budget, budget)
        assert float(solution.stats["residual"]) == pytest.approx(residual(matrix, solution.value, b), rel=1e-9)
        found.append(float(solution.stats["residual"]))
    # The residuals of CG itself rise and fall.
    assert found == sorted(found, reverse=True)


@both
def test_the_option_preconditioner_goes_before_the_solver_s_own(kind):
    matrix, b = symmetric_with_spectrum(np.geomspace(0.01, 1, 30)), vector(30)
    inverse = lx.MatrixLinearOperator(jnp.asarray(np.linalg.inv(matrix)), lx.positive_semidefinite_tag)
    solution = solve(kind(1e-8, preconditioner=Flip()), matrix, b, preconditioner=inverse)
    assert solution.result == lx.RESULTS.successful
    assert int(solution.stats["num_steps"]) == 1
    gradient = jax.grad(lambda v: jnp.sum(solve(kind(1e-8), matrix, v, preconditioner=inverse).value))
    np.testing.assert_allclose(gradient(jnp.asarray(b)), np.linalg.solve(matrix, np.ones(30)), rtol=1e-6)


@both
def test_bad_options_are_refused(kind):
    matrix, b = np.eye(3), np.ones(3)
    with pytest.raises(ValueError, match=r"preconditioner has shape \(2, 2\), and the system \(3, 3\)"):
        solve(kind(), matrix, b, preconditioner=lx.MatrixLinearOperator(jnp.eye(2), lx.positive_semidefinite_tag))
    with pytest.raises(ValueError, match="must be positive definite"):
        solve(kind(), matrix, b, preconditioner=lx.MatrixLinearOperator(jnp.eye(3)))
    with pytest.raises(ValueError, match=r"a Identity: it must be a lineax operator.*\(preconditioner=\.\.\.\)"):
        solve(kind(), matrix, b, preconditioner=Identity())
    with pytest.raises(ValueError, match="rtol is 0"):
        kind(0)
    with pytest.raises(ValueError, match="max_steps is 0"):
        kind(max_steps=0)


class Flip(AbstractPreconditioner):
    """Not positive definite."""

    @property
    def name(self):
        return "Flip"

    def init(self, operator):
        return None

    def apply(self, state, vector):
        return -vector

    def flops(self, n):
        return 0.0, 0.0


@both
def test_a_preconditioner_that_is_not_definite_is_a_breakdown(kind):
    solution = solve(kind(preconditioner=Flip()), np.eye(3), np.ones(3))
    assert solution.result == lx.RESULTS.breakdown
    assert np.array_equal(solution.value, np.zeros(3))


@both
def test_a_matrix_that_is_indefinite_is_refused_or_solved(kind):
    operator, b = lx.MatrixLinearOperator(jnp.asarray(MIXED), lx.symmetric_tag), jnp.asarray(vector(40))
    if kind is CG:
        with pytest.raises(ValueError, match="use MINRES"):
            lx.linear_solve(operator, b, CG())
    else:
        assert residual(MIXED, lx.linear_solve(operator, b, MINRES(1e-9)).value, vector(40)) < 1.1e-9

"""Eigendecompositions: what is dropped, and the sign of what is kept."""

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

from qnewton._core.records import Encoding, System
from qnewton._estimation import Exact
from qnewton._solvers import Eigh, SaddleFree
from qnewton.testing import symmetric_with_spectrum

SPECTRUM = np.array([-2.0, -0.5, -1e-3, 1e-3, 0.5, 1.0])
MATRIX, RIGHT = symmetric_with_spectrum(SPECTRUM), np.random.default_rng(0).standard_normal(6)


def solve(solver, matrix=MATRIX):
    with jax.enable_x64(True):
        operator = lx.MatrixLinearOperator(jnp.asarray(matrix), lx.symmetric_tag)
        return lx.linear_solve(operator, jnp.asarray(RIGHT), solver, throw=False)


def by_hand(gain):
    values, vectors = np.linalg.eigh(MATRIX)
    return vectors @ (gain(values) * (vectors.T @ RIGHT))


@pytest.mark.parametrize(("cutoff", "rank"), [(None, 6), (0.0, 6), (1e-2, 4), (0.3, 2)])
def test_small_eigenvalues_are_dropped(cutoff, rank):
    solution = solve(Eigh(cutoff))
    limit = 0 if cutoff is None else cutoff * 2
    np.testing.assert_allclose(solution.value, by_hand(lambda v: np.where(np.abs(v) > limit, 1 / v, 0)), rtol=1e-9)
    assert int(solution.stats["rank"]) == rank


def test_saddle_free_divides_by_the_magnitude():
    solution = solve(SaddleFree(1e-2))
    np.testing.assert_allclose(solution.value, by_hand(lambda v: np.where(np.abs(v) > 0.02, 1 / np.abs(v), 0)))
    assert RIGHT @ np.asarray(solution.value) > 0


def test_default_cutoff_finds_the_rank():
    matrix = symmetric_with_spectrum([0.0, 0, 0, 1, 2, -3])
    solution = solve(Eigh(), matrix)
    np.testing.assert_allclose(solution.value, np.linalg.pinv(matrix, rcond=1e-12) @ RIGHT, rtol=1e-9)
    assert int(solution.stats["rank"]) == 3


def test_a_zero_matrix_gives_zero_and_one_that_is_not_finite_is_reported():
    assert np.array_equal(solve(Eigh(), np.zeros((6, 6))).value, np.zeros(6))
    assert solve(Eigh(), np.full((6, 6), np.nan)).result == lx.RESULTS.singular


def test_the_decomposition_is_shared_and_the_products_are_not():
    estimate = eqx.filter_eval_shape(Exact(), System.of(jnp.asarray(MATRIX, jnp.float32), symmetric=True))
    for solves in (1, 10):
        work = Eigh().workload(estimate, Encoding(1.0, 1.0)).amortised(solves)
        # 9 n^3 for values and vectors (Golub and Van Loan, 8.3), two products with the vectors for each solve.
        assert float(work.flops) == pytest.approx(9 * 6**3 / solves + 2 * 2 * 6**2)
        # The matrix in and the vectors out; the vectors twice for each solve.
        assert float(work.bytes) == pytest.approx(4 * 6**2 * (2 / solves + 2))


@pytest.mark.parametrize("cutoff", [-0.1, 1.0])
def test_cutoff_is_relative(cutoff):
    with pytest.raises(ValueError, match="relative to max"):
        Eigh(cutoff)

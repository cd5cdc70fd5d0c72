"""Gauss-Jordan's inverse: against numpy's, many at once and one alone, and what is not definite."""

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

import qnewton as qn
from qnewton._core.records import Encoding, System
from qnewton._estimation import Exact
from qnewton._solvers.gauss_jordan import swept
from qnewton.testing import symmetric_with_spectrum

N = 9
MATRICES = np.stack([symmetric_with_spectrum(np.geomspace(0.02, 3, N), seed=seed) for seed in range(4)])


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("n", [1, 2, N])
def test_the_inverses_are_those_of_numpy(n, x64):
    matrices = MATRICES[:, :n, :n]
    np.testing.assert_allclose(swept(jnp.asarray(matrices)), np.linalg.inv(matrices), rtol=1e-11, atol=1e-12)


def test_hermitian_inverses_are_those_of_numpy(x64):
    rng = np.random.default_rng(0)
    root = rng.standard_normal((3, 6, 6)) + 1j * rng.standard_normal((3, 6, 6))
    matrices = root @ root.conj().transpose(0, 2, 1) + np.eye(6)
    np.testing.assert_allclose(swept(jnp.asarray(matrices)), np.linalg.inv(matrices), atol=1e-13)


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("last", [-1e-3, 0.0, np.nan])
def test_what_is_not_definite_is_nan_and_the_others_are_not(size, last, x64):
    good, bad = np.diag([1.0, 2.0, 3.0, 4.0][-size:]), np.diag([1.0, 2.0, 3.0, last][-size:])
    found = swept(jnp.asarray(np.stack([good, bad, good])))
    assert np.all(np.isnan(found[1]))
    np.testing.assert_allclose(found[::2], [np.linalg.inv(good)] * 2, rtol=1e-15)
    operator = lx.MatrixLinearOperator(jnp.asarray(bad), lx.positive_semidefinite_tag)
    solution = lx.linear_solve(operator, jnp.ones(size), qn.GaussJordan(), throw=False)
    assert solution.result == lx.RESULTS.singular


@pytest.mark.parametrize("solver", [qn.GaussJordan(), qn.Inverse(), qn.LU()], ids=lambda solver: solver.name)
@pytest.mark.parametrize("options", [{}, {"verify": False, "scale": False}], ids=["verified", "trusted"])
def test_many_states_are_those_of_one_after_the_other(solver, options, x64):
    together = solver.init_many(jnp.asarray(MATRICES), options)
    tag = lx.positive_semidefinite_tag
    alone = [solver.init(lx.MatrixLinearOperator(jnp.asarray(one), tag), options) for one in MATRICES]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *alone)
    assert jax.tree.structure(together) == jax.tree.structure(stacked)
    for one, other in zip(jax.tree.leaves(together), jax.tree.leaves(stacked), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)
    state = jax.tree.map(lambda leaf: leaf[2], together)
    value, result, _ = solver.compute(state, jnp.ones(N), {})
    assert result == lx.RESULTS.successful
    np.testing.assert_allclose(value, np.linalg.solve(MATRICES[2], np.ones(N)), rtol=1e-10)


def test_the_sweeps_are_shared_and_the_product_is_not():
    estimate = eqx.filter_eval_shape(Exact(), System.of(jnp.asarray(MATRICES[0], jnp.float32), symmetric=True))
    for solves in (1, 10, 1000):
        work = qn.GaussJordan().workload(estimate, Encoding(1.0, 1.0)).amortised(solves)
        assert float(work.flops) == pytest.approx(2 * N**3 / solves + 2 * N**2)
        assert float(work.bytes) == pytest.approx(4 * N**2 * (2 * N / solves + 1))


def test_a_calibration_measures_what_one_of_many_takes():
    sizes = (2, 4, 8)
    machine = qn.calibrate([qn.GaussJordan(), qn.Cholesky()], sizes=sizes, repeats=1)
    times = dict(machine.kernels)
    assert [n for n, _, _ in times["gauss-jordan"].samples] == list(sizes)
    # One sweep of one matrix alone takes longer than two microseconds to start.
    assert times["gauss-jordan"].samples[0][1] < 2e-6

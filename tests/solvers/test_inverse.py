"""The explicit inverse: against numpy's, for many right-hand sides, and what its residual may be."""

import re

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

import qnewton as qn
from qnewton._core.costs import cost_of
from qnewton._core.records import Encoding, System
from qnewton._estimation import Exact
from qnewton._solvers import Inverse
from qnewton._solvers.inverse import inverse_workload, inverted
from qnewton._solvers.verified import Check
from qnewton.testing import symmetric_with_spectrum

N = 17
MATRIX = symmetric_with_spectrum(np.geomspace(0.02, 3, N), seed=2)


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def operator_of(matrix):
    return lx.MatrixLinearOperator(jnp.asarray(matrix), lx.positive_semidefinite_tag)


@pytest.mark.parametrize("n", [1, 2, N])
def test_the_inverse_is_that_of_numpy_and_equals_its_transpose(n, x64):
    matrix = MATRIX[:n, :n]
    found = np.asarray(inverted(jnp.asarray(matrix)))
    np.testing.assert_allclose(found, np.linalg.inv(matrix), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(found, found.T, rtol=1e-14)


def test_a_hermitian_inverse_is_that_of_numpy(x64):
    rng = np.random.default_rng(0)
    root = rng.standard_normal((6, 6)) + 1j * rng.standard_normal((6, 6))
    matrix = root @ root.conj().T + np.eye(6)
    np.testing.assert_allclose(inverted(jnp.asarray(matrix)), np.linalg.inv(matrix), atol=1e-13)


@pytest.mark.parametrize("last", [-1e-3, 0.0, np.nan])
def test_what_is_not_definite_is_nan_and_singular_verified_or_not(last, x64):
    matrix = np.diag([1.0, 2.0, 3.0, last])
    for options in ({}, {"verify": False}):
        solution = lx.linear_solve(operator_of(matrix), jnp.ones(4), Inverse(), options=options, throw=False)
        assert solution.result == lx.RESULTS.singular
        assert np.all(np.isnan(solution.value))


def test_many_right_hand_sides_at_once_are_those_one_by_one_in_one_product_of_matrices(x64):
    solver, vectors = Inverse(), np.random.default_rng(1).standard_normal((40, N))
    state = solver.init(operator_of(MATRIX), {"verify": False, "scale": False})
    one = eqx.filter_jit(lambda vector: solver.compute(state, vector, {})[0])
    at_once = jax.vmap(one)(jnp.asarray(vectors))
    np.testing.assert_allclose(at_once, np.linalg.solve(MATRIX, vectors.T).T, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(at_once, [one(jnp.asarray(v)) for v in vectors], rtol=1e-10, atol=1e-11)
    program = str(jax.make_jaxpr(jax.vmap(one))(jnp.asarray(vectors)))
    # No batch dimension: one product of matrices, and not one with a vector for each.
    products = re.findall(r"dimension_numbers=\(\(\[1\], \[\d\]\), (\(\[.*?\], \[.*?\]\))\)", program)
    assert products == ["([], [])"]
    assert program.count("dot_general[") == 1


def test_it_claims_the_residual_of_an_inverse_and_not_that_of_a_factorisation(x64):
    # Along the largest eigenvector the solution is short, and the inverse's rounding is not.
    matrix = symmetric_with_spectrum(np.geomspace(1e-8, 1, N), seed=3)
    vector = jnp.asarray(np.linalg.eigh(matrix)[1][:, -1])
    solution = lx.linear_solve(operator_of(matrix), vector, Inverse(), throw=False)
    assert solution.result == lx.RESULTS.successful
    assert 1e-12 < float(solution.stats["residual"]) < 1e-6
    alone = Check(jnp.asarray(matrix))(solution.value, vector)[0]
    assert alone == lx.RESULTS.singular


def test_its_operations_are_those_of_its_program():
    counted = cost_of(inverted, jax.ShapeDtypeStruct((384, 384), jnp.float32))
    workload = inverse_workload(384, 4)
    # What is neither product nor factorisation is of a lower order.
    assert counted.flops == pytest.approx(workload.setup_flops, rel=0.01)
    # The program also writes identity and zeros, which are counted for the program and not for the kernel.
    assert workload.setup_bytes < counted.bytes < 2 * workload.setup_bytes


def test_the_inverse_is_shared_and_the_product_is_not():
    estimate = eqx.filter_eval_shape(Exact(), System.of(jnp.asarray(MATRIX, jnp.float32), symmetric=True))
    for solves in (1, 10, 1000):
        work = Inverse().workload(estimate, Encoding(1.0, 1.0)).amortised(solves)
        assert float(work.flops) == pytest.approx(10 / 3 * N**3 / solves + 2 * N**2)
        assert float(work.bytes) == pytest.approx(4 * N**2 * (7 / solves + 1))
    assert inverse_workload(200, 8).setup_flops == pytest.approx(8 * inverse_workload(100, 8).setup_flops)
    assert inverse_workload(200, 8).bytes == 8 * inverse_workload(100, 4).bytes


def test_only_solvers_that_are_applied_otherwise_than_set_up_say_as_what():
    assert Inverse.applied_as == "product"
    assert qn.Cholesky.applied_as == qn.LU.applied_as == "substitution"
    assert all(solver.applied_as is None for solver in (qn.Eigh(), qn.CG(), qn.QLSA()))

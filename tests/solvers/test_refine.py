"""`Refine` beyond the contract: coarse and noisy inner solvers, what it counts, and where it cannot get on."""

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

from qnewton._solvers import CG, EmulatedQSVT, Refine
from qnewton._solvers.quantum.emulated import LineFit, Shots
from qnewton.testing import symmetric_with_spectrum


@eqx.filter_jit
def solve(matrix, b, solver):
    operator = lx.MatrixLinearOperator(matrix, lx.positive_semidefinite_tag)
    solution = lx.linear_solve(operator, b, solver, throw=False)
    return solution.value, solution.result, solution.stats


def system(n=20, kappa=20.0):
    return symmetric_with_spectrum(np.geomspace(1 / kappa, 1, n)), np.random.default_rng(n).standard_normal(n)


def test_a_few_coarse_read_outs_make_a_fine_solution():
    matrix, b = system()
    inner = EmulatedQSVT(1e-2, measurement=Shots(20_000), length=LineFit())
    with jax.enable_x64(True):
        value, result, stats = solve(jnp.asarray(matrix), jnp.asarray(b), Refine(inner, rounds=20, tolerance=1e-10))
        _, _, once = solve(jnp.asarray(matrix), jnp.asarray(b), inner)
    assert result == lx.RESULTS.successful
    assert float(once["residual"]) > 1e-3
    residual = np.linalg.norm(matrix @ np.asarray(value) - b) / np.linalg.norm(b)
    assert residual <= 1e-10
    assert residual == pytest.approx(float(stats["residual"]), rel=1e-3)
    rounds = int(stats["rounds"])
    assert 4 <= rounds <= 16
    # Every round has another right-hand side and other successes, but the same circuit.
    assert int(stats["num_steps"]) == rounds * int(once["num_steps"])
    assert 0.2 * rounds < float(stats["queries"] / once["queries"]) < 5 * rounds


def test_a_classical_inner_solver():
    matrix, b = system()
    with jax.enable_x64(True):
        value, result, stats = solve(jnp.asarray(matrix), jnp.asarray(b), Refine(CG(1e-2), tolerance=1e-9))
    assert result == lx.RESULTS.successful
    np.testing.assert_allclose(value, np.linalg.solve(matrix, b), rtol=1e-6)
    assert int(stats["rounds"]) == 5


def test_too_few_rounds_and_no_progress_are_told():
    matrix, b = (jnp.asarray(part, jnp.float32) for part in system())
    _, result, stats = solve(matrix, b, Refine(CG(1e-2), rounds=1, tolerance=1e-5))
    assert result == lx.RESULTS.max_steps_reached
    # Ten copies of twenty amplitudes know nothing; a length by success then makes the residual more.
    value, result, _ = solve(matrix, b, Refine(EmulatedQSVT(1e-2, measurement=Shots(10)), rounds=40, tolerance=1e-5))
    assert result in (lx.RESULTS.stagnation, lx.RESULTS.max_steps_reached)
    assert int(stats["rounds"]) == 1
    assert value.shape == (20,)


def test_a_failed_inner_solve_is_not_passed_off():
    matrix = jnp.asarray(np.diag([1.0, -1.0]), jnp.float32)
    inner = EmulatedQSVT(1e-2, length=LineFit())
    value, result, _ = solve(matrix, jnp.ones(2), Refine(inner))
    assert result == lx.RESULTS.breakdown
    assert np.all(np.isnan(value))


@pytest.mark.parametrize(("arguments", "message"), [({"rounds": 0}, "rounds is 0"), ({"tolerance": 1.0}, "tolerance")])
def test_bad_numbers_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Refine(CG(), **arguments)

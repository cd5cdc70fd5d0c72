"""Iterative solvers as candidates: their cost follows the condition number, and one compilation serves all."""

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest
import scipy.sparse.linalg

import qnewton as q
from qnewton._core.records import System
from qnewton._hardware import ClassicalMachine, KernelTimes, fit
from qnewton._scheduling import calibration
from qnewton.testing import symmetric_with_spectrum

CANDIDATES = (q.Cholesky(), q.LU(), q.CG(1e-5), q.MINRES(1e-5, preconditioner=q.Jacobi()), q.Eigh())
# One second per operation, so that predictions are operation counts.
MACHINE = ClassicalMachine(
    "abacus",
    "float32",
    tuple((kernel, KernelTimes(0.0, 0.0, 1.0)) for kernel in ("cg", "cholesky", "eigh", "lu", "minres")),
)
N = 60


def with_kappa(kappa, signs=np.ones(N)):
    return symmetric_with_spectrum(np.geomspace(1 / kappa, 1, N) * signs)


@pytest.fixture(scope="module")
def run():
    traces = []
    hybrid = q.Hybrid(CANDIDATES, estimator=q.estimators.Exact(), classical=MACHINE)

    @jax.jit
    def solve(matrix, vector):
        traces.append(matrix)
        operator = lx.MatrixLinearOperator(matrix, lx.symmetric_tag)
        solution = lx.linear_solve(operator, vector, hybrid, throw=False)
        return solution.value, solution.result, solution.stats["plan"]

    def run(matrix):
        vector = np.random.default_rng(0).standard_normal(N)
        value, result, plan = solve(jnp.asarray(matrix, jnp.float32), jnp.asarray(vector, jnp.float32))
        assert result == lx.RESULTS.successful
        expected = np.linalg.solve(matrix, vector)
        assert np.linalg.norm(value - expected) <= 1e-3 * np.linalg.norm(expected)
        return CANDIDATES[int(plan.choice[0])].name, np.asarray(plan.offers.seconds[0]), len(traces)

    return run


def test_the_choice_follows_the_condition_number_without_compiling_anew(run):
    easy, seconds, _ = run(with_kappa(1.5))
    assert easy == "CG"
    # ceil(sqrt(1.5) / 2 ln(2e5 sqrt(1.5))) = 8 steps of 2 n^2 + 10 n operations.
    assert seconds[2] == pytest.approx(8 * (2 * N**2 + 10 * N), rel=1e-6)
    hard, seconds, _ = run(with_kappa(100))
    assert hard == "Cholesky"
    # 73 steps by the bound, 5 ln(2e6): rounding takes more than n where it has to.
    assert seconds[2] == pytest.approx(73 * (2 * N**2 + 10 * N), rel=1e-6)
    indefinite, seconds, traces = run(with_kappa(1.05, np.where(np.arange(N) % 2, 1, -1)))
    assert indefinite == "MINRES(Jacobi)"
    assert np.isinf(seconds[[0, 2]]).all()
    assert traces == 1


def test_a_matrix_that_is_not_symmetric_is_refused_to_those_that_need_it():
    system = System.of(jnp.asarray(np.triu(with_kappa(2.0)), jnp.float32), symmetric=False)
    plan = q.Hybrid(CANDIDATES, estimator=q.estimators.Exact(), classical=MACHINE).plan(system)
    assert np.array_equal(plan.offers.feasible[0], [False, True, False, False, False])


def test_calibration_counts_the_steps_that_were_taken(monkeypatch):
    fitted = []

    def keep(workloads, *rest):
        fitted.extend(workloads)
        return fit(workloads, *rest)

    monkeypatch.setattr(calibration, "fit", keep)
    sizes = (64, 96, 128)
    q.calibrate([q.CG(1e-5)], sizes=sizes, repeats=2)
    taken, flops = [], []
    for unformed in (False, True):
        for n in sizes:
            rng = np.random.default_rng(n)
            if unformed:
                # A layer's block, damped: n = inputs x 8 outputs, half as many examples as inputs.
                inputs = n // 8
                x = rng.standard_normal((inputs // 2, inputs))
                matrix = np.kron(x.T @ x / len(x), np.eye(8)) + 0.05 * np.eye(n)
                # x forward and back, 8 x 8 curvatures and one division between; the identity.
                product = 4 * len(x) * n + len(x) * (2 * 8**2 + 8) + 2 * n
            else:
                # F F^T / n + 0.05 I, with condition numbers near 80.
                factor = rng.standard_normal((n, n))
                matrix, product = factor @ factor.T / n + 0.05 * np.eye(n), 2 * n**2
            vector, steps = np.random.default_rng(n + 1).standard_normal(n), []
            scipy.sparse.linalg.cg(matrix, vector, rtol=1e-5, callback=steps.append)
            taken.append(len(steps))
            flops.append(product + 10 * n)
    # Fitted once for what is to be expected, and once for good.
    fitted = fitted[-len(taken) :]
    found = [float(workload.steps) for workload in fitted]
    # Single precision against double.
    np.testing.assert_allclose(found, taken, rtol=0.1, atol=2)
    assert [float(w.total_flops) for w in fitted] == [count * each for count, each in zip(found, flops, strict=True)]

"""What classical solvers say that they do, counted by hand for 100 rows and a root of 10."""

import dataclasses
from typing import Any

import numpy as np
import pytest

import qnewton as q
from qnewton._core.costs import Cost
from qnewton._core.records import Access
from qnewton._pricing.nominal import nominal_estimate
from qnewton._solvers.preconditioners import EKFAC, KFAC, Identity, Jacobi, Nystrom
from qnewton._solvers.svd import SVD

N, ROOT = 100, 10
ROWS: Any = np.full((), ROOT)
ACCESS = Access(Cost(2.0 * N**2, 4.0 * N**2), Cost(0.0, 0.0), Cost(7e3, 5e3), ROWS)
ESTIMATE = dataclasses.replace(nominal_estimate(N, ACCESS, "float32"), log_condition_number=np.float32(np.log(100)))
PRODUCT, MATRIX, CUBE = 2 * N**2, 4 * N**2, N**3

# Operations of the set-up and of one solve; matrices of 100 x 100 that the set-up and one solve move.
DENSE = {
    "lu": (q.LU(), 2 / 3 * CUBE, PRODUCT, 2, 1),
    "cholesky": (q.Cholesky(), CUBE / 3, PRODUCT, 2, 1),
    # A factor, a triangular solve with the identity, and a product of matrices.
    "inverse": (q.Inverse(), (1 / 3 + 1 + 2) * CUBE, PRODUCT, 7, 1),
    # As many sweeps as rows, each of which reads and writes all of it.
    "gauss-jordan": (q.GaussJordan(), 2 * CUBE, PRODUCT, 2 * N, 1),
    "eigh": (q.Eigh(), 9 * CUBE, 2 * PRODUCT, 2, 2),
    "svd": (SVD(), 26 * CUBE, 2 * PRODUCT, 3, 2),
}


def work_of(solver: Any) -> q.solvers.ClassicalWorkload:
    return solver.workload(ESTIMATE, q.solvers.Encoding(1.0, 1.0))


@pytest.mark.parametrize("kernel", DENSE)
def test_a_dense_solve_by_hand(kernel):
    solver, once, each, read, reread = DENSE[kernel]
    work = work_of(solver)
    assert (work.kernel, work.steps) == (kernel, 0)
    assert (work.setup_flops, work.flops) == (pytest.approx(once), pytest.approx(once + each))
    assert (work.setup_bytes, work.bytes) == (read * MATRIX, (read + reread) * MATRIX)


def test_a_dual_solve_by_hand():
    # One round of refinement takes a second solve, and two products more.
    for rounds, solves, products in ((0, 1, 1), (1, 2, 3)):
        work = work_of(q.Dual(refinements=rounds))
        assert float(work.setup_flops) == pytest.approx(7e3 + ROOT**3 / 3)
        assert float(work.flops) == pytest.approx(7e3 + ROOT**3 / 3 + solves * 2 * ROOT**2 + products * PRODUCT)
        assert float(work.setup_bytes) == 5e3 + 2 * 4 * ROOT**2
        assert float(work.bytes) == 5e3 + (2 + solves) * 4 * ROOT**2 + products * MATRIX


@pytest.mark.parametrize("rounds", [1, 3])
def test_refinement_repeats_what_is_solved_and_looks_at_each_residual(rounds):
    work, once = work_of(q.Refine(q.LU(), rounds=rounds)), work_of(q.LU())
    assert work.flops == pytest.approx(once.flops + (rounds - 1) * PRODUCT + rounds * PRODUCT)
    assert work.bytes == once.bytes + rounds * MATRIX
    steps = work_of(q.Refine(q.CG(0.1), rounds=rounds))
    assert (steps.steps, steps.step_flops) == (rounds * work_of(q.CG(0.1)).steps, work_of(q.CG(0.1)).step_flops)


def test_the_steps_of_an_iteration_end_at_its_limit():
    """`sqrt(kappa) / 2 ln(2 sqrt(kappa) / rtol)` at kappa 100, `kappa ln(2 / rtol)` where signs are not known."""
    assert work_of(q.CG(1e-3)).steps == np.ceil(5 * np.log(2 * 10 / 1e-3)) == 50
    assert work_of(q.MINRES(1e-3)).steps == np.ceil(5 * np.log(2 / 1e-3)) == 39
    assert work_of(q.CG(1e-3, max_steps=3)).steps == 3
    hard = dataclasses.replace(ESTIMATE, log_condition_number=np.float32(np.log(1e9)))
    assert q.CG(1e-3).workload(hard, q.solvers.Encoding(1.0, 1.0)).steps == 10 * N
    singular = dataclasses.replace(ESTIMATE, log_condition_number=np.float32(np.inf))
    assert q.CG(1e-3).workload(singular, q.solvers.Encoding(1.0, 1.0)).steps == 10 * N


@pytest.mark.parametrize(
    ("preconditioner", "once", "each"),
    [
        (Identity(), 0, 0),
        (Jacobi(), N, N),
        # Ten products, an orthogonalisation and a decomposition of ten columns; two products with them.
        (Nystrom(rank=10), 10 * PRODUCT + 10 * N * 100, 4 * N * 10),
        (Nystrom(rank=500), N * PRODUCT + 10 * N * N**2, 4 * N * N),
        (KFAC(), 4 * N**1.5, 4 * N**1.5),
        (EKFAC(), 18 * N**1.5, 8 * N**1.5),
    ],
)
def test_a_preconditioner_is_charged_once_and_in_each_step(preconditioner, once, each):
    assert preconditioner.flops(N) == (pytest.approx(once), pytest.approx(each))
    work, bare = work_of(q.CG(preconditioner=preconditioner)), work_of(q.CG())
    assert (work.flops, work.setup_flops) == (pytest.approx(once), pytest.approx(once))
    assert work.step_flops - bare.step_flops == pytest.approx(each)
    assert bare.step_flops == PRODUCT + 10 * N
    assert (bare.bytes, bare.step_bytes) == (4 * N, MATRIX + 12 * 4 * N)

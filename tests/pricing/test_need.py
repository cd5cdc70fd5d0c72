"""What a step's accuracy asks of a solver: every formula on random systems, in numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qnewton._pricing.need import LARGEST, readout_error_for, residual_for, state_error_for, steps_factor
from qnewton._solvers.krylov.steps import cg_steps

NEEDS = st.floats(0.01, 0.9)
SEEDS = st.integers(0, 2**31)


def system(seed: int, spread: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """A definite matrix, a right-hand side, the solution and the logarithm of the condition number."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 12))
    basis, _ = np.linalg.qr(rng.standard_normal((n, n)))
    values = np.exp(rng.uniform(0, spread, n))
    matrix, b = (basis * values) @ basis.T, rng.standard_normal(n)
    return matrix, b, np.linalg.solve(matrix, b), float(np.log(values.max() / values.min()))


def energy(matrix: np.ndarray, vector: np.ndarray) -> float:
    return float(np.sqrt(vector @ matrix @ vector))


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, need=NEEDS, spread=st.floats(0, 12))
def test_a_residual_and_an_error_of_that_size_keep_the_need_in_the_energy_norm(seed, need, spread):
    matrix, b, x, log_kappa = system(seed, spread)
    error = np.random.default_rng(seed + 1).standard_normal(len(b))
    left = error * float(residual_for(need, log_kappa)) * np.linalg.norm(b) / np.linalg.norm(error)
    assert energy(matrix, np.linalg.solve(matrix, left)) <= need * energy(matrix, x) * (1 + 1e-9)
    wrong = error * float(state_error_for(need, log_kappa)) * np.linalg.norm(x) / np.linalg.norm(error)
    assert energy(matrix, wrong) <= need * energy(matrix, x) * (1 + 1e-9)


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, need=NEEDS, spread=st.floats(0, 12))
def test_the_need_in_the_energy_norm_leaves_that_much_of_the_decrease(seed, need, spread):
    matrix, b, x, _ = system(seed, spread)
    error = np.random.default_rng(seed + 1).standard_normal(len(b))
    y = x + error * need * energy(matrix, x) / energy(matrix, error)
    assert (b @ y - y @ matrix @ y / 2) / (b @ x / 2) == pytest.approx(1 - need**2, rel=1e-8, abs=1e-8)


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, need=NEEDS, spread=st.floats(0, 8))
def test_a_dual_residual_keeps_the_need_in_the_norm_of_the_step(seed, need, spread):
    matrix, b, _, _ = system(seed, spread)
    k, m = matrix, float(np.random.default_rng(seed).uniform(1e-3, 1))
    damped = k + m * np.eye(len(b))
    share = b @ k @ np.linalg.solve(damped, b) / (b @ b)
    error = np.random.default_rng(seed + 1).standard_normal(len(b))
    left = error * need * np.sqrt(share) * np.linalg.norm(b) / np.linalg.norm(error)
    step = k @ damped
    wrong, right = np.linalg.solve(damped, left), np.linalg.solve(damped, b)
    assert energy(step, wrong) <= need * energy(step, right) * (1 + 1e-9)
    values = np.linalg.eigvalsh(damped)
    # What stands for the share where there is no right-hand side asks for no less accuracy than the worst one.
    if share >= (values[0] / values[-1]) ** 2:
        assert residual_for(need, np.log(values[-1] / values[0]), 2) <= need * np.sqrt(share) * (1 + 1e-9)


def test_a_read_out_of_that_error_keeps_the_need_in_the_mean():
    matrix, _, x, _ = system(7, 5.0)
    need, rng = 0.2, np.random.default_rng(0)
    error = float(readout_error_for(need, np.trace(matrix) / len(x), x @ x, x @ matrix @ x))
    drawn = rng.standard_normal((20_000, len(x)))
    drawn *= error * np.linalg.norm(x) / np.linalg.norm(drawn, axis=1, keepdims=True)
    squares = np.einsum("ki,ij,kj->k", drawn, matrix, drawn)
    assert np.sqrt(squares.mean()) == pytest.approx(need * energy(matrix, x), rel=0.02)


@given(need=NEEDS, log_kappa=st.floats(0, 20))
def test_more_accuracy_and_worse_conditions_ask_for_more(need, log_kappa):
    assert 0 < residual_for(need, log_kappa) <= LARGEST
    assert residual_for(need / 2, log_kappa) <= residual_for(need, log_kappa)
    assert residual_for(need, log_kappa + 1) <= residual_for(need, log_kappa)
    assert residual_for(need, log_kappa, 2) <= residual_for(need, log_kappa, 1)


@given(kappa=st.floats(1, 1e8), wanted=st.floats(1e-6, 0.5))
def test_steps_at_another_residual_are_those_of_its_bound(kappa, wanted):
    assert cg_steps(kappa, 1e-3) * steps_factor(1e-3, wanted, np.log(kappa)) == pytest.approx(cg_steps(kappa, wanted))
    assert steps_factor(None, wanted, np.log(kappa)) == 1

"""Read-out, length and depolarising noise: against their distributions, and the same for the same key."""

import functools
from types import SimpleNamespace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

from qnewton._solvers import EmulatedQSVT
from qnewton._solvers.quantum.emulated import FromSuccess, Infinite, LineFit, Repeated, Shots, Tomography
from qnewton._solvers.quantum.emulated.length import Measured
from qnewton._solvers.quantum.emulated.measurement import _multinomial
from qnewton._solvers.quantum.readout import AmplitudeEstimation, InteriorPoint, SuccessAmplitude
from qnewton.testing import symmetric_with_spectrum


@eqx.filter_jit
def solve(matrix, b, solver):
    operator = lx.MatrixLinearOperator(matrix, lx.positive_semidefinite_tag)
    solution = lx.linear_solve(operator, b, solver, throw=False)
    return solution.value, solution.result, solution.stats


def system(n=12, kappa=10.0):
    matrix = symmetric_with_spectrum(np.geomspace(1 / kappa, 1, n))
    return jnp.asarray(matrix, jnp.float32), jnp.asarray(np.random.default_rng(n).standard_normal(n), jnp.float32)


def unit(n, seed=0):
    vector = np.random.default_rng(seed).standard_normal(n)
    return vector / np.linalg.norm(vector)


def test_counts_are_multinomial():
    weights = np.array([0.0, 0.1, 0.2, 0.3, 0.4])  # not a power of two; what cannot come up does not
    draw = jax.jit(jax.vmap(lambda key: _multinomial(key, 1000.0, jnp.asarray(weights, jnp.float32))))
    counts = np.asarray(draw(jax.random.split(jax.random.key(0), 4000)), np.float64)
    assert np.all(counts.sum(axis=1) == 1000)
    assert np.all(counts[:, 0] == 0)
    np.testing.assert_allclose(counts.mean(axis=0), 1000 * weights, atol=5 * np.sqrt(250 / 4000))
    covariance = 1000 * (np.diag(weights) - np.outer(weights, weights))
    np.testing.assert_allclose(np.cov(counts.T), covariance, atol=25)


@pytest.mark.parametrize("n", [6, 50])
def test_tomography_errs_as_it_says(n):
    state, number = unit(n), 400 * n
    read = jax.jit(jax.vmap(lambda key: Shots(number).read(key, jnp.asarray(state, jnp.float32), jnp.zeros(()))))
    found = np.asarray(read(jax.random.split(jax.random.key(1), 200)))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    error = np.sqrt(np.mean(np.sum((found - state) ** 2, axis=1)))
    # 1 / (4 N) an entry for the magnitudes; wrong signs of small entries add to it.
    assert np.sqrt((n - 1) / (4 * number)) * 0.9 <= error <= Shots(number).error(n)


def test_a_formulas_copies_keep_its_promise():
    state = unit(16)
    measurement = Tomography(0.1, InteriorPoint(), failure_probability=0.1)
    assert measurement.copies(16) == (np.ceil(InteriorPoint().copies(16, 0.1, 0.1).copies),) * 2
    read = jax.jit(jax.vmap(lambda key: measurement.read(key, jnp.asarray(state, jnp.float32), jnp.zeros(()))))
    found = np.asarray(read(jax.random.split(jax.random.key(2), 100)))
    assert np.mean(np.linalg.norm(found - state, axis=1) > 0.1) <= 0.1


def test_noise_is_the_same_for_the_same_right_hand_side_and_another_one_for_another():
    matrix, b = system()
    solver = functools.partial(EmulatedQSVT, 1e-3, measurement=Shots(2000), length=LineFit())
    first, again, other = (solve(matrix, v, solver(seed=s))[0] for v, s in ((b, 1), (b, 1), (b, 2)))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    # Twice the right-hand side is another one: its noise is not twice the first's.
    both = jax.jit(jax.vmap(lambda v: solve(matrix, v, solver(seed=1))[0]))(jnp.stack([b, 2 * b, b * (1 + 2**-20)]))
    np.testing.assert_allclose(both[0], first, rtol=1e-5)
    assert not np.allclose(both[2], first, rtol=1e-4)


def test_a_noisy_solve_succeeds_and_counts_its_copies():
    matrix, b = system()
    exact = np.linalg.solve(np.asarray(matrix, np.float64), b)
    value, result, stats = solve(matrix, b, EmulatedQSVT(1e-3, measurement=Shots(10**5), length=LineFit()))
    assert result == lx.RESULTS.successful
    assert np.linalg.norm(value - exact) <= 5 * Shots(10**5).error(12) * np.linalg.norm(exact)
    _, _, single = solve(matrix, b, EmulatedQSVT(1e-3))
    assert float(stats["queries"]) == pytest.approx(2e5 * float(single["queries"]), rel=1e-5)


@pytest.mark.parametrize("n", [1, 5])
def test_small_systems_and_nothing_at_all(n):
    matrix = jnp.asarray(2 * np.eye(n), jnp.float32)
    solver = EmulatedQSVT(1e-3, measurement=Shots(10**6))
    value, result, _ = solve(matrix, jnp.arange(1.0, n + 1), solver)
    assert result == lx.RESULTS.successful
    np.testing.assert_allclose(value, np.arange(1.0, n + 1) / 2, atol=0.02)
    value, result, stats = solve(matrix, jnp.zeros(n), solver)
    assert result == lx.RESULTS.successful
    assert np.array_equal(value, np.zeros(n))
    assert float(stats["queries"]) == 0


def test_the_length_is_estimated_as_precisely_as_is_charged_for():
    @jax.jit
    @jax.vmap
    def lengths(key):
        nothing = jnp.zeros(2)
        measured = Measured(nothing, nothing, nothing, False, jnp.asarray(0.13), jnp.asarray(10.0))
        found = FromSuccess(0.02, failure_probability=0.1).find(key, measured)
        return found.length, found.applications

    found, applications = lengths(jax.random.split(jax.random.key(3), 300))
    errors = np.abs(np.asarray(found) / 1.3 - 1)
    assert np.mean(errors > 0.02) <= 0.1
    assert np.max(errors) > 0.001
    charged = SuccessAmplitude().copies(0.13**2, 0.02, 0.1).applications
    np.testing.assert_allclose(applications, float(charged), rtol=1e-5)


def test_depolarising_mixes_in_what_it_says():
    matrix, b = system(6)
    rate = 1e-4
    noisy = EmulatedQSVT(1e-3, measurement=Infinite(), length=LineFit(), amplification=Repeated(), depolarising=rate)
    value, _, stats = solve(matrix, b, noisy)
    clean, _, plain = solve(matrix, b, EmulatedQSVT(1e-3, amplification=Repeated()))
    degree, chance = int(plain["num_steps"]), float(plain["success_probability"])
    lost = 1 - (1 - rate) ** degree
    accepted = (1 - lost) * chance + lost / 2
    assert float(stats["success_probability"]) == pytest.approx(accepted, rel=1e-4)
    mixed = lost / 2 / accepted
    state = np.asarray(clean, np.float64) / np.linalg.norm(clean)
    # Six entries in a register of eight: the two outcomes beyond are known to be errors.
    weights = (1 - mixed) * state**2 + mixed / 8
    expected = np.sign(state) * np.sqrt(weights / weights.sum())
    np.testing.assert_allclose(np.asarray(value) / np.linalg.norm(value), expected, rtol=1e-3)


def test_depolarising_flips_signs_as_often_as_it_says():
    """One copy and one controlled run of `(1, 0)`, half of it noise: all that can come up, counted by hand."""
    read = jax.jit(jax.vmap(lambda key: Shots(1).read(key, jnp.asarray([1.0, 0.0]), jnp.asarray(0.5))))
    found = np.asarray(read(jax.random.split(jax.random.key(4), 4000)))
    # Row 0 comes up in 3 of 4; then a run has it with - where noise put it, in 1 of 8. Of row 1, whose entry is 0, a
    # run has + and - in 1 of 4 each, noise or not.
    for outcome, chance in (
        ((-1, 0), 3 / 4 / 8),
        ((0, -1), 1 / 4 / 4),
        ((0, 1), 1 / 4 * 3 / 4),
        ((1, 0), 3 / 4 * 7 / 8),
    ):
        seen = np.mean(np.all(np.abs(found - outcome) < 1e-6, axis=1))
        assert seen == pytest.approx(chance, abs=4 * np.sqrt(chance / 4000)), outcome


def test_noise_explains_a_residual_up_to_what_unit_vectors_can_be_apart():
    """A mixture of weight m is off by 2 sqrt(m), a relative error four times, and two unit vectors by 2 at most."""
    encoded: Any = SimpleNamespace(norm=3.0, alpha=3.0, kappa=2.0)
    solver = EmulatedQSVT(1e-2)

    def allowed(mixed: float, error: float) -> float:
        run: Any = SimpleNamespace(scale=np.nan, error=jnp.float32(error))
        length, size, weight = (jnp.float32(one) for one in (2.0, 1.0, mixed))
        rounding = float(jnp.finfo(jnp.float32).eps) * 2**2 * 8
        return float(solver._allowed(encoded, run, length, size, weight, 4)) - rounding

    # Of a solution of length 2, times the norm.
    assert allowed(0, 0) == pytest.approx(0, abs=1e-6)
    assert allowed(0.25, 0) == pytest.approx(3 * 2 * 2 * 0.5, rel=1e-5)
    assert allowed(0, 0.1) == pytest.approx(3 * 2 * 4 * 0.1, rel=1e-5)
    for mixed, error in ((1.0, 0.5), (4.0, 0.0), (0.0, 3.0)):
        assert allowed(mixed, error) == pytest.approx(3 * 2 * 2, rel=1e-5)


def test_bad_read_outs_are_refused():
    with pytest.raises(ValueError, match="number is 0: copies to measure"):
        Shots(0)
    with pytest.raises(ValueError, match=r"read-out Kerenidis-Prakash needs a precision in \(0, 1\)"):
        Tomography(1.5)
    with pytest.raises(TypeError, match="estimates amplitudes coherently, and tomography measures copies"):
        Tomography(0.1, AmplitudeEstimation(1.0))

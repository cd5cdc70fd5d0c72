"""Trace, rank and negative curvature from random vectors, against spectra that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qnewton._estimation import density, negative_curvature, rank, trace, trace_plus_plus
from qnewton._estimation.stochastic import Density
from qnewton.testing import symmetric_with_spectrum

N = 80
LIKE = jax.ShapeDtypeStruct((N,), "float32")
LOW_RANK = symmetric_with_spectrum(np.r_[np.linspace(1, 5, 10), np.zeros(N - 10)])
SPREAD = symmetric_with_spectrum(np.r_[-np.linspace(1, 2, 20), np.linspace(1, 5, N - 20)])


def times(matrix):
    stored = jnp.asarray(matrix, "float32")
    return lambda v: stored @ v


@pytest.mark.parametrize("estimate", [trace, trace_plus_plus])
def test_the_trace_lies_within_its_standard_error(estimate):
    run = jax.jit(jax.vmap(lambda key: estimate(times(SPREAD), LIKE, samples=30, key=key)))
    found = run(jax.random.split(jax.random.key(0), 200))
    errors = np.asarray(found.value) - np.trace(SPREAD)
    assert abs(errors.mean()) <= 4 * errors.std() / 200**0.5
    # The stated error is the one that is seen.
    assert np.mean(np.asarray(found.standard_error)) == pytest.approx(errors.std(), rel=0.15)
    assert found.matvecs == 30


def test_hutch_plus_plus_is_exact_where_the_rank_is_small():
    found = trace_plus_plus(times(LOW_RANK), LIKE, samples=36, key=jax.random.key(0))
    assert float(found.value) == pytest.approx(np.trace(LOW_RANK), rel=1e-4)
    assert float(found.standard_error) <= 1e-3
    plain = trace(times(LOW_RANK), LIKE, samples=36, key=jax.random.key(0))
    assert float(plain.standard_error) > 0.1


def test_the_trace_of_a_diagonal_matrix_is_exact():
    found = trace(lambda v: jnp.arange(1.0, N + 1) * v, LIKE, samples=2, key=jax.random.key(0))
    assert float(found.value) == N * (N + 1) / 2
    assert float(found.standard_error) == 0


def test_of_one_sample_nothing_is_known_about_the_error():
    assert np.isnan(trace(times(SPREAD), LIKE, samples=1, key=jax.random.key(0)).standard_error)


def test_counts_and_traces_of_two_starts_by_hand():
    """Atoms that stand for eigenvalues exactly: 2, 1 and 1 of four at 0, 1 and 2; 1, 2 and 1 at 0, 1 and 3."""
    found = Density(
        nodes=jnp.array([[0.0, 1, 2], [0, 1, 3]]),
        weights=jnp.array([[2.0, 1, 1], [1, 2, 1]]),
        matvecs=6,
        n=4,
        residuals=jnp.zeros((2, 3)),
    )
    trace, above, below = found.trace(), found.count(0.5, 2.5), found.count(-1.0, 0.5)
    assert (float(trace.value), float(trace.standard_error), trace.matvecs) == (4, pytest.approx(1), 6)
    assert (float(above.value), float(above.standard_error)) == (2, 0)
    assert (float(below.value), float(below.standard_error)) == (1.5, pytest.approx(0.5))
    assert below.unresolved is not None
    assert float(below.unresolved) == pytest.approx(0, abs=1e-5)


def test_rank_counts_what_is_above_the_threshold():
    found = rank(times(LOW_RANK), LIKE, threshold=0.1, probes=30, steps=40, key=jax.random.key(0))
    assert abs(float(found.value) - 10) <= 4 * float(found.standard_error)
    assert 0 < float(found.standard_error) < 2
    assert found.matvecs == 30 * 40


def test_negative_eigenvalues_are_counted_and_the_lowest_is_bounded():
    found = negative_curvature(times(SPREAD), LIKE, probes=30, steps=60, key=jax.random.key(0))
    assert abs(float(found.count.value) - 20) <= 4 * float(found.count.standard_error)
    assert -2 * (1 + 1e-5) <= float(found.lowest) <= -1.9
    none = negative_curvature(times(LOW_RANK), LIKE, threshold=1e-3, probes=4, steps=20, key=jax.random.key(0))
    assert float(none.count.value) == 0
    assert float(none.lowest) >= -1e-5


def test_a_density_adds_up_to_the_rows_whatever_breaks_down():
    for matrix in (np.eye(N), LOW_RANK, np.zeros((N, N))):
        found = density(times(matrix), LIKE, probes=3, steps=30, key=jax.random.key(1))
        np.testing.assert_allclose(found.weights.sum(axis=1), N, rtol=1e-4)
        # Of a linear function the quadrature is exact: the mean of the starts' Rayleigh quotients, times the rows.
        starts = np.asarray(jax.random.normal(jax.random.key(1), (3, N)), np.float64)
        quotients = np.einsum("pi,ij,pj->p", starts, matrix, starts) / np.sum(starts**2, axis=1)
        assert float(found.trace().value) == pytest.approx(N * quotients.mean(), rel=1e-4)
        heavy = np.asarray(found.nodes)[np.asarray(found.weights) > 1e-3]
        values = np.linalg.eigvalsh(matrix)
        assert values[0] - 1e-4 <= heavy.min()
        assert heavy.max() <= values[-1] + 1e-4


def test_one_row():
    found = density(lambda v: 3 * v, jax.ShapeDtypeStruct((1,), "float32"), probes=2, steps=5, key=jax.random.key(0))
    np.testing.assert_array_equal(found.nodes, [[3], [3]])
    assert float(found.count(2, 4).value) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: trace(times(SPREAD), LIKE, samples=0, key=jax.random.key(0)), "samples is 0: at least 1"),
        (lambda: trace_plus_plus(times(SPREAD), LIKE, samples=2, key=jax.random.key(0)), "samples is 2: at least 3"),
        (lambda: density(times(SPREAD), LIKE, probes=0, steps=1, key=jax.random.key(0)), "probes is 0: at least 1"),
        (lambda: density(times(SPREAD), LIKE, probes=1, steps=0, key=jax.random.key(0)), "steps is 0: at least 1"),
    ],
)
def test_too_few_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()

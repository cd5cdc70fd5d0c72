"""Counts of eigenvalues: what one start bounds, what several say, and what a spectrum reports."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qnewton._core.records import Kind, System
from qnewton._core.ritz import Krylov, quadrature
from qnewton._estimation import block_spectrum
from qnewton._estimation.counting import counts, share_within
from qnewton.testing import symmetric_with_spectrum

N = 60
SPECTRA = {
    "singular": np.r_[np.zeros(5), np.linspace(0.1, 10, N - 5)],
    "gap": np.r_[np.zeros(40), np.linspace(1, 2, 20)],
    "decades": np.geomspace(1e-9, 1, N),
    "indefinite": np.linspace(-1, 3, N),
    "few_negative": np.r_[-1.0, -0.5, -1e-3, np.geomspace(1e-3, 1, N - 3)],
    "regular": np.linspace(1, 2, N),
    "zero": np.zeros(N),
    "one_of_many": np.r_[np.full(N - 1, -2.0), 1.0],
}
INTERVALS = ((-1e-7, 1e-7), (-np.inf, -1e-7), (1e-7, np.inf), (0.5, 1.5), (-np.inf, np.inf))


@functools.cache
def _shares(steps):
    def run(matrix, start, low, high):
        return share_within(quadrature(lambda v: matrix @ v, start, steps), low, high)

    return jax.jit(jax.vmap(jax.vmap(run, (None, None, 0, 0)), (None, 0, None, None)))


@pytest.mark.parametrize("steps", [1, 4, 12, N])
@pytest.mark.parametrize("name", SPECTRA)
def test_the_share_of_a_start_lies_within_its_bounds(name, steps, double):
    matrix = symmetric_with_spectrum(SPECTRA[name])
    values, vectors = np.linalg.eigh(matrix)
    starts = np.random.default_rng(steps).standard_normal((20, N))
    # The spectral measure by its definition.
    measure = (starts @ vectors) ** 2 / np.sum(starts**2, axis=1, keepdims=True)
    low, high = np.array(INTERVALS).T
    truth = np.stack([measure[:, (values >= a) & (values <= b)].sum(axis=1) for a, b in INTERVALS], axis=1)
    least, most = (np.asarray(found) for found in _shares(steps)(matrix, starts, low, high))
    assert np.all(least <= truth + 1e-9)
    assert np.all(most >= truth - 1e-9)
    if steps == N and name != "decades":
        # All eigenvalues are seen, so nothing is left open.
        np.testing.assert_allclose(least, most, atol=1e-4)


def test_half_open_ends_count_whole_nodes(double):
    # Two nodes of a spectrum of many, a share of about a half each: of the lower one all but what a part beside it may
    # hold is sure, and a part that reaches to infinity has no other one beside it.
    found = quadrature(lambda v: jnp.linspace(0.0, 1.0, N) * v, jnp.ones(N), 2)
    lower, upper = np.asarray(found.weights)
    assert float(share_within(found, -jnp.inf, 2.0)[0]) >= lower - 1e-12
    assert float(share_within(found, -1.0, jnp.inf)[0]) >= upper - 1e-12
    for low, high in ((-jnp.inf, jnp.inf), (-jnp.inf, 2.0), (-1.0, jnp.inf), (-1.0, 2.0)):
        assert float(share_within(found, low, high)[1]) == pytest.approx(1)
    assert float(share_within(found, -jnp.inf, 0.5)[0]) <= 0.5 <= float(share_within(found, -jnp.inf, 0.5)[1])


@pytest.mark.parametrize("rank", [0, 1, 3, 20, 250, 499, 500])
@pytest.mark.parametrize("probes", [1, 8])
def test_intervals_cover_as_often_as_they_say(rank, probes):
    n, turns, rng = 500, 300, np.random.default_rng(rank)
    shares = np.full(turns, rank / n)
    if 0 < rank < n:
        inside, outside = rng.chisquare(rank, (turns, probes)), rng.chisquare(n - rank, (turns, probes))
        shares = np.mean(inside / (inside + outside), axis=1)
    found = np.array([counts(share, share, n, probes) for share in shares])
    covered = np.mean((found[:, 0] <= rank) & (rank <= found[:, 1]))
    # 300 draws at 95 %: three standard deviations are 0.038.
    assert covered >= 0.95 - 0.038
    if rank in (0, n):
        assert np.all(found == rank), "nothing is random here"
    else:
        spread = (2 * rank * (n - rank) / (n * probes)) ** 0.5
        assert np.median(found[:, 1] - found[:, 0]) <= 2 * 2.3 * spread + 3


def test_confidence_widens_and_what_is_open_is_inside():
    narrow, wide = counts(0.1, 0.1, 1000, 8, 0.5), counts(0.1, 0.1, 1000, 8, 0.999)
    assert wide[0] < narrow[0] < 100 < narrow[1] < wide[1]
    low, high = counts(0.1, 0.3, 1000, 8)
    assert low == counts(0.1, 0.1, 1000, 8)[0]
    assert high == counts(0.3, 0.3, 1000, 8)[1]


def pattern(seed, n=120):
    """A singular 0/1 pattern, as adjacency matrices are: rank decided by eigenvalues that Lanczos does not resolve."""
    upper = np.triu(np.random.default_rng(seed).random((n, n)) < 2.5 / n, 1).astype(float)
    return upper + upper.T


@pytest.mark.parametrize("seed", range(3))
def test_the_rank_of_a_singular_pattern_is_within_its_error(seed, double):
    matrix = pattern(seed)
    values = np.linalg.eigvalsh(matrix)
    threshold = np.finfo(np.float64).eps * len(matrix) ** 0.5 * np.linalg.norm(matrix)
    rank, negative = np.sum(np.abs(values) > threshold), np.sum(values < -threshold)
    assert rank < len(matrix), "the case is meant to be singular"
    system = System.of(jnp.asarray(matrix), symmetric=True)
    found = block_spectrum(system, exact_up_to=10, steps=20, seed=seed)
    # The allowance of all estimators; the norm is a mean over eight starts.
    assert found.rounding == pytest.approx(threshold, rel=0.2)
    assert abs(found.numerical_rank - rank) <= found.numerical_rank_error < len(matrix)
    assert abs(found.negative - negative) <= found.negative_error < len(matrix)
    exact = block_spectrum(system)
    assert (exact.numerical_rank, exact.numerical_rank_error) == (rank, 0)
    assert (exact.negative, exact.negative_error) == (negative, 0)
    assert (exact.condition_number, exact.condition_number_kind) == (np.inf, Kind.CERTIFIED)


def test_a_condition_number_next_to_rounding_is_no_longer_exact(double):
    kinds = {}
    for decades in (6, 13, 13.9):
        matrix = symmetric_with_spectrum(np.r_[10.0**-decades, np.ones(3)])
        found = block_spectrum(System.of(jnp.asarray(matrix), symmetric=True))
        kinds[decades] = found.condition_number_kind
        values = np.linalg.eigvalsh(matrix)
        assert 0.95 <= found.condition_number * values[0] / values[-1] <= 2
    assert kinds == {6: Kind.EXACT, 13: Kind.ESTIMATE, 13.9: Kind.CERTIFIED}


@pytest.mark.parametrize("name", ["single", "double"])
def test_an_eigenvalue_lies_within_the_residual_of_every_ritz_value(name):
    dtype = {"single": "float32", "double": "float64"}[name]
    with jax.enable_x64(True):
        run = jax.jit(lambda m, s: Krylov.start(s, 6).extended(lambda v: m @ v, 0, 6).ritz(6))
        for seed in range(40):
            rng = np.random.default_rng(seed)
            spectrum = rng.choice(10.0 ** -np.arange(0, 7), 6)
            matrix = symmetric_with_spectrum(spectrum, seed).astype(dtype)
            values, residuals = (np.asarray(a, np.float64) for a in run(matrix, rng.standard_normal(6).astype(dtype)))
            truth = np.linalg.eigvalsh(matrix.astype(np.float64))
            distance = np.abs(values[:, None] - truth).min(axis=1)
            # The reference rounds as well: in exact arithmetic the distances are within the residuals.
            assert np.all(distance <= residuals + 2 * np.finfo(np.float64).eps * np.abs(truth).max())
            # And an eigenvalue that six rows hold is found: a breakdown that comes too early loses the small ones.
            assert abs(values[0] - truth[0]) <= 500 * np.finfo(dtype).eps


@pytest.mark.parametrize("places", [-40, -12, -4, 0, 4, 12, 40])
def test_eigenvalues_that_rounding_may_put_on_the_other_side_are_in_the_error(places, double):
    """A decomposition is off by several units of rounding: within them the count is open, and beyond them it is not."""
    n = 40
    spectrum = np.linspace(0.5, 1, n)
    # Of a scaled identity beside it the threshold hardly depends on the eigenvalue itself.
    threshold = np.finfo(np.float64).eps * n**0.5 * np.linalg.norm(spectrum[1:])
    spectrum[0] = threshold + places * np.finfo(np.float64).eps
    found = block_spectrum(System.of(jnp.asarray(symmetric_with_spectrum(spectrum)), symmetric=True))
    assert found.rounding == pytest.approx(threshold, rel=1e-3)
    assert abs(found.numerical_rank - (n if places > 0 else n - 1)) <= found.numerical_rank_error
    if abs(places) == 40:
        assert found.numerical_rank_error == 0
    if abs(places) <= 4:
        assert found.numerical_rank_error == 1


def test_zeros_of_a_small_matrix_are_no_open_question(double):
    found = block_spectrum(System.of(jnp.ones((6, 6)), symmetric=True))
    assert (found.numerical_rank, found.numerical_rank_error, found.negative, found.negative_error) == (1, 0, 0, 0)


def test_the_rank_of_a_large_singular_pattern_is_bounded(double):
    """Rows and columns repeated: 400 of 411, by construction and by numpy's singular values."""
    rng = np.random.default_rng(5)
    upper = np.triu(rng.random((400, 400)) < 0.3)
    base = (upper | upper.T).astype(float)
    places = np.append(np.arange(400), rng.choice(400, 11, replace=False))
    matrix = base[np.ix_(places, places)]
    assert np.linalg.matrix_rank(matrix) == np.linalg.matrix_rank(base) == 400
    system = System.of(jnp.asarray(matrix), symmetric=True)
    exact, drawn = block_spectrum(system), block_spectrum(system, exact_up_to=0)
    assert (exact.numerical_rank, exact.numerical_rank_error) == (400, 0)
    assert abs(drawn.numerical_rank - 400) <= drawn.numerical_rank_error


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_single_entry_that_is_not_finite_is_named(bad):
    with pytest.raises(ValueError, match="block layer holds NaN or infinity, at row 1, column 2: it has no spectrum"):
        block_spectrum(System.of(jnp.eye(3).at[1, 2].set(bad), symmetric=True), "layer")


def test_entries_of_a_row_are_counted_above_parts_of_the_largest(double):
    """Of the largest, 8: zeros, then 0.0008, 0.008, 0.08 and 0.8."""
    matrix = jnp.array([[8.0, 2.0, 0.05], [2.0, 8.0, 0.0], [0.05, 0.0, 8.0]])
    assert block_spectrum(System.of(matrix, symmetric=True)).degrees == (3, 3, 3, 2, 2)
    found = block_spectrum(System.of(matrix, symmetric=True), thresholds=(0.25, 0.2), exact_up_to=3, formed_up_to=0)
    assert (found.degrees, found.kind) == ((1, 2), Kind.EXACT)

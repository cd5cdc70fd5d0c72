"""The mathematics of the circuit without PennyLane: dilation, padding, phases, and their product as matrices."""

import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.polynomial.chebyshev import chebval

from qnewton._solvers.quantum.circuit import (
    BlockUnitary,
    CircuitInversion,
    CircuitQSVT,
    Elementary,
    Outcome,
    dilate,
    padded,
)
from qnewton._solvers.quantum.encoding import Frobenius, Ideal, SquareRoot
from qnewton._solvers.quantum.outcome import CannotBuildError
from qnewton.testing import symmetric_with_spectrum


def invert(matrix, precision=1e-3, encoding=None, max_queries=10**5, **given):
    return CircuitInversion.of(
        matrix, encoding=encoding or Ideal(), precision=precision, max_queries=max_queries, **given
    )


def indefinite(n, kappa, seed=0):
    signs = np.where(np.random.default_rng(seed).random(n) < 0.5, -1, 1)
    return symmetric_with_spectrum(signs * np.geomspace(1 / kappa, 1, n), seed=seed)


def optimal(kappa, degree, x):
    """The closest polynomial to 1/x on [1/kappa, 1] as arXiv 2507.15537 has it, by Chebyshev series."""
    a, n = 1 / kappa, (degree + 1) // 2
    series = np.zeros(n + 1)
    series[[n - 1, n]] = (1 - a) / (1 + a), 1
    z = (2 * x**2 - 1 - a**2) / (1 - a**2)
    return (1 - chebval(z, series) / chebval(-(1 + a**2) / (1 - a**2), series)) / x


def turns(phase, size):
    """e^{i phase (2 Pi - 1)} of a block encoding with one flag."""
    return np.exp(1j * phase * np.repeat([1, -1], size))


@hypothesis.given(st.integers(1, 9), st.floats(0, 1), st.integers(0, 2**32))
def test_dilation_is_orthogonal_and_has_the_block_in_its_corner(n, norm, seed):
    block = np.random.default_rng(seed).standard_normal((n, n))
    block *= norm / np.linalg.norm(block, 2)
    unitary = dilate(block)
    np.testing.assert_allclose(unitary.T @ unitary, np.eye(2 * n), atol=1e-13)
    np.testing.assert_allclose(unitary[:n, :n], block, atol=1e-14)


def test_dilation_of_a_symmetric_matrix_is_the_reflection():
    block = indefinite(5, 10)
    values, vectors = np.linalg.eigh(block)
    rest = (vectors * np.sqrt(np.maximum(1 - values**2, 0))) @ vectors.T
    # The root of what rounding leaves of 1 - 1.
    np.testing.assert_allclose(dilate(block), np.block([[block, rest], [rest, -block]]), atol=1e-7)


def test_what_is_above_one_is_refused():
    with pytest.raises(ValueError, match=r"2-norm 1\.5: divide it by alpha"):
        dilate(np.diag([1.5, 0.1]))


@pytest.mark.parametrize(("n", "size"), [(1, 2), (2, 2), (3, 4), (4, 4), (5, 8)])
def test_padding_is_decoupled_and_does_not_worsen_the_condition_number(n, size):
    matrix = indefinite(n, 7) * 3
    whole = padded(matrix, float(np.linalg.norm(matrix, 2)))
    assert whole.shape == (size, size)
    np.testing.assert_array_equal(whole[:n, :n], matrix)
    np.testing.assert_array_equal(whole[n:, :n], 0)
    np.testing.assert_array_equal(whole[:n, n:], 0)
    assert np.linalg.cond(whole) == pytest.approx(np.linalg.cond(matrix))


@hypothesis.given(
    st.sampled_from(["definite", "indefinite", "general"]), st.integers(1, 8), st.floats(1, 15), st.integers(0, 99)
)
def test_product_of_the_unitaries_is_the_polynomial(kind, n, kappa, seed):
    matrix = 5 * indefinite(n, kappa, seed)
    if kind == "definite":
        matrix = 5 * symmetric_with_spectrum(np.geomspace(1 / kappa, 1, n), seed=seed)
    if kind == "general":
        matrix = matrix @ np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))[0]
    inversion = invert(matrix)
    size = len(inversion.unitary) // 2
    mean = np.zeros((n, n))
    for sign in (1, -1):
        product = np.diag(turns(sign * inversion.phases[0], size))
        for place, phase in enumerate(inversion.phases[1:]):
            unitary = inversion.unitary if place % 2 == 0 else inversion.unitary.T
            product = product @ unitary * turns(sign * phase, size)
        mean = mean + product[:n, :n] / 2
    left, values, right = np.linalg.svd(matrix / inversion.alpha)
    degree, encoded = inversion.degree, inversion.polynomial.kappa
    values = np.minimum(values, 1)
    by_series = optimal(encoded, degree, values) if encoded > 1 + 1e-9 else values
    exact = (right.T * by_series) @ left.T / inversion.scale
    np.testing.assert_allclose(mean, exact, atol=1e-11)
    # And the polynomial inverts.
    vector = np.random.default_rng(seed).standard_normal(n)
    solution = inversion.scale / inversion.alpha * mean.real @ vector
    wanted = np.linalg.solve(matrix, vector)
    assert np.linalg.norm(solution - wanted) <= 1e-3 * (1 + 1e-6) * np.linalg.norm(wanted)
    unit = vector / np.linalg.norm(vector)
    assert inversion.success_probability(unit) == pytest.approx(np.linalg.norm(mean.real @ unit) ** 2)
    assert inversion.certificate < 1e-11


def test_alpha_is_the_encoding_s_and_costs_queries_once():
    matrix = 7 * indefinite(6, 10)
    ideal, frobenius = invert(matrix), invert(matrix, encoding=Frobenius())
    assert ideal.alpha == pytest.approx(7)
    assert frobenius.alpha == pytest.approx(np.linalg.norm(matrix))
    assert frobenius.polynomial.kappa == pytest.approx(frobenius.alpha / (7 / 10))
    assert frobenius.degree > ideal.degree
    np.testing.assert_allclose(frobenius.unitary[:6, :6] * frobenius.alpha, matrix, atol=1e-13)
    assert invert(1000 * matrix, encoding=Frobenius()).degree == frobenius.degree


@pytest.mark.parametrize(
    ("matrix", "given", "outcome"),
    [
        (np.diag([1.0, np.nan]), {}, Outcome.NOT_FINITE),
        (np.diag([1.0, np.inf]), {}, Outcome.NOT_FINITE),
        (np.diag([1.0, 0.0]), {}, Outcome.NO_BOUND),
        (np.zeros((2, 2)), {"kappa": 2.0}, Outcome.NO_BOUND),
        (np.diag([1.0, 1e-5]), {"max_queries": 1000}, Outcome.TOO_LONG),
        (np.diag([1.0, 0.5]), {"norm": 0.9}, Outcome.TOO_LARGE),
    ],
    ids=["nan", "infinite", "singular", "zero", "long", "norm too small"],
)
def test_what_cannot_be_built(matrix, given, outcome):
    with pytest.raises(CannotBuildError) as raised:
        invert(matrix, **given)
    assert raised.value.outcome is outcome
    assert str(raised.value) == outcome.remedy


def test_bounds_replace_the_matrix_s_own_numbers():
    found = invert(np.diag([1.0, 0.5]), kappa=8.0, norm=2.0)
    assert (found.alpha, found.polynomial.kappa) == pytest.approx((2, 8))
    assert invert(np.diag([1.0, 0.5]), norm=2.0).polynomial.kappa == pytest.approx(4)


def test_every_outcome_has_a_remedy():
    assert all(outcome.remedy for outcome in Outcome)
    assert len({outcome.remedy for outcome in Outcome}) == len(Outcome)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": 1.0}, "precision is 1.0"),
        ({"precision": math.nan}, "precision is nan"),
        ({"encoding": SquareRoot(3)}, "rectangular factor"),
        ({"shots": 0}, "shots is 0"),
        ({"shots": 10.0}, "shots is 10.0"),
        ({"wires": 0}, "wires is 0"),
        ({"kappa": 0.5}, "kappa is 0.5"),
        ({"norm": -1.0}, "norm is -1.0"),
        ({"max_queries": 0}, "max_queries is 0"),
    ],
    ids=str,
)
def test_bad_options(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        CircuitQSVT(**options)


@pytest.mark.parametrize(
    ("level", "most", "instead"), [(BlockUnitary(), 256, "EmulatedQSVT"), (Elementary(), 16, "block-unitary")]
)
def test_levels_say_their_limit(level, most, instead):
    level.check(most)
    with pytest.raises(ValueError, match=f"{most + 1} rows is too large at the level {level.name}.*{instead}"):
        level.check(most + 1)
    type(level)(most + 1).check(most + 1)
    with pytest.raises(ValueError, match="max_rows is 0"):
        type(level)(0)

"""The inversion polynomial against its definition, the alternation theorem, published numbers and 80-bit floats."""

import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from qnewton.qsp import InversePolynomial, inverse_degree

KAPPAS = st.floats(1.0, 300.0)
HALVES = st.integers(1, 60)


def heavy_ball(kappa, degree, x):
    """`P(x)` from the three-term recurrence in x^2, in numpy's widest float (80 bits on x86)."""
    x = np.asarray(x, np.longdouble)
    a = 1 / np.longdouble(kappa)
    before, now = -np.ones_like(x) / a, np.ones_like(x) / a
    for _ in range((degree - 1) // 2):
        step = ((1 - a) / (1 + a)) ** 2 * (now - before) + (2 / (1 + a)) ** 2 * (1 - x**2 * now)
        before, now = now, now + step
    return x * now


def series(coefficients, x):
    """The Chebyshev series as a sum of cosines; Clenshaw's recurrence loses digits near 0 for degrees of thousands."""
    return np.array([math.fsum(coefficients * np.cos(np.arange(len(coefficients)) * math.acos(at))) for at in x])


# Sünderhauf et al., arXiv 2507.15537, Theorem 1: degrees recomputed from two transcriptions.
@pytest.mark.parametrize(
    ("kappa", "epsilon", "degree"),
    [
        (10, 1e-2, 69),
        (100, 1e-2, 921),
        (1e4, 1e-2, 138157),
        (1e6, 1e-2, 18420681),
        (10, 1e-6, 161),
        (100, 1e-6, 1843),
        (1e4, 1e-6, 230259),
        (10, 1e-10, 253),
        (1e6, 1e-10, 36841363),
        (5, 1e-3, 43),
        (1, 1e-10, 1),
        (10, 100.0, 1),
    ],
)
def test_degrees(kappa, epsilon, degree):
    assert inverse_degree(kappa, epsilon) == degree
    assert InversePolynomial.within(kappa, epsilon) == InversePolynomial(kappa, degree)


# Errors and maxima over kappa, from dense grids by an independent evaluation and a Remez iteration.
@pytest.mark.parametrize(
    ("kappa", "degree", "error", "height"),
    [
        (5, 31, 9.135e-3, 1.238),
        (5, 43, 8.019e-4, 1.418),
        (10, 69, 9.798e-3, 1.290),
        (10, 93, 8.817e-4, 1.465),
        (20, 199, 9.455e-4, 1.508),
        (50, 887, 9.851e-7, 1.963),
        (100, 1153, 9.826e-4, 1.610),
        (100, 1843, 9.901e-7, 1.998),
    ],
)
def test_errors_and_maxima(kappa, degree, error, height):
    polynomial = InversePolynomial(kappa, degree)
    assert polynomial.error == pytest.approx(error, rel=1e-3)
    assert polynomial.maximum / kappa == pytest.approx(height, abs=1e-3)


@hypothesis.given(st.floats(1.05, 20.0), st.integers(1, 8))
def test_is_the_polynomial_of_the_theorem(kappa, half):
    a = 1 / kappa
    chebyshev = np.zeros(half + 1)
    chebyshev[half] = 1
    chebyshev[half - 1] += (1 - a) / (1 + a)
    x = np.linspace(0.05, 1, 50)

    def value(y):
        return np.polynomial.chebyshev.chebval((2 * y - 1 - a**2) / (1 - a**2), chebyshev)

    expected = (1 - value(x**2) / value(0.0)) / x
    polynomial = InversePolynomial(kappa, 2 * half - 1)
    np.testing.assert_allclose(polynomial(x), expected, atol=1e-11 * kappa)
    np.testing.assert_array_equal(polynomial(-x), -polynomial(x))
    assert polynomial(np.array(0.0)) == 0


@hypothesis.given(st.floats(1.2, 100.0), st.integers(1, 40))
def test_is_optimal(kappa, half):
    """Chebyshev's alternation: odd polynomials of degree 2 n - 1 are best with n + 1 equal errors of changing sign."""
    polynomial = InversePolynomial(kappa, 2 * half - 1)
    hypothesis.assume(polynomial.error > 1e-9)
    a = 1 / kappa
    # The extremes lie about evenly in the angle of z(x).
    z = np.cos(np.linspace(np.pi, 0, 400 * half + 1))
    x = np.clip(np.sqrt((z * (1 - a**2) + 1 + a**2) / 2), a, 1)
    error = polynomial(x) - 1 / x
    assert np.max(np.abs(error)) == pytest.approx(polynomial.error, rel=1e-3)
    extreme = error[np.abs(error) > 0.99 * polynomial.error]
    assert np.count_nonzero(np.diff(np.sign(extreme))) == half


@hypothesis.given(st.floats(1.01, 1e6), st.floats(1e-13, 10.0))
def test_no_lower_degree_suffices(kappa, epsilon):
    degree = inverse_degree(kappa, epsilon)
    assert InversePolynomial(kappa, degree).error <= epsilon * (1 + 1e-9)
    assert degree == 1 or InversePolynomial(kappa, degree - 2).error > epsilon * (1 - 1e-9)


@hypothesis.given(KAPPAS, HALVES)
def test_maximum(kappa, half):
    polynomial = InversePolynomial(kappa, 2 * half - 1)
    seen = np.max(np.abs(polynomial(np.linspace(-1, 1, 20001))))
    assert seen <= polynomial.maximum * (1 + 1e-12)
    assert polynomial.maximum <= seen * 1.01


@pytest.mark.parametrize(
    ("kappa", "degree"), [(1.0, 9), (1 + 1e-13, 9), (1.5, 9), (30.0, 3), (100.0, 1843), (1e5, 3001)]
)
def test_values_in_80_bits(kappa, degree):
    polynomial = InversePolynomial(kappa, degree)
    x = np.concatenate([np.linspace(0, 1, 101), np.geomspace(1e-9, 1, 50), [1 / kappa]])
    allowed = 1e-14 * polynomial.maximum + degree * np.finfo(float).eps * polynomial.error
    assert np.max(np.abs(polynomial(x) - heavy_ball(kappa, degree, x))) <= allowed


def test_condition_number_one():
    """At kappa = 1 it is `(1 - (1 - x^2)^n) / x`, and right at 1."""
    x = np.linspace(0.1, 1, 10)
    np.testing.assert_allclose(InversePolynomial(1.0, 7)(x), (1 - (1 - x**2) ** 4) / x, rtol=1e-13)
    assert InversePolynomial(1.0, 7).error == 0
    assert InversePolynomial(1.0, 1).maximum == pytest.approx(1, rel=1e-14)


@pytest.mark.parametrize(("kappa", "degree"), [(1.0, 1), (2.0, 3), (10.0, 69), (100.0, 1843)])
def test_coefficients(kappa, degree):
    polynomial = InversePolynomial(kappa, degree)
    found = polynomial.coefficients()
    assert found.shape == (degree + 1,)
    assert not np.any(found[::2])
    x = np.linspace(-1, 1, 21)
    # cos(k arccos x) itself is known to k eps only.
    np.testing.assert_allclose(series(found, x), polynomial(x), atol=1e-13 * polynomial.maximum)


def test_coefficients_of_degree_100_000():
    polynomial = InversePolynomial(8000.0, 99_999)
    found = polynomial.coefficients()
    x = np.array([1e-5, 1e-4, 1.25e-4, 3e-4, 0.01, 0.3, 0.99, 1.0])
    expected = heavy_ball(8000.0, 99_999, x)
    assert np.max(np.abs(polynomial(x) - expected)) <= 1e-14 * polynomial.maximum
    assert np.max(np.abs(series(found, x) - expected)) <= 1e-11 * polynomial.maximum


@pytest.mark.parametrize("kappa", [0.5, 0.0, -3.0, math.inf, math.nan])
def test_refuses_kappa(kappa):
    for make in (lambda: inverse_degree(kappa, 0.1), lambda: InversePolynomial(kappa, 3)):
        with pytest.raises(ValueError, match=f"kappa is {kappa}.* at least 1"):
            make()


@pytest.mark.parametrize("epsilon", [0.0, -1.0, math.inf, math.nan])
def test_refuses_epsilon(epsilon):
    with pytest.raises(ValueError, match=f"epsilon is {epsilon}.* must be positive"):
        inverse_degree(10.0, epsilon)


@pytest.mark.parametrize(("degree", "instead"), [(4, 5), (2, 3), (0, 1), (-3, 1)])
def test_refuses_degree(degree, instead):
    with pytest.raises(ValueError, match=f"degree is {degree}: an inversion polynomial is odd, so take {instead}$"):
        InversePolynomial(10.0, degree)


@pytest.mark.parametrize("x", [1.5, -2.0, math.nan])
def test_refuses_points_outside(x):
    with pytest.raises(ValueError, match=rf"x is {x}: .* in \[-1, 1\]"):
        InversePolynomial(10.0, 3)(np.array([0.5, x]))

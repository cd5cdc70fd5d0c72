"""The two polynomials, evaluated: their degree, their error and their maximum."""

import dataclasses
import math

import numpy as np
import pytest
from numpy.polynomial import chebyshev
from scipy.stats import binom

from qnewton._core.records import Encoding
from qnewton._solvers.quantum.queries import sunderhauf2025
from qnewton._solvers.quantum.queries.qsvt import (
    PolynomialCount,
    optimal_polynomial,
    truncated_inverse,
    truncated_polynomial,
)

# kappa, eps | optimal: degree, error, max / kappa | truncated: b, D, degree, error, max / kappa; the notes' section 4.
TABLE = [
    (5, 1e-2, 31, 9.135e-3, 1.238, 156, 42, 85, 8.57e-3, 1.597),
    (5, 1e-3, 43, 8.019e-4, 1.418, 213, 54, 109, 8.37e-4, 1.866),
    (10, 1e-2, 69, 9.798e-3, 1.290, 691, 94, 189, 9.64e-3, 1.678),
    (10, 1e-3, 93, 8.817e-4, 1.465, 922, 119, 239, 9.45e-4, 1.938),
    (20, 1e-3, 199, 9.455e-4, 1.508, 3962, 257, 515, 9.86e-4, 2.009),
    (50, 1e-6, 887, 9.851e-7, 1.963, 44319, 1072, 2145, 9.95e-7, 2.687),
    (100, 1e-3, 1153, 9.826e-4, 1.610, 115130, 1516, 3033, 9.99e-4, 2.165),
    (100, 1e-6, 1843, 9.901e-7, 1.998, 184207, 2244, 4489, 1.00e-6, 2.739),
]


def _optimal(kappa, degree, x):
    """The polynomial's definition through Chebyshev polynomials."""
    a, n = 1 / kappa, (degree + 1) // 2

    def filtered(z):
        upper, lower = np.zeros(n + 1), np.zeros(n)
        upper[n] = lower[n - 1] = 1
        return chebyshev.chebval(z, upper) + (1 - a) / (1 + a) * chebyshev.chebval(z, lower)

    def z(x):
        return (2 * x**2 - (1 + a**2)) / (1 - a**2)

    return (1 - filtered(z(x)) / filtered(z(0.0))) / x


def _truncated(b, terms, x):
    """The series' definition: binomial tails as coefficients of odd Chebyshev polynomials."""
    j = np.arange(terms + 1)
    coefficients = np.zeros(2 * terms + 2)
    coefficients[1::2] = 4 * (-1.0) ** j * binom.sf(b + j, 2 * b, 0.5)
    return chebyshev.chebval(x, coefficients)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[0]}-{row[1]:g}")
def test_table(row):
    kappa, eps, degree, error, height, b, terms, cks_degree, cks_error, cks_height = row
    optimal, cut = optimal_polynomial(kappa, eps), truncated_polynomial(kappa, eps)
    root, found_terms = truncated_inverse(kappa, eps)
    assert float(optimal.degree) == degree
    assert float(optimal.maximum) / kappa == pytest.approx(height, abs=5.1e-4)
    assert float(root) ** 2 == pytest.approx(b, rel=1e-12)
    assert float(found_terms) == terms
    assert float(cut.degree) == cks_degree
    assert float(cut.maximum) / kappa == pytest.approx(cks_height, abs=5.1e-4)
    if kappa > 20:
        return
    inside, everywhere = np.linspace(1 / kappa, 1, 20_001), np.linspace(1e-4, 1, 40_000)
    for values, wanted, largest, maximum in (
        (lambda x: _optimal(kappa, degree, x), error, height, optimal.maximum),
        (lambda x: _truncated(b, terms, x), cks_error, cks_height, cut.maximum),
    ):
        assert np.abs(values(inside) - 1 / inside).max() == pytest.approx(wanted, rel=2e-3)
        found = np.abs(values(everywhere)).max()
        assert found / kappa == pytest.approx(largest, abs=5.1e-4)
        assert float(maximum) == pytest.approx(found, rel=1e-5)


@pytest.mark.parametrize(("kappa", "eps"), [(2, 0.3), (3, 1e-1), (7, 1e-5), (1.2, 1e-8)])
def test_no_smaller_odd_degree_would_do(kappa, eps):
    degree = int(optimal_polynomial(kappa, eps).degree)
    x = np.linspace(1 / kappa, 1, 5001)
    assert np.abs(_optimal(kappa, degree, x) - 1 / x).max() <= eps * (1 + 1e-9)
    if degree > 1:
        assert np.abs(_optimal(kappa, degree - 2, x) - 1 / x).max() > eps


def test_the_identity_at_kappa_1():
    polynomial = optimal_polynomial(1.0, 1e-3)
    assert (float(polynomial.degree), float(polynomial.maximum)) == (1, pytest.approx(1, abs=2e-6))


@pytest.mark.parametrize("polynomial", [optimal_polynomial, truncated_polynomial])
def test_the_maximum_keeps_its_digits_at_any_kappa(polynomial):
    # It tends to kappa times a function of ln(kappa / error) alone, which grows slowly.
    kappa = np.geomspace(10, 1e14, 60)
    heights = polynomial(kappa, 1e-3 * kappa).maximum / kappa
    assert np.ptp(heights[30:]) < 1e-3
    assert (np.diff(polynomial(kappa, 1e-3).maximum / kappa) > -1e-2).all()


def test_the_truncated_maximum_is_that_of_its_limit():
    kappa = np.geomspace(1e3, 1e14, 45)
    root, _ = truncated_inverse(kappa, 1e-3 * kappa)
    # (1 - (1 - u^2 / b)^b) / u tends to (1 - exp(-u^2)) / u; beyond a root of 1e6 that is what is taken.
    u = np.linspace(0.5, 2, 20_001)
    limit = np.max((1 - np.exp(-(u**2))) / u)
    np.testing.assert_allclose(truncated_polynomial(kappa, 1e-3 * kappa).maximum / root, limit, rtol=1e-6)


@pytest.mark.parametrize("polynomial", [optimal_polynomial, truncated_polynomial])
def test_without_amplification_failures_are_repeated(polynomial):
    plain = dataclasses.replace(sunderhauf2025, count=PolynomialCount(polynomial, amplified=False))
    boosted = dataclasses.replace(sunderhauf2025, count=PolynomialCount(polynomial))
    encoding = Encoding(100.0, 3.0)
    found = plain(encoding, 1e-3, 2.0)
    degree, maximum = polynomial(300.0, float(1e-3 * math.sqrt(1 - 0.25e-6) * 6.0))
    p = (6 / float(maximum)) ** 2
    assert float(found.success_probability) == pytest.approx(p, rel=1e-9)
    assert float(found.queries) == pytest.approx(float(degree) / p, rel=1e-9)
    assert float(found.state_preparations) == pytest.approx(1 / p, rel=1e-9)
    assert float(found.repetitions) == pytest.approx(1 / p, rel=1e-9)
    assert 5 * float(boosted(encoding, 1e-3, 2.0).queries) < float(found.queries)

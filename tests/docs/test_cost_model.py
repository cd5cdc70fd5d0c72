"""The page of the cost model has every query count, and its formulas are those of the code.

The formulas below are transcribed from the page, not from the code.
"""

import math
import re
from pathlib import Path

import numpy as np
import pytest

import qnewton as q

PAGE = (Path(__file__).parent.parent.parent / "docs" / "cost-model.md").read_text(encoding="utf-8")


def test_every_query_count_has_a_formula_on_the_page_and_no_other_has() -> None:
    """Where it comes from, and what it comes to, the page takes from its record."""
    entries = dict(re.findall(r"^```\{query-count\} (\w+)\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE))
    assert list(entries) == list(q.queries.QUERY_MODELS)
    assert [name for name, text in entries.items() if "$$" not in text] == ["dalzell2024"], "the lesser of two others"


def jennings_v1(kappa: float, alpha: float, e: float) -> float:
    length = math.log(2 * kappa + 3)
    bracket = (133 / 125 + 4 / (25 * kappa ** (1 / 3))) * math.pi * length + 1
    first = 1741 * alpha * math.e / 500 * math.sqrt(kappa**2 + 1) * bracket
    second = 351 / 50 * length**2 * (math.log(451 * length**2 / e) + 1)
    return (first + second + alpha * kappa * math.log(32 / e)) / (0.39 - 0.204 * e)


def walk(constant: float, kappa: float, alpha: float, e: float) -> float:
    walked = np.linspace(1e-3, math.sqrt(2) - 1e-3, 200_001)
    delta = walked**2 - walked**4 / 4
    filtered = e * np.sqrt((1 - delta) * (1 - e**2 / 4)) / ((1 - e**2 / 2) * np.sqrt(delta))
    runs = 1 / (1 - delta * (1 - filtered**2)) ** 2
    return kappa * alpha * float(np.min(np.log(2 / filtered) / 2 * (runs + 1) + constant * runs / walked))


def degree(k: float, eta: float) -> float:
    return 2 * math.ceil(k * math.log(2 / min(eta, 1)) / 2)


def trace(e: float) -> float:
    return e * math.sqrt(1 - e**2 / 4)


def dalzell_118(kappa: float, alpha: float, e: float) -> float:
    k, e, mu = kappa * alpha, trace(e), 1 / 4
    eta = mu / (mu + math.sqrt(3 + 2 * math.log((k**2 + 1) / 2)))
    p = ((1 - eta) / (1 + eta)) ** 2 / (math.log(k) + 1)
    return degree(k, eta) / p + degree(k, e * math.sqrt(1 - mu**2) / (mu * math.sqrt(1 - e**2))) / (1 - mu**2)


def dalzell_48(kappa: float, alpha: float, e: float) -> float:
    k, e = kappa * alpha, trace(e)
    return 56 * k + 1.05 * k * math.log(math.sqrt(1 - e**2) / e) + 2.78 * math.log(k) ** 3 + 3.17


def dalzell_known(kappa: float, alpha: float, e: float) -> float:
    k = kappa * alpha
    taken = degree(k, min(trace(e) / math.sqrt(2), 0.0760))
    eta = 2 * math.exp(-taken / k)
    return taken / ((1 - eta) / (1 + eta)) ** 2


def costa_2026(kappa: float, alpha: float, e: float) -> float:
    k = kappa * alpha
    return k * (6 * math.log(k) + 6 + 1.07 * math.log(1 / trace(e))) + 6 + 3 * math.log(k)


CLOSED = {
    "jennings2023v1": jennings_v1,
    "jennings2023v2_abstract": lambda kappa, alpha, e: 837 * kappa * alpha,
    "jennings2023v3_eq175": lambda kappa, alpha, e: (
        835.4 * kappa * alpha + math.ceil(kappa * alpha * math.log(2 / (math.sqrt(1 + e / 4) - 1)) + 2)
    ),
    "costa2021": lambda *numbers: walk(2305, *numbers),
    "costa2021_definite": lambda *numbers: walk(638, *numbers),
    "costa2023": lambda *numbers: walk(1.84, *numbers),
    "costa2023_definite": lambda *numbers: walk(0.2, *numbers),
    "dalzell2024": lambda *numbers: min(dalzell_118(*numbers), dalzell_48(*numbers)),
    "dalzell2024_eq118": dalzell_118,
    "dalzell2024_eq48": dalzell_48,
    "dalzell2024_known_norm": dalzell_known,
    "costa2026": costa_2026,
    "qnewton2024_abstract": lambda kappa, alpha, e: alpha * kappa * math.log(kappa / e),
}


@pytest.mark.parametrize("name", CLOSED)
def test_a_closed_formula_gives_the_codes_numbers(name: str) -> None:
    for kappa, alpha, e in ((10.0, 1.0, 1e-2), (300.0, 4.0, 1e-5), (2e5, 2.0, 0.05)):
        work = q.queries.QUERY_MODELS[name](q.solvers.Encoding(condition_number=kappa, subnormalisation=alpha), e, 5.0)
        np.testing.assert_allclose(
            work.queries, CLOSED[name](kappa, alpha, e), rtol=1e-6, err_msg=f"{kappa} {alpha} {e}"
        )


def unknown(amplitude: float, least: float) -> float:
    theta, total, reached, k = math.asin(amplitude), 0.0, 1.0, 0
    while reached > 1e-17:
        k += 1
        steps = math.floor(min(1.2**k, 1 / least))
        total += steps * reached
        reached *= 0.5 + math.sin(4 * (steps + 1) * theta) / (4 * (steps + 1) * math.sin(2 * theta))
    return total


def known(amplitude: float) -> float:
    theta = math.asin(min(amplitude, 1))
    turns = (min((2 * m + 1) * theta, math.pi / 2) for m in range(10_000))
    return min((2 * m + 1) / math.sin(turn) ** 2 for m, turn in enumerate(turns))


def series(k: float, e: float, log) -> tuple[float, float]:
    b = math.ceil(k**2 * log(k / e))
    return b, math.ceil(math.sqrt(b * log(4 * b / e)))


def simulated(alpha: float, time: float, e: float) -> float:
    log = math.log(1 / e)
    if alpha * time >= log / math.e:
        return 48 * math.ceil(math.e * alpha * time)
    return 48 * math.ceil(4 * log / math.log(math.e + log / (alpha * time)))


def largest(function, kappa: float) -> float:
    return float(np.max(np.abs(function(np.geomspace(1e-3 / kappa, 1, 400_001)))))


def sunderhauf(kappa: float, alpha: float, e: float, norm: float) -> float:
    k, e = kappa * alpha, trace(e) * alpha * norm
    a = 1 / k
    m = math.ceil((math.log(1 / e) + math.log((1 + a) / a)) / (math.log(1 + a) - math.log(1 - a)))

    def ell(z):
        def chebyshev(order):
            inside = np.cos(order * np.arccos(np.clip(z, -1, 1)))
            return np.where(np.abs(z) <= 1, inside, (-1.0) ** order * np.cosh(order * np.arccosh(np.maximum(-z, 1))))

        return chebyshev(m) + (1 - a) / (1 + a) * chebyshev(m - 1)

    def polynomial(x):
        return (1 - ell((2 * x**2 - 1 - a**2) / (1 - a**2)) / ell(np.array((-1 - a**2) / (1 - a**2)))) / x

    return (2 * m - 1) * known(alpha * norm / largest(polynomial, k))


def martyn(kappa: float, alpha: float, e: float, norm: float) -> float:
    k, e = kappa * alpha, trace(e) * alpha * norm
    b, terms = series(k, e, math.log)
    height = largest(lambda x: -np.expm1(b * np.log1p(-(np.minimum(x, 1 - 1e-12) ** 2))) / x, k)
    return (2 * terms + 1) * known(alpha * norm / height)


def lefterovici(kappa: float, alpha: float, e: float, norm: float) -> float:
    k, inner = kappa * alpha, e / (4 * kappa)
    _, terms = series(k, inner, math.log2)
    h = math.sqrt(math.pi) * k / 16 * min(inner, k / (2 * terms))
    g = math.ceil(max(2 * math.e**2 / k**2, math.log2(2 / h)))
    rectangle = 2 * math.ceil(math.sqrt(2 * g * math.log2(4 / h))) + 1
    inverse = 2 * series(k, alpha / (2 * kappa) * inner, math.log2)[1] + 1
    return 4 * (rectangle + inverse) * unknown(norm / (2 * kappa), (1 - e / 2) / (2 * kappa))


def chebyshev(kappa: float, alpha: float, e: float, norm: float) -> float:
    b, terms = series(kappa * alpha, e, math.log2)
    # E[max(X - b, 0)] is b C(2b, b) / 4^b / 2.
    expected = b / 2 * math.exp(math.lgamma(2 * b + 1) - 2 * math.lgamma(b + 1) - b * math.log(4))
    weight = max(4 / alpha * expected, 1)
    return 8 * terms * unknown(norm / weight, 1 / weight)


def fourier(kappa: float, alpha: float, e: float, norm: float) -> float:
    ell = math.log2(1 + 8 * kappa / e)
    h = 2 * math.pi / ((kappa + 1) * math.sqrt(ell))
    z = np.arange(1, math.floor((kappa + 1) * ell / math.pi) + 1) * h
    weight = 4 * math.sqrt(math.pi) * kappa / (kappa + 1) * float(np.sum(z * np.exp(-(z**2) / 2)))
    return simulated(alpha, 2 * math.sqrt(2) * kappa * ell, e) * unknown(norm / weight, 1 / weight)


def hhl(kappa: float, alpha: float, e: float, norm: float) -> float:
    constant = 2**7 + 22 * math.pi**2 + (64 + 14 * math.pi**2) ** 2 / math.pi**2
    return 2 * simulated(alpha, math.sqrt(constant) * kappa / e, e) * unknown(norm / (2 * kappa), 1 / (2 * kappa))


AMPLIFIED = {
    "sunderhauf2025": sunderhauf,
    "martyn2021": martyn,
    "lefterovici2025_qsvt": lefterovici,
    "chebyshev2015": chebyshev,
    "fourier2015": fourier,
    "hhl2009": hhl,
}


@pytest.mark.parametrize("name", AMPLIFIED)
def test_an_amplified_formula_gives_the_codes_numbers(name: str) -> None:
    for kappa, alpha, e, norm in ((20.0, 1.0, 1e-3, 4.0), (50.0, 3.0, 1e-5, 7.0)):
        work = q.queries.QUERY_MODELS[name](q.solvers.Encoding(condition_number=kappa, subnormalisation=alpha), e, norm)
        np.testing.assert_allclose(work.queries, AMPLIFIED[name](kappa, alpha, e, norm), rtol=1e-5)


def test_every_formula_is_transcribed() -> None:
    assert {*CLOSED, *AMPLIFIED} == set(q.queries.QUERY_MODELS)

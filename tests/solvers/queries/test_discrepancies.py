"""The numbers of docs/quantum-costs.md, recomputed."""

import dataclasses
import math
import re
from pathlib import Path

import pytest

from qnewton._core.records import Encoding
from qnewton._solvers.quantum.precision import ErrorConvention
from qnewton._solvers.quantum.queries import (
    QUERY_MODELS,
    Unit,
    chebyshev2015,
    costa2021,
    costa2026,
    dalzell2024,
    dalzell2024_eq118,
    fourier2015,
    jennings2023v1,
    jennings2023v2_abstract,
    jennings2023v3_eq175,
    lefterovici2025_qsvt,
)
from qnewton._solvers.quantum.queries.costa import AdiabaticWalk
from qnewton._solvers.quantum.queries.lcu import Chebyshev, Fourier, SparseInversion
from qnewton._solvers.quantum.queries.qsvt import truncated_polynomial

PAGE = (Path(__file__).parents[3] / "docs" / "quantum-costs.md").read_text(encoding="utf-8")
STATE, TRACE = ErrorConvention.STATE, ErrorConvention.TRACE


def _queries(model, kappa, eps, norm=1.0, alpha=1.0, convention=STATE):
    return float(model(Encoding(kappa, alpha), eps, norm, convention=convention).queries)


def _walk(constant):
    return _queries(dataclasses.replace(costa2021, count=AdiabaticWalk(constant)), 4e3, 1e-3)


def _instance(model, count):
    return _queries(dataclasses.replace(model, count=count), 10.0, 1e-8, alpha=4.0)


twice = _queries(jennings2023v1, 4e5, 1e-2)
trace = [_queries(dalzell2024, 4e3, 0.1, convention=c) for c in (STATE, TRACE)]
degrees = [int(truncated_polynomial(100, error).degree) for error in (1e-3, 5e-4)]
shortcut = 2 * math.ceil(100 * math.log(2 * math.sqrt(2) / 1e-6) / 2)
LINES = {
    "second time": [_queries(jennings2023v1, 100.0, 1e-10, alpha=10.0) * factor for factor in (1, 10)],
    "both at once": [_queries(jennings2023v1, 4e3, 1e-2, alpha=100.0), twice, 100 * twice],
    "another algorithm": [_queries(model, 1e4, 1e-10) for model in (jennings2023v1, jennings2023v2_abstract)],
    "861.2 kappa": [_queries(model, 1e4, 1e-10) for model in (jennings2023v2_abstract, jennings2023v3_eq175)],
    "not monotone": [_queries(jennings2023v1, 4e3, eps) for eps in (6e-3, 0.24)],
    "Theorem 17": [_walk(constant) for constant in (15307.0, 2305.0, 5632.0, 638.0)],
    "Proven against": [_walk(constant) for constant in (2305.0, 1.84, 1.56)],
    "Equation 19": [_queries(model, 4e3, 1e-3) for model in (costa2026, dalzell2024_eq118)],
    "base 2 or e": [
        *(_instance(fourier2015, Fourier(base)) for base in (2, math.e)),
        *(_instance(chebyshev2015, Chebyshev(base)) for base in (2, math.e)),
        *(_instance(lefterovici2025_qsvt, SparseInversion(base)) for base in (2, math.e)),
    ],
    "solver is best": [_instance(lefterovici2025_qsvt, SparseInversion()), _instance(chebyshev2015, Chebyshev())],
}


@pytest.mark.parametrize("words", LINES)
def test_a_line_of_the_page(words):
    (line,) = [line for line in PAGE.splitlines() if words in line]
    assert re.findall(r"\d\.\d{3}e\+\d\d", line) == [f"{number:.3e}" for number in LINES[words]]


def test_the_integers_of_the_page():
    for number in (*(round(count) for count in trace), *degrees, shortcut, 2 * math.ceil(110 * math.log(2e6) / 2)):
        assert re.search(rf"\b{number}\b", PAGE), number
    assert f"{max((0.39 - 0.201 * e) / (0.39 - 0.204 * e) - 1 for e in (0.24, 1e-2)):.2%}" == "0.21%"


@pytest.mark.parametrize("model", QUERY_MODELS.values(), ids=QUERY_MODELS.keys())
def test_the_table_of_models(model):
    cells = re.search(rf"^\| `{model.name}` \| (.*) \|$", PAGE, re.MULTILINE)
    assert cells is not None
    evidence, error, unit, counts = cells.group(1).split(" | ")
    assert evidence.split(",")[0] == model.evidence.value
    assert unit == model.unit.value
    assert error.startswith(model.convention.value.removeprefix("state "))
    eps = 1e-5 if model.unit is Unit.SPARSE_ACCESS else 1e-3
    norms = (1.0, 4e3) if model.uses_norm and not model.needs_norm else (1.0,)
    expected = [f"{_queries(model, 4e3, eps, norm):.2e}".replace("e+0", "e").replace("e+", "e") for norm in norms]
    assert counts.removeprefix("at 1e-5: ").split("; ") == expected

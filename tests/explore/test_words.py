"""What the page says beside its numbers: every solver has its formula, every input and factor its words."""

import re

import pytest

from qnewton._pricing.assumptions import ASSUMPTION_SETS, end_to_end
from qnewton._pricing.clock import Clock
from qnewton._pricing.problem import Problem
from qnewton._pricing.solver import CountedSolver
from qnewton.hardware import QuantumProfile, load_profile
from qnewton.lab._explore.formulas import rivals_of
from qnewton.lab._explore.meta import meta
from qnewton.lab._explore.words import words
from qnewton.lab._explore.write import COLOURS, page
from qnewton.lab._report.svg import PALETTE
from qnewton.queries import QUERY_MODELS

FOUND = words()


def test_every_solver_of_the_page_has_its_formula() -> None:
    assert set(FOUND["formulas"]) == {*QUERY_MODELS, "block_queries", *(rival.name for rival, _ in rivals_of())}
    assert "837 * problem.encoded" in FOUND["formulas"]["jennings2023v2_abstract"]
    assert "constant=1.84" in FOUND["formulas"]["costa2023"]
    # With the functions that they call, down to the numbers.
    assert "56.0 * kappa" in FOUND["formulas"]["dalzell2024"]
    assert "2 / 3 * n**3" in FOUND["formulas"]["LU"]
    assert "2 * xp.arcsin" in FOUND["formulas"]["block_queries"]


def test_every_input_set_and_factor_has_words() -> None:
    assert {one["name"] for one in meta()["inputs"]} <= set(FOUND["inputs"])
    assert set(FOUND["sets"]) == set(ASSUMPTION_SETS)
    assert all(said[0].isupper() and said.endswith(".") for said in FOUND["sets"].values())
    profile = load_profile("superconducting")
    assert isinstance(profile, QuantumProfile)
    clock = Clock.of(profile.machine)
    count = CountedSolver(QUERY_MODELS["jennings2023v1"])
    charge = end_to_end().charge(count, Problem(100.0, 10.0).numbers, 1e-2, clock)
    # Queries are the solver's own.
    assert set(charge.factors) - {"queries"} <= set(FOUND["terms"])
    assert all(set(term) == {"formula", "source", "evidence"} for term in FOUND["terms"].values())


@pytest.mark.parametrize("column", [0, 1])
def test_every_colour_that_the_page_names_is_there(column: int) -> None:
    text = page("")
    used = set(re.findall(r"var\(--([\w-]+)\)", text)) - {"at"}
    declared = {**PALETTE, **COLOURS}
    # Shades and factors are counted by the script.
    assert {name for name in used if "$" not in name} <= set(declared) | {"term-"}
    assert all(re.fullmatch("#[0-9a-f]{6}", pair[column]) for pair in declared.values())

"""Rivals by structure: their counts by hand, who is there when, and what a sweep makes of them."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qnewton as q
from qnewton._hardware import ClassicalProfile, QuantumMachine
from qnewton._pricing.assumptions import ASSUMPTION_SETS
from qnewton._pricing.breakeven import Question, orders
from qnewton._pricing.classical import RIVALS, ClassicalHost, predict, rival_named
from qnewton._pricing.paper import predicted
from qnewton._pricing.problem import Problem
from qnewton._pricing.structure import Structure, grid
from qnewton._pricing.table import table
from qnewton._pricing.verdict import verdicts

KNOWN = Structure(
    bandwidth=3.0,
    fill=5e5,
    factor_flops=3e7,
    filled_by="by hand",
    preconditioned_kappa=20.0,
    preconditioner="as given",
    root_rows=50.0,
    layer=(100.0, 100.0),
)
PROBLEM = Problem(n=1e4, condition_number=1e4, precision=1e-6, degree=7, structure=KNOWN)
MACHINE = QuantumMachine(50e-9)


def host_of(name: str) -> ClassicalHost:
    profile = q.load_profile(name)
    assert isinstance(profile, ClassicalProfile)
    return ClassicalHost.of(profile)


HOSTS = [host_of("nvidia-h100-sxm"), host_of("amd-epyc-7702")]


def test_counts_by_hand():
    def counted(name: str) -> tuple[float, float]:
        work = rival_named(name).method.workload(PROBLEM, 8)
        return float(work.total_flops), float(rival_named(name).method.entries(PROBLEM))

    assert counted("banded Cholesky") == (1e4 * (9 + 9) + 4 * 4e4, 4e4)
    assert counted("banded LU") == (1e4 * 36 + 4 * 1e5, 1e5)
    assert counted("sparse Cholesky") == (3e7 + 2e6, 5e5)
    assert counted("dual") == (pytest.approx(1e4 * 2500 + 50**3 / 3 + 2 * 2500 + 4e4 * 50), 1e4 * 50 + 2500)
    assert counted("K-FAC") == (pytest.approx(2e6 / 3 + 4e6), 2e4)
    # kappa_F^2 is at most n kappa^2 here.
    assert counted("quantum-inspired")[0] == pytest.approx((1e4 * 1e8) ** 2 * 1e8 / 1e-12)
    steps = float(rival_named("PCG").method.workload(PROBLEM, 8).steps)
    assert steps == np.ceil(20**0.5 / 2 * np.log(2 * 100 / 1e-6))
    # A band of all rows is the whole matrix, and a factor of all its numbers the dense one.
    whole = Structure(bandwidth=99.0, fill=100 * 101 / 2, factor_flops=float(sum(k**2 for k in range(101))))
    full = Problem(n=100, condition_number=10.0, structure=whole)
    for name in ("banded Cholesky", "sparse Cholesky"):
        assert rival_named(name).method.workload(full, 8).total_flops >= 100**3 / 3


def test_who_needs_a_number_is_there_where_it_is_known():
    def names(problem: Problem) -> set[str]:
        return {one.rival.name for one in predicted(problem, HOSTS)}

    always = {"LU", "Cholesky", "CG", "quantum-inspired", "sampling (Kaczmarz)"}
    assert names(dataclasses.replace(PROBLEM, structure=Structure())) == always
    assert names(PROBLEM) == always | {"PCG", "banded Cholesky", "sparse Cholesky", "dual", "K-FAC"}
    indefinite = dataclasses.replace(PROBLEM, definite=False)
    assert names(indefinite) == {"LU", "MINRES", "quantum-inspired", "sampling (Kaczmarz)", "banded LU"}


def test_no_verdict_rests_on_who_solves_something_else_or_has_no_constant():
    rows = table(PROBLEM, [("s", MACHINE)], [ASSUMPTION_SETS["logical"]], HOSTS)
    by = {row.solver: row for row in rows if row.kind == "classical" and row.hardware == "nvidia-h100-sxm"}
    factored = [row.seconds for row in rows if row.solver in ("Cholesky", "LU") and row.hardware == "nvidia-h100-sxm"]
    assert all(by["K-FAC"].seconds < (other or 0.0) for other in factored if by["K-FAC"].seconds is not None)
    (verdict,) = verdicts(rows)
    assert verdict.classical is not None
    left = [row for row in rows if row.kind == "classical" and row.solver not in ("K-FAC", "quantum-inspired")]
    assert verdict.classical.seconds == min(row.seconds for row in left if row.seconds is not None)
    assert "no bound on the error" in by["K-FAC"].evidence
    assert by["quantum-inspired"].evidence == "asymptotic"
    assert by["sparse Cholesky"].notes == ("by hand",)
    assert by["PCG"].notes == ("as given: condition number 20",)


@settings(max_examples=12)
@given(n=st.floats(2, 7), times=st.floats(1, 2), dimension=st.sampled_from([2, 3]))
def test_a_sweep_begins_at_the_table_and_structure_grows_with_the_rows(n, times, dimension):
    rows = np.round(10.0**n)
    problem = dataclasses.replace(PROBLEM, n=rows, structure=grid(rows, dimension))
    question = Question(problem, ASSUMPTION_SETS["logical"], MACHINE, HOSTS)
    present, larger = orders(question, {"n": np.asarray([rows, np.round(rows * times)])})
    assert present == pytest.approx(float(orders(question, {})), abs=1e-9)
    assert abs(larger - present) <= 4 * np.log10(times) + np.log10(2) + 0.1
    grown = problem.structure.of_size(times, 1.0)
    assert problem.structure.fill <= grown.fill <= problem.structure.fill * times ** (4 / 3) * (1 + 1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bandwidth": 100.0}, "bandwidth is 100: an entry of 100 rows"),
        ({"bandwidth": 2.0}, r"bandwidth is 2: a row of 7 nonzeros does not fit into 2 x bandwidth \+ 1"),
        ({"preconditioned_kappa": 0.5}, "preconditioned-kappa is 0.5"),
        ({"layer": (3, 4)}, "layer is 3 4: their product is the number of rows, 100"),
        ({"layer": (-10, -10)}, "layer is -10 -10"),
    ],
)
def test_impossible_structure_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Structure(**change).check(100, 7)
    with pytest.raises(ValueError, match="dimension is 4"):
        grid(10.0, 4)


def test_every_rival_says_what_it_is():
    for rival in RIVALS:
        assert rival.source
        assert float(predict(rival, HOSTS[0], PROBLEM).seconds) > 0


def test_a_band_bounds_the_nonzeros_of_a_row():
    for n, band, degree in ((100, 3.0, 7), (5, 3.0, 5), (100, 0.0, 1)):
        problem = Problem(n=n, condition_number=2.0, structure=Structure(bandwidth=band))
        assert problem.numbers.degree == degree
        assert "d = 2 x bandwidth + 1: no sparsity was given" in problem.assumed
    given = Problem(n=100, condition_number=2.0, degree=2, structure=Structure(bandwidth=3.0))
    assert given.numbers.degree == 2

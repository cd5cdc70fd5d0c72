"""Rivals by structure: their counts by hand, who is there when, and what a sweep makes of them."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qnewton as q
from qnewton._hardware import ClassicalProfile, QuantumMachine
from qnewton._pricing.assumptions import ASSUMPTION_SETS
from qnewton._pricing.breakeven import Question, orders
from qnewton._pricing.classical import RIVALS, ClassicalHost, predict, rival_named
from qnewton._pricing.methods import Stored
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
        method = rival_named(name).method
        assert isinstance(method, Stored)
        return float(method.workload(PROBLEM, 8).total_flops), float(method.entries(PROBLEM))

    assert counted("banded Cholesky") == (1e4 * (9 + 9) + 4 * 4e4, 4e4)
    assert counted("banded LU") == (1e4 * 36 + 4 * 1e5, 1e5)
    assert counted("sparse Cholesky") == (3e7 + 2e6, 5e5)
    assert counted("dual") == (pytest.approx(1e4 * 2500 + 50**3 / 3 + 2 * 2500 + 4e4 * 50), 1e4 * 50 + 2500)
    assert counted("K-FAC") == (pytest.approx(2e6 / 3 + 4e6), 2e4)
    # kappa_F^2 is at most n kappa^2 here.
    inspired = rival_named("quantum-inspired").method.workload(PROBLEM, 8)
    assert float(inspired.total_flops) == pytest.approx((1e4 * 1e8) ** 2 * 1e8 / 1e-12)
    steps = float(rival_named("PCG").method.workload(PROBLEM, 8).steps)
    assert steps == np.ceil(20**0.5 / 2 * np.log(2 * 100 / 1e-6))
    # A band of all rows is the whole matrix, and a factor of all its numbers the dense one.
    whole = Structure(bandwidth=99.0, fill=100 * 101 / 2, factor_flops=float(sum(k**2 for k in range(101))))
    full = Problem(n=100, condition_number=10.0, structure=whole)
    for name in ("banded Cholesky", "sparse Cholesky"):
        assert rival_named(name).method.workload(full, 8).total_flops >= 100**3 / 3


@pytest.mark.parametrize("itemsize", [4, 8])
def test_traffic_and_memory_by_hand(itemsize):
    """Of 1e4 rows: a band of 3 entries aside, a factor of 5e5 numbers, a root of 50 rows, a layer of 100 x 100."""
    x, n = itemsize, 1e4
    held = {  # numbers, and column numbers of 4 bytes where the pattern is stored
        "banded Cholesky": n * 4 * x,
        "sparse Cholesky": 5e5 * (x + 4),
        "dual": (n * 50 + 50**2) * x,
        "K-FAC": 2 * 100**2 * x,
        "quantum-inspired": n * 7 * (x + 4),
        "sampling (Kaczmarz)": n * 7 * (x + 4),
        "LU": n**2 * x,
    }
    moved = {
        "banded Cholesky": 4 * n * 4 * x,  # the factor is written, read by two substitutions, and the matrix read
        "sparse Cholesky": 4 * 5e5 * (x + 4),
        "dual": (3 * n * 50 + 3 * 50**2) * x,
        "K-FAC": 3 * (2 * 100**2 + n) * x,
        "quantum-inspired": 0,
    }
    for name, numbers in held.items():
        method = rival_named(name).method
        assert float(method.memory_bytes(PROBLEM, x)) == numbers + 6 * n * x, name
    for name, expected in moved.items():
        assert float(rival_named(name).method.workload(PROBLEM, x).total_bytes) == expected, name
    # A preconditioner reads and multiplies one number a row, once in each step.
    plain, better = (rival_named(name).method.workload(PROBLEM, x) for name in ("CG", "PCG"))
    assert (better.step_bytes - plain.step_bytes, better.step_flops - plain.step_flops) == (n * x, n)
    # A layer that is not square: both factors' own cubes, and squares times the other side.
    layer = dataclasses.replace(PROBLEM, n=600.0, structure=Structure(layer=(20.0, 30.0)))
    work = rival_named("K-FAC").method.workload(layer, x)
    assert float(work.flops) == pytest.approx((8e3 + 27e3) / 3 + 2 * (400 * 30 + 900 * 20))
    assert float(work.bytes) == 3 * (400 + 900 + 600) * x
    # The Gram matrix of a root whose own count is known takes that.
    known = dataclasses.replace(PROBLEM, structure=dataclasses.replace(KNOWN, gram_flops=1e3))
    assert float(rival_named("dual").method.workload(known, x).flops) == pytest.approx(
        1e3 + 50**3 / 3 + 2 * 50**2 + 4 * n * 50
    )


def test_what_no_rate_speeds_up_by_hand():
    """Panels of 128 columns, three kernels each; on 16 devices, 4 x 4 of them, HPL's messages and numbers."""
    problem = dataclasses.replace(PROBLEM, n=1280.0, structure=dataclasses.replace(KNOWN, fill=320.0**2 / 2))
    panels, hops, root, square = 10, 2, 4, 1280**2
    chains = {
        "LU": (3 * panels, (1280 + panels) * hops + panels * root, 2 * square / root),
        "Cholesky": (3 * panels, panels * (2 * hops + root), square / root),
        "banded Cholesky": (3 * panels, 0, 0),
        # The last front has 320 rows, two and a half panels; every level of the tree starts kernels of its own.
        "sparse Cholesky": (3 * (2.5 + np.log2(1280)), 0, 0),
        # 50 rows and a side of 100 are less than a panel.
        "dual": (3, 2 * hops + root, 50**2 / root),
        "K-FAC": (3, 2 * hops + root, 100**2 / root),
        "quantum-inspired": (1, 0, 0),
        "sampling (Kaczmarz)": (1, 0, 0),
    }
    for name, expected in chains.items():
        found = rival_named(name).method.chain(problem, 16.0)
        assert tuple(map(float, found)) == pytest.approx(expected, rel=1e-6), name


def test_a_round_of_refinement_by_hand():
    """A residual of 7 entries a row in twice the precision, 20 operations for one, and a solve with the factor."""
    n, reads = 1e4, 1e4 * 7 * 12
    for name, held in {"CG": 0.0, "banded Cholesky": 4 * n, "sparse Cholesky": 5e5, "LU": n**2}.items():
        once = rival_named(name).method.refinement(PROBLEM)
        assert (float(once.flops), float(once.bytes)) == (40 * n * 7 + 2 * held, reads + 8 * held), name


def test_a_mesh_fills_as_published_and_as_derived():
    """George 1973 in two dimensions, 31/4 n log2 sqrt(n) and 829/84 n^(3/2) multiplications with additions."""
    plane, box = grid(4.0**8, 2), grid(8.0**6, 3)
    assert float(plane.fill) == pytest.approx(31 / 4 * 4**8 * 8)
    assert float(plane.factor_flops) == pytest.approx(2 * 829 / 84 * 4.0**12)
    assert float(box.fill) == pytest.approx(13.4 * 8.0**8)
    assert float(box.factor_flops) == pytest.approx(7.5 * 8.0**12)
    assert (plane.dimension, box.dimension) == (2, 3)
    for dimension in (2, 3):
        # No matrix of four rows has more than all of its triangle.
        assert float(grid(4.0, dimension).fill) == 10
        assert float(grid(4.0, dimension).factor_flops) == pytest.approx(64 / 3)


def test_structure_of_more_rows_grows_as_its_bounds_do():
    grown = dataclasses.replace(KNOWN, gram_flops=6.0, dimension=3).of_size(16.0, 3.0)
    assert (grown.bandwidth, grown.root_rows) == (3.0, 50.0)
    assert float(grown.fill) == pytest.approx(5e5 * 16 ** (4 / 3))
    assert float(grown.factor_flops) == pytest.approx(3e7 * 256)
    assert float(grown.preconditioned_kappa) == 1 + 19 * 3
    assert float(grown.gram_flops) == 96
    assert [float(side) for side in grown.layer or ()] == [400, 400]
    flat = dataclasses.replace(KNOWN, dimension=2).of_size(16.0, 3.0)
    assert (float(flat.fill), float(flat.factor_flops)) == (5e5 * 16, 3e7 * 64)


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
        ({"bandwidth": 5.5}, "bandwidth is 5.5: it counts entries"),
        ({"layer": (2.5, 40)}, "layer is 2.5: it counts entries"),
        ({"preconditioned_kappa": 0.5}, "preconditioned-kappa is 0.5"),
        ({"preconditioned_kappa": math.inf}, "preconditioned-kappa is inf"),
        ({"layer": (3, 4)}, "layer is 3 4: their product is the number of rows, 100"),
        ({"layer": (-10, -10)}, "layer is -10 -10"),
    ],
)
def test_impossible_structure_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Structure(**change).check(100, 7)
    with pytest.raises(ValueError, match="dimension is 4"):
        grid(10.0, 4)


def test_the_limits_themselves_are_possible():
    """A layer of one row, a band of the diagonal alone or of the whole matrix, a preconditioner that solves it all."""
    for layer in ((1, 100), (100, 1)):
        Structure(layer=layer, preconditioned_kappa=1.0).check(100, 7)
    Structure(bandwidth=0.0).check(100, 1)
    Structure(bandwidth=3.0).check(100, 7)
    Structure(bandwidth=99.0).check(100, None)


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

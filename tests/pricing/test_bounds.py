"""Where no algorithm helps: the bound's price is a floor, and its no is only said where it is one."""

import dataclasses
import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import qnewton as q
from qnewton._hardware import ClassicalProfile
from qnewton._pricing.assumptions import ASSUMPTION_SETS
from qnewton._pricing.bounds import least_charges
from qnewton._pricing.breakeven import Question, bound_orders, orders
from qnewton._pricing.classical import ClassicalHost
from qnewton._pricing.clock import Clock
from qnewton._pricing.more_rows import more_rows
from qnewton._pricing.problem import Problem
from qnewton._pricing.table import Row, table
from qnewton._pricing.verdict import verdicts
from qnewton._solvers.quantum.encoding import SquareRoot

SETS = tuple(ASSUMPTION_SETS.values())


def host() -> ClassicalHost:
    found = q.load_profile("nvidia-h100-sxm")
    assert isinstance(found, ClassicalProfile)
    return ClassicalHost.of(found)


def ion(gate_time_s: float = 1e-4) -> q.hardware.QuantumMachine:
    found = q.load_profile("trapped-ion")
    assert isinstance(found, q.hardware.QuantumProfile)
    return q.hardware.QuantumMachine(gate_time_s, found)


HOST = host()


def everything(problem, machines, sets, hosts) -> list[Row]:
    clocks = [(name, Clock.of(machine)) for name, machine in machines]
    least = least_charges(problem, clocks, sets)
    return [*table(problem, machines, sets, hosts), *more_rows(problem, clocks, sets, hosts, least)]


@hypothesis.settings(max_examples=15)
@hypothesis.given(
    n=st.floats(0.5, 9),
    kappa=st.floats(0, 8),
    error=st.floats(-9, -0.3),
    share=st.floats(0, 1),
    gate=st.floats(-18, -3),
    factor=st.booleans(),
    assumed=st.sampled_from(SETS),
)
def test_no_solver_is_faster_than_the_bound(n, kappa, error, share, gate, factor, assumed):
    n = math.floor(10**n)
    problem = Problem(n, 10**kappa, 10**error, max(1, int(n**share)), factor=SquareRoot(rows=64) if factor else None)
    rows = everything(problem, [("ion", ion(10**gate))], [assumed], [HOST])
    found = [row.seconds for row in rows if row.kind == "quantum" and row.seconds]
    least = [row.seconds for row in rows if row.kind == "bound" and row.encoding == "any" and row.seconds]
    mine = [row.seconds for row in rows if row.kind == "bound" and row.encoding != "any" and row.seconds]
    assert min(least) <= min([*found, *mine], default=math.inf) * (1 + 1e-9)
    assert not found or not mine or min(mine) <= min(found) * (1 + 1e-9)
    for verdict in verdicts(rows):
        if verdict.impossible:
            assert verdict.orders is None or verdict.orders > 0


def test_a_no_is_said_where_the_bound_alone_loses_and_says_which():
    problem = Problem(1000.0, 1e4, degree=10.0)
    question = Question(problem, ASSUMPTION_SETS["logical"], ion(), [HOST])
    rows = everything(problem, [("ion", ion())], [question.assumed], [HOST])
    (verdict,) = verdicts(rows)
    # A layer of an ion's gates takes 100 microseconds.
    queries = float(q.queries.block_queries(q.solvers.Encoding(1e4, 1.0), 1e-3, 1000).queries)
    assert verdict.classical is not None
    assert verdict.classical.seconds is not None
    times = queries * 1e-4 / verdict.classical.seconds
    assert verdict.impossible == (
        f"whatever the block encoding of the matrix, the {queries:.3g} queries that any solver needs "
        f"(block_queries, derived) take {times:.3g} times the classical seconds"
    )
    assert float(bound_orders(question, {})) == pytest.approx(math.log10(times))
    # Where some encoding might do and those of the set do not, that is said; where the bound wins, nothing.
    fast = ion(1e-9 * verdict.classical.seconds / times)
    (other,) = verdicts(everything(problem, [("ion", fast)], [question.assumed], [HOST]))
    assert other.impossible == ""
    between = ion(1e-4 / times / 1.5)
    (other,) = verdicts(everything(problem, [("ion", between)], [question.assumed], [HOST]))
    assert other.impossible.startswith("with any of the set's block encodings of the matrix")


def test_nothing_is_excluded_where_the_bound_is_silent():
    rows = everything(Problem(2.0, 1e4), [("ion", ion())], SETS, [HOST])
    assert {row.reason for row in rows if row.kind == "bound"} == {"needs n >= 3"}
    assert not any(verdict.impossible for verdict in verdicts(rows))


def test_maps_have_the_region_that_no_algorithm_reaches():
    question = Question(Problem(4096.0, 100.0), ASSUMPTION_SETS["end_to_end"], ion(), [HOST])
    changes = {"kappa": np.geomspace(1, 1e8, 9)[None], "gate_time_s": np.geomspace(1e-20, 1e-3, 7)[:, None]}
    least, all_of_it = bound_orders(question, changes), orders(question, changes)
    assert least.shape == (7, 9)
    known = np.isfinite(least) & np.isfinite(all_of_it)
    assert known.sum() > 40
    assert (least[known] <= all_of_it[known] + 1e-9).all()
    alone = bound_orders(question, {"kappa": changes["kappa"][0, 4], "gate_time_s": changes["gate_time_s"][3, 0]})
    assert float(alone) == pytest.approx(least[3, 4])
    none = dataclasses.replace(question, hosts=[])
    assert math.isnan(bound_orders(none, {}))


def test_a_sweep_of_gate_times_has_the_bound_of_each_point():
    times, asked = np.array([1e-18, 1e-12, 1e-7]), {"sparsity": 7, "hardware": ["superconducting", "nvidia-h100-sxm"]}
    swept = q.plan(1e6, 1e4, gate_time_s=times, **asked).verdicts
    alone = [q.plan(1e6, 1e4, gate_time_s=time, **asked) for time in times]
    np.testing.assert_allclose(swept["least_orders"], np.ravel([one.verdicts["least_orders"] for one in alone]))
    for point, one in enumerate(alone):
        found = {verdict.assumptions: verdict for verdict in verdicts(one.rows())}
        own = slice(point * len(found), (point + 1) * len(found))
        for name, by in zip(swept["assumptions"][own], swept["least_orders"][own], strict=True):
            assert (by > 0) == found[name].impossible.startswith("whatever the block encoding")
    # Some are excluded and some are not.
    assert swept["least_orders"].min() < 0 < swept["least_orders"].max()

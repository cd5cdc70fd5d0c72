"""`plan` and `breakeven` in Python: arrays are their points, and each agrees with the other."""

import sys
from typing import Any

import numpy as np
import pytest

import qnewton as qn
from qnewton._core.extras import MissingExtraError
from qnewton._pricing.structure import Structure
from qnewton._solvers.quantum.encoding import SquareRoot

MACHINES = ("superconducting", "majorana", "nvidia-h100-sxm")
N, KAPPA = np.array([1e3, 1e6, 1e9]), np.array([[2.0], [4e3]])


@pytest.fixture(scope="module")
def swept():
    return qn.plan(N, KAPPA, sparsity=7, epsilon=1e-4, dimension=3, hardware=MACHINES)


def elsewhere(reason):
    """Of a line that a sweep has for its smallest condition numbers: a single larger one does without it."""
    return reason == "needs kappa below 3.46 and epsilon to 0.24, where paper raises kappa for its own count"


def test_arrays_are_their_points(swept):
    """The same as asked one by one, words included, in the order of `numpy.ravel`."""
    assert swept.shape == (2, 3)
    for point, (n, kappa) in enumerate(zip(*map(np.ravel, np.broadcast_arrays(N, KAPPA)), strict=True)):
        if point % 2:
            continue
        alone = qn.plan(n, kappa, sparsity=7, epsilon=1e-4, dimension=3, hardware=MACHINES)
        assert alone.shape == ()
        for of_many, of_one in ((swept.columns, alone.columns), (swept.verdicts.columns, alone.verdicts.columns)):
            assert of_many.keys() == of_one.keys()
            own = {name: values.reshape(6, -1)[point] for name, values in of_many.items()}
            here = [not elsewhere(words) for words in own.get("reason", own["assumptions"])]
            for name, values in of_one.items():
                found = own[name][here]
                if values.dtype == float:
                    np.testing.assert_allclose(found, values, rtol=1e-12, err_msg=name)
                else:
                    assert found.tolist() == values.tolist(), name
        # Factors that are NaN are left out of a row, and what the table prints is the row. Bounds and systems that are
        # shared out are told of single points alone.
        rows = [row for row in swept.rows(point) if not elsewhere(row.reason)]
        assert rows == [row for row in alone.rows() if row.kind not in ("bound", "shared")]
        assert {row.kind for row in alone.rows()} - {row.kind for row in swept.rows(point)} == {"bound", "shared"}


def test_the_paper_needs_what_it_publishes():
    """Golden: 3.18e6 queries (Theorem 1 of arXiv 2305.11352v1) at 50 ns."""
    frame = qn.plan(12544, 4000, sparsity=1254, hardware=MACHINES, assumptions="paper").to_pandas()
    row = frame[(frame.kind == "quantum") & (frame.hardware == "superconducting")].iloc[0]
    assert row.queries == pytest.approx(3.176e6, rel=1e-3)
    assert row.seconds == pytest.approx(row.queries * 50e-9)
    slower = qn.plan(12544, 4000, sparsity=1254, hardware=MACHINES, assumptions="paper", gate_time_s=[50e-9, 1e-3])
    seconds = slower.verdicts["quantum_seconds"]
    assert seconds[1] / seconds[0] == pytest.approx(2e4)


def test_verdicts_are_those_of_the_frame(swept):
    frame = swept.to_pandas()
    proven = frame[(frame.kind == "quantum") & (frame.evidence == "proven")]
    classical = frame[frame.kind == "classical"].groupby(["n", "kappa"]).seconds.min()
    for (n, kappa, name), seconds in proven.groupby(["n", "kappa", "assumptions"]).seconds.min().items():
        verdicts = swept.verdicts.to_pandas()
        (row,) = verdicts[(verdicts.n == n) & (verdicts.kappa == kappa) & (verdicts.assumptions == name)].itertuples()
        expected = np.log10(seconds / classical[n, kappa])
        assert row.orders == pytest.approx(expected, abs=1e-9)
        assert row.winner == ("quantum" if expected < -0.05 else "classical" if expected > 0.05 else "draw")


def test_where_nobody_leads_there_are_no_seconds():
    """Under the set named paper one count answers, so that there is no other; at n = 1 there is nobody at all."""
    columns = qn.plan([1, 500], 10.0, hardware=MACHINES, assumptions="paper").verdicts.columns
    for kind, known in (("quantum", [False, True]), ("classical", [False, True]), ("other", [False, False])):
        assert [name is not None for name in columns[f"{kind}_solver"]] == known
        assert np.isfinite(columns[f"{kind}_seconds"]).tolist() == known


def test_at_a_break_even_gate_time_the_plan_is_a_draw():
    asked = {"sparsity": 7, "hardware": ("superconducting", "nvidia-h100-sxm"), "assumptions": "logical"}
    kappa = np.array([10.0, 1e3, 1e6])
    found = qn.breakeven(1e6, kappa, vary=["gate_time_s"], **asked)
    at_it = qn.plan(1e6, kappa, gate_time_s=found.columns["value"], **asked)
    np.testing.assert_allclose(at_it.verdicts["orders"], 0, atol=0.02)
    as_it_is = qn.plan(1e6, kappa, **asked)
    np.testing.assert_allclose(found.orders, as_it_is.verdicts["orders"], rtol=1e-9)
    alone = qn.breakeven(1e6, 1e3, vary=["gate_time_s"], **asked)
    assert alone.columns["value"][0] == pytest.approx(found.columns["value"][1], rel=1e-3)
    assert [one.orders.shape for one in alone.maps()[:1]] == [(33, 33)]


def test_both_kinds_of_frames_have_all_columns(swept):
    found = qn.breakeven(100, 10.0, hardware=MACHINES, assumptions="paper")
    for result in (swept, found, swept.verdicts):
        pandas, polars = result.to_pandas(), result.to_polars()
        assert list(pandas.columns) == polars.columns == list(result.columns)
        assert len(pandas) == len(polars) == len(next(iter(result.columns.values())))
    assert str(polars["orders"].dtype) == "Float64"
    assert str(polars["winner"].dtype) == "String"


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_a_missing_package_is_named(package, swept, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=f"{package}, which is not installed: pip install {package}$"):
        getattr(swept.verdicts, f"to_{package}")()


def test_a_point_that_no_matrix_can_be_at_is_left_out_of_a_sweep():
    """A single number has the condition number 1."""
    found = qn.plan([1, 2], 10.0, hardware=MACHINES, assumptions="paper")
    reasons = found.columns["reason"].reshape(2, -1)
    assert set(reasons[0]) == {"no matrix has these numbers"}
    assert "" in set(reasons[1])
    assert np.isnan(found.verdicts["orders"]).tolist() == [True, False]
    with pytest.raises(ValueError, match="kappa is 10: the condition number of a single number is 1"):
        qn.plan(1, 10.0)


@pytest.mark.parametrize(
    ("numbers", "error", "message"),
    [
        ({"kappa": [2.0, 0.5]}, ValueError, "kappa is 0.5: a condition number is finite and at least 1"),
        ({"n": [10.5, 2]}, ValueError, "n is 10.5: it counts rows"),
        ({"sparsity": 2.5}, ValueError, "sparsity is 2.5: it counts entries"),
        ({"n": [1, 2, 3], "kappa": [1, 2]}, ValueError, r"do not broadcast: n \(3,\), kappa \(2,\)"),
        ({"sparcity": 3}, TypeError, "unknown number of a system 'sparcity': did you mean 'sparsity'?"),
        ({"gate_time_s": 0.0}, ValueError, "gate_time_s is 0: it must be a positive number of seconds"),
        ({"assumptions": "papr"}, ValueError, "unknown assumption set 'papr': did you mean 'paper'?"),
        ({"assumptions": ()}, ValueError, "assumptions is empty"),
        ({"hardware": ["nvidia-h100-sxm"]}, ValueError, "hardware is nvidia-h100-sxm: name a quantum profile"),
    ],
)
def test_bad_input_is_named(numbers, error, message):
    asked: dict[str, Any] = {"n": 10, "kappa": 5.0, **numbers}
    with pytest.raises(error, match=message):
        qn.plan(**asked)


def test_a_preconditioner_keeps_its_name_unless_another_one_is_given():
    """A file's own preconditioner is measured and named; a number that is given in its place is nobody's."""
    known = Structure(preconditioned_kappa=4.0, preconditioner="diagonal of the file")
    asked: dict[str, Any] = {"structure": known, "hardware": MACHINES, "assumptions": "paper"}
    given: dict[str, Any] = {"preconditioned_kappa": 4.0}
    for more, note in (({}, "diagonal of the file"), (given, "as given")):
        notes = {row.notes for row in qn.plan(100, 50.0, **asked, **more).rows() if row.solver == "PCG"}
        assert notes == {(f"{note}: condition number 4",)}
    # Of a square root the rows are known, and with them the dual system.
    rooted = qn.plan(100, 50.0, factor=SquareRoot(rows=20), hardware=MACHINES, assumptions="paper")
    names = [{row.solver for row in found.rows()} for found in (rooted, qn.plan(100, 50.0, **asked))]
    assert ["dual" in found for found in names] == [True, False]


def test_bad_questions_are_named():
    with pytest.raises(ValueError, match="unknown variable 'gate_time': did you mean 'gate_time_s'"):
        qn.breakeven(10, 5.0, vary=["gate_time"])
    with pytest.raises(ValueError, match="hardware names no classical profile"):
        qn.breakeven(10, 5.0, hardware=["majorana"])

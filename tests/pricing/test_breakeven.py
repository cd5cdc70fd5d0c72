"""The inverse question: the values found make both sides equal, and where none does that is said."""

import dataclasses

import numpy as np
import pytest

import qnewton as q
from qnewton._hardware import ClassicalProfile
from qnewton._pricing.assumptions import ASSUMPTION_SETS
from qnewton._pricing.breakeven import Question, _sentence, orders, pairs, present_of, single, variables
from qnewton._pricing.classical import ClassicalHost
from qnewton._pricing.problem import Problem
from qnewton._pricing.table import table
from qnewton._pricing.verdict import verdicts

H100, SUPERCONDUCTING = q.load_profile("nvidia-h100-sxm"), q.load_profile("superconducting")
assert isinstance(H100, ClassicalProfile)
assert isinstance(SUPERCONDUCTING, q.hardware.QuantumProfile)
HOST, MACHINE = ClassicalHost.of(H100), SUPERCONDUCTING.machine


def question_of(name: str, **change) -> Question:
    problem = Problem(**{"n": 12544.0, "condition_number": 4e3, "degree": 1254.0, **change})
    return Question(problem, ASSUMPTION_SETS[name], MACHINE, [HOST])


SMALL = {"n": 50.0, "condition_number": 3.0, "degree": 4.0}


def named(question, name):
    return next(variable for variable in variables(question) if variable.name == name)


@pytest.mark.parametrize("name", ASSUMPTION_SETS)
def test_as_it_is_it_says_what_the_table_says(name):
    question = question_of(name)
    rows = table(question.problem, [("superconducting", MACHINE)], [question.assumed], question.hosts)
    (verdict,) = verdicts(rows)
    assert float(orders(question, {})) == pytest.approx(verdict.orders, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        *(("paper-best", variable) for variable in ("gate_time_s", "logical_cycle_s", "kappa", "d", "n")),
        ("logical", "gate_time_s"),
        ("end_to_end", "gate_time_s"),
        ("end_to_end", "logical_cycle_s"),
    ],
)
def test_at_the_value_found_both_are_equal(name, variable):
    question = question_of(name, **(SMALL if name == "end_to_end" else {}))
    found = single(question, named(question, variable))
    assert found.value is not None
    assert found.least < 0 < found.most
    assert abs(float(orders(question, {variable: found.value}))) < 0.02


def test_the_gate_time_of_the_paper_is_the_quotient():
    question = question_of("paper")
    found = single(question, named(question, "gate_time_s"))
    assert found.value == pytest.approx(MACHINE.gate_time_s * 10 ** -float(orders(question, {})), rel=0.01)


@pytest.mark.parametrize("variable", ["gate_time_s", "logical_cycle_s"])
def test_no_time_that_nobody_could_build_is_a_way_out(variable):
    question = question_of("end_to_end")
    found = single(question, named(question, variable))
    assert found.value is None
    assert found.least == pytest.approx(float(orders(question, {variable: 1e-21})), rel=1e-6)
    said = f"no {found.variable.label} helps: quantum still loses by {found.least:.1f} orders"
    assert found.sentence.startswith(said)
    assert found.sentence.endswith("down to 1e-21 s")
    # It is equal somewhere, where nothing can be built.
    assert float(orders(question, {variable: 1e-40})) < 0


@pytest.mark.parametrize("variable", ["kappa", "d", "readout_precision", "n"])
def test_where_no_value_does_it_that_is_said(variable):
    question = question_of("end_to_end")
    found = single(question, named(question, variable))
    assert found.value is None
    assert found.least > 0
    assert found.sentence.startswith(f"no value of {found.variable.label} does it: quantum still loses by")


@pytest.mark.parametrize(
    ("least", "most", "said"),
    [
        (0.4, 3.0, "quantum still loses by 0.4 orders of magnitude at best, from 2 to 1e+12"),
        (-3.0, -0.4, "quantum still wins by 0.4 orders of magnitude at worst, from 2 to 1e+12"),
    ],
)
def test_who_stays_ahead_is_said_however_close_it_is(least, most, said):
    variable = named(question_of("paper"), "n")
    assert _sentence(variable, None, least, most) == f"no value of rows does it: {said}"


def test_where_nothing_depends_on_it_that_is_said():
    question = question_of("paper")
    found = single(question, named(question, "readout_precision"))
    assert found.sentence == "no value of read-out precision does it: nothing depends on it under paper"


def test_present_values_are_those_of_the_question():
    known = {"kappa": 4e3, "d": 1254, "n": 12544}
    # Where errors are corrected the clock follows from the gates, and a free read-out has no precision.
    gates = {"gate_time_s": MACHINE.gate_time_s, "logical_cycle_s": MACHINE.gate_time_s, "readout_precision": None}
    expected = {"paper": known | gates, "end_to_end": known | gates | {"logical_cycle_s": None}}
    # Nine tenths of the default precision are the read-out's.
    expected["end_to_end"]["readout_precision"] = pytest.approx(9e-4)
    for name, values in expected.items():
        question = question_of(name)
        assert {variable.name: present_of(question, variable) for variable in variables(question)} == values
        # From what is possible at the least: a condition number of 1, one entry in a row.
        ranges = {variable.name: (variable.low, variable.high) for variable in variables(question)}
        assert (ranges["kappa"][0], ranges["d"], ranges["n"][0]) == (1, (1, 12544), 2)


def test_pairs_agree_with_single_sweeps():
    question = question_of("paper")
    made = pairs(question)
    assert len(made) == 14  # of 15, since the gate time sets the logical clock
    for pair in made:
        assert pair.orders.shape == (len(pair.y), len(pair.x))
        i, j = 20, 12
        alone = orders(question, {pair.first.name: pair.x[j], pair.second.name: pair.y[i]})
        np.testing.assert_allclose(pair.orders[i, j], alone, rtol=1e-9)


def test_given_norms_move_with_the_size():
    question = question_of("paper", frobenius_norm=20.0, spectral_norm=1.0)
    assert np.isfinite(orders(question, {"n": np.array([2.0, 1e4, 1e12])})).all()
    short = dataclasses.replace(question, problem=dataclasses.replace(question.problem, solution_norm=4e3))
    assert np.isfinite(orders(short, {"kappa": np.array([1e3, 1e6])})).all()
    # With the condition number 1 the Frobenius norm would be 112.
    assert np.isnan(orders(short, {"kappa": np.array([1.0])})).all()


def test_sizes_between_whole_numbers_keep_the_norms_of_a_matrix_near_the_identity():
    # Its Frobenius norm is nearly the largest that so many rows allow, and 2.4 rows are 2.
    question = question_of(
        "logical", n=21.0, condition_number=1.04, degree=21.0, frobenius_norm=4.57, spectral_norm=1.0
    )
    assert np.isfinite(orders(question, {"n": np.asarray([2.4, 7.6])})).all()

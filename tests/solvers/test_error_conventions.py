"""Conversions against vectors at a known angle, and the budget between solver and read-out."""

import math

import numpy as np
import pytest

from qnewton._core.records import Encoding
from qnewton._solvers.quantum.precision import ErrorBudget, ErrorConvention, convert
from qnewton._solvers.quantum.queries import dalzell2024, sunderhauf2025

STATE, TRACE, ABSOLUTE = ErrorConvention


@pytest.mark.parametrize("angle", [1e-9, 1e-3, 0.3, 1.2])
def test_states_at_an_angle(angle):
    true, found = np.array([1.0, 0.0]), np.array([math.cos(angle), math.sin(angle)])
    distance = np.linalg.norm(true - found)
    trace = abs(true[0] * found[1] - true[1] * found[0])
    assert float(convert(float(distance), STATE, TRACE)) == pytest.approx(trace, rel=1e-9)
    assert float(convert(trace, TRACE, STATE)) == pytest.approx(distance, rel=1e-9)


@pytest.mark.parametrize("length", [1.0, 7.0])
def test_an_absolute_error_turns_a_vector_no_further_than_that(length):
    delta, true = 0.2, np.array([length, 0.0])
    around = np.linspace(0, 2 * np.pi, 10_001)
    found = true + delta * np.stack([np.cos(around), np.sin(around)], axis=1)
    worst = np.linalg.norm(found / np.linalg.norm(found, axis=1)[:, None] - true / length, axis=1).max()
    assert float(convert(delta, ABSOLUTE, STATE, length)) == pytest.approx(worst, rel=1e-5)
    assert float(convert(worst, STATE, ABSOLUTE, length)) == pytest.approx(delta, rel=1e-5)


@pytest.mark.parametrize("given", ErrorConvention)
@pytest.mark.parametrize("wanted", ErrorConvention)
def test_there_and_back(given, wanted):
    error = np.array([1e-300, 1e-12, 1e-3, 0.5, 0.9])
    np.testing.assert_allclose(convert(convert(error, given, wanted, 3.0), wanted, given, 3.0), error, rtol=1e-9)


def test_the_largest_distances():
    np.testing.assert_allclose(convert(np.array([math.sqrt(2), 5.0]), STATE, TRACE), 1)
    np.testing.assert_allclose(convert(np.array([1.0, 2.0]), TRACE, STATE), math.sqrt(2))


def test_a_model_asks_for_its_own_convention():
    encoding = Encoding(1e3, 1.0)
    asked = dalzell2024(encoding, 0.1)
    same = dalzell2024(encoding, float(convert(0.1, STATE, TRACE)), convention=TRACE)
    assert float(asked.queries) == float(same.queries)
    # A longer solution allows a larger absolute error for the same direction.
    relaxed = sunderhauf2025(encoding, float(convert(0.1, STATE, ABSOLUTE, 50.0)), 50.0, convention=ABSOLUTE)
    assert float(sunderhauf2025(encoding, 0.1, 50.0).queries) == float(relaxed.queries)


def test_the_budget_is_shared_out_whole():
    budget = ErrorBudget.split(np.array([0.1, 0.3]))
    np.testing.assert_allclose(budget.solver, [0.01, 0.03])
    np.testing.assert_allclose(budget.readout, [0.09, 0.27])
    np.testing.assert_allclose(budget.total, [0.1, 0.3])


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, math.nan])
def test_a_share_that_leaves_nothing_is_refused(share):
    with pytest.raises(ValueError, match=rf"solver_share is {share}: .* in \(0, 1\)"):
        ErrorBudget.split(0.1, share)

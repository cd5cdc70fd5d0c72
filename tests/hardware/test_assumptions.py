"""What every assumption set must do. A new set is one row of `CASES`."""

import math
from typing import NamedTuple

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from qnewton.core.records import Condition, Encoding, QuantumWorkload, System
from qnewton.estimation import Exact
from qnewton.hardware import AbstractAssumptions, Paper, QuantumMachine
from qnewton.solvers.quantum.queries import jennings2023v1
from qnewton.testing import symmetric_with_spectrum


class Case(NamedTuple):
    """A set, the key under which records hold it, and its encoding and seconds for the system of `_estimate`."""

    assumptions: AbstractAssumptions
    name: str
    kappa: float
    subnormalisation: float
    # For 1,000 queries at 1 ns.
    seconds: float


CASES = {"paper": Case(Paper(), "paper", 20.0, 1.0, 1e-6)}

each = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def _estimate(scale=1.0, dtype="float32"):
    matrix = scale * symmetric_with_spectrum([-0.05, 0.3, 0.7, 1.0])
    return Exact()(System.of(jnp.asarray(matrix, dtype), symmetric=True))


def _workload(queries, valid=True, dtype="float32"):
    queries = jnp.asarray(queries, dtype)
    return QuantumWorkload(
        queries=queries,
        state_preparations=2 * queries,
        success_probability=jnp.asarray(0.4, dtype),
        clamped=jnp.asarray(False),
        extrapolated=jnp.asarray(False),
        conditions=(Condition(jnp.asarray(valid), "for this test"),),
    )


@each
def test_name_is_the_key(case):
    # Records hold the numbers of all sets side by side.
    assert case.assumptions.name == case.name
    assert [c.name for c in CASES.values()].count(case.name) == 1


@each
def test_encoding(case, dtype):
    encoding = case.assumptions.encode(_estimate(dtype=dtype))
    assert float(encoding.condition_number) == pytest.approx(case.kappa, rel=1e-4)
    assert float(encoding.subnormalisation) == pytest.approx(case.subnormalisation, rel=1e-4)
    assert float(encoding.subnormalisation) >= 1
    assert (encoding.condition_number.shape, encoding.subnormalisation.shape) == ((), ())
    assert encoding.condition_number.dtype == encoding.subnormalisation.dtype == dtype


@each
@pytest.mark.parametrize("scale", [1e-15, 1e-3, 1e3, 1e15])
def test_encoding_does_not_depend_on_the_scale(case, scale, dtype):
    # alpha once: cost(A) = cost(1000 A).
    encoding = case.assumptions.encode(_estimate(scale, dtype))
    product = float(encoding.condition_number) * float(encoding.subnormalisation)
    assert product == pytest.approx(case.kappa * case.subnormalisation, rel=1e-4)


@each
def test_singular_system_ends_infinite(case):
    estimate = Exact()(System.of(jnp.zeros((3, 3)), symmetric=True))
    workload = jennings2023v1(case.assumptions.encode(estimate), 1e-2)
    assert not workload.valid
    assert case.assumptions.seconds(workload, QuantumMachine()) == math.inf


@each
def test_seconds(case, dtype):
    seconds = case.assumptions.seconds(_workload(1000, dtype=dtype), QuantumMachine(gate_time_s=1e-9))
    assert float(seconds) == pytest.approx(case.seconds, rel=1e-6)
    assert (seconds.shape, seconds.dtype) == ((), dtype)


@each
@pytest.mark.parametrize("queries", [1000.0, 0.0, math.inf, math.nan])
def test_invalid_workload_takes_forever(case, queries):
    assert case.assumptions.seconds(_workload(queries, valid=False), QuantumMachine()) == math.inf


@each
@hypothesis.given(
    queries=st.floats(0, 20).map(lambda e: 10**e),
    gate_time=st.floats(-18, -3).map(lambda e: 10**e),
    factor=st.floats(1.01, 100),
)
def test_more_queries_and_slower_gates_take_longer(case, queries, gate_time, factor):
    def seconds(queries, gate_time):
        found = case.assumptions.seconds(_workload(queries), QuantumMachine(gate_time_s=gate_time))
        assert 0 < float(found) < math.inf
        return float(found)

    base = seconds(queries, gate_time)
    assert seconds(queries * factor, gate_time) > base
    assert seconds(queries, gate_time * factor) > base


@each
def test_works_under_jit(case):
    def run(queries, valid):
        return case.assumptions.seconds(_workload(queries, valid), QuantumMachine(gate_time_s=1e-9))

    assert float(jax.jit(run)(1000.0, True)) == pytest.approx(case.seconds, rel=1e-6)
    assert float(jax.jit(run)(1000.0, False)) == math.inf


@hypothesis.given(queries=st.floats(0, 12).map(lambda e: 10**e), gate_time=st.floats(-18, -3).map(lambda e: 10**e))
def test_paper_charges_queries_times_the_gate_time_and_nothing_else(queries, gate_time):
    seconds = Paper().seconds(_workload(queries), QuantumMachine(gate_time_s=gate_time))
    assert float(seconds) == pytest.approx(queries * gate_time, rel=1e-6)


def test_paper_takes_the_estimate_as_it_is():
    estimate = _estimate()
    encoding = Paper().encode(estimate)
    assert encoding == Encoding(estimate.condition_number, jnp.ones(()))
    assert float(encoding.subnormalisation) == 1


@pytest.mark.parametrize("gate_time", [0.0, -1e-9, math.inf, math.nan])
def test_gate_time_must_be_positive_and_finite(gate_time):
    with pytest.raises(ValueError, match=rf"gate_time_s is {gate_time}: it must be a positive number of seconds"):
        QuantumMachine(gate_time_s=gate_time)


def test_gate_time_may_be_an_attosecond():
    assert QuantumMachine(gate_time_s=1e-18).gate_time_s == 1e-18
    assert np.isfinite(QuantumMachine().gate_time_s)

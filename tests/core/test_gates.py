"""Costs of circuits: one after another, repeated, and where they do not hold."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qnewton._core.conditions import settle
from qnewton._core.gates import GateCost


def gates(holds: Any = True, words="a thing", t_count=10.0, t_depth=3.0, qubits=5.0) -> GateCost:
    return GateCost.under([(holds, words)], t_count=t_count, t_depth=t_depth, qubits=qubits)


def test_a_circuit_without_t_gates_still_takes_a_layer():
    free = gates(t_count=0.0, t_depth=0.0)
    assert (free.t_count, free.t_depth) == (0, 1)


def test_one_after_another():
    both = gates() + gates(words="another", t_count=1.0, t_depth=1.0, qubits=7.0)
    assert (both.t_count, both.t_depth, both.qubits) == (11, 4, 7)
    assert both.valid
    assert both.validity == "needs a thing, a count inside the floating-point range, another"


def test_one_that_does_not_hold_spoils_the_sum():
    both = gates(np.asarray([True, False])) + gates(words="another").times(2.0)
    assert both.valid.tolist() == [True, False]
    assert both.t_count.tolist() == [30, math.inf]
    assert both.reason((0,)) == ""
    assert both.reason((1,)).startswith("needs a thing")


@pytest.mark.parametrize(("times", "count", "depth"), [(0.0, 0, 0), (2.5, 25, 7.5)])
def test_repeated(times, count, depth):
    many = gates().times(times)
    assert (many.t_count, many.t_depth, many.qubits) == (count, depth, 5)
    assert many.valid


@pytest.mark.parametrize("times", [-1.0, math.nan, math.inf])
def test_repeated_no_number_of_times(times):
    many = gates().times(times)
    assert not many.valid
    assert many.t_count == math.inf
    assert many.reason()


def test_overflow_is_a_reason():
    many = gates(t_count=1e300).times(np.asarray([1.0, 1e10]))
    assert many.valid.tolist() == [True, False]
    assert many.reason((1,)) == "needs a count inside the floating-point range"


def test_traced_demands_with_constant_numbers():
    valid = jax.jit(lambda holds: gates(holds).t_count)
    assert valid(jnp.asarray(True)) == 10
    assert valid(jnp.asarray(False)) == jnp.inf


def test_settle_gives_one_shape():
    conditions, (a, b) = settle([(np.ones((3, 1), bool), "x")], np.ones(2), 1.0)
    assert a.shape == b.shape == (3, 2)
    assert all(condition.holds.shape == (3, 2) for condition in conditions)

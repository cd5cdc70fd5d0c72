"""Seconds over the gate time: a line through the fixed part, and where it crosses the classical seconds."""

import numpy as np
import pytest

from qnewton._pricing.gate_times import at_gate_time, break_even_gate_time


def test_seconds_are_a_fixed_part_and_a_number_of_gates():
    # 7 s of loading and 4e9 gates, at 1 ns each.
    seconds, fixed = 7.0 + 4e9 * 1e-9, 7.0
    assert at_gate_time(seconds, fixed, 1e-9, 1e-9) == pytest.approx(seconds, rel=1e-15)
    assert at_gate_time(seconds, fixed, 1e-9, 5e-9) == pytest.approx(7 + 20)
    assert at_gate_time(seconds, fixed, 1e-9, 0.0) == fixed
    assert at_gate_time(np.inf, fixed, 1e-9, 1e-18) == np.inf


def test_at_the_break_even_gate_time_both_take_as_long():
    rng = np.random.default_rng(0)
    fixed, gates, classical = rng.uniform(0, 1, 50), 10 ** rng.uniform(3, 9, 50), rng.uniform(0, 2, 50)
    seconds = fixed + gates * 1e-9
    even = break_even_gate_time(classical, seconds, fixed, 1e-9)
    wins = classical > fixed
    assert wins.any()
    np.testing.assert_allclose(at_gate_time(seconds, fixed, 1e-9, even)[wins], classical[wins], rtol=1e-12)
    # No gate is fast enough where what no clock scales takes longer already.
    assert (even[~wins] == 0).all()
    assert break_even_gate_time(1.0, np.inf, 0.0, 1e-9) == 0
    assert break_even_gate_time(np.inf, 1.0, 0.0, 1e-9) == np.inf

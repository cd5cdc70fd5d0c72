"""Amplification against the sums and the search that define it."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qnewton._solvers.quantum.emulated.amplification import KnownAmplitude
from qnewton._solvers.quantum.queries.amplification import amplify_known, amplify_unknown, postselect, rotations


def _schedule(p, p0):
    """The defining sum, stage by stage."""
    theta, total, reached, k = math.asin(math.sqrt(p)), 0.0, 1.0, 1
    while reached > 1e-17:
        m = math.floor(min(1.2 ** min(k, 1000), 1 / math.sqrt(p0)))
        total += m * reached
        reached *= 0.5 + math.sin(4 * (m + 1) * theta) / (4 * (m + 1) * math.sin(2 * theta))
        k += 1
    return total


@pytest.mark.parametrize(
    ("p", "p0", "expected"), [(0.25, 0.01, 1.754959), (1e-3, 1e-4, 73.90072), (0.01, 1e-3, 16.45526)]
)
def test_golden(p, p0, expected):
    assert float(amplify_unknown(math.sqrt(p), math.sqrt(p0))) == pytest.approx(expected, rel=3e-7)


@pytest.mark.parametrize("ratio", [1.0, 0.3, 1e-2, 1e-6])
def test_the_schedule_is_its_sum(ratio):
    p = np.concatenate([np.geomspace(1e-20, 1e-3, 18), np.linspace(1e-3, 0.999, 23)])
    expected = [_schedule(one, one * ratio) for one in p]
    found = amplify_unknown(np.sqrt(p), np.sqrt(p * ratio))
    np.testing.assert_allclose(found, expected, rtol=2e-8)


def test_an_amplitude_below_its_bound_repeats_the_longest_stage():
    for p, p0 in ((1e-6, 1e-3), (1e-5, 3e-2)):
        assert float(amplify_unknown(math.sqrt(p), math.sqrt(p0))) == pytest.approx(_schedule(p, p0), rel=1e-6)


def test_a_known_amplitude_is_coherent_for_its_own_number_of_steps():
    amplitude = np.sin([0.01, 0.1, 0.3, 1.2])
    attempts = KnownAmplitude().attempts(amplitude, amplitude)
    steps = (np.asarray(attempts.coherent) - 1) / 2
    np.testing.assert_array_equal(steps, np.round(steps))
    # As many turns as succeed as often as is said, the last one no further than a right angle.
    turned = np.minimum((2 * steps + 1) * np.arcsin(amplitude), math.pi / 2)
    np.testing.assert_allclose(attempts.applications, (2 * steps + 1) / np.sin(turned) ** 2, rtol=1e-6)


def test_tiny_amplitudes_scale():
    # Below 1e-12 steps are no longer rounded: n grows exactly like 1 / a along powers of 1.2.
    amplitude = 1e-11
    base = float(amplify_unknown(amplitude, amplitude))
    for power in (50, 1000, 3000):
        smaller = amplitude / 1.2**power
        assert float(amplify_unknown(smaller, smaller)) / base == pytest.approx(1.2**power, rel=1e-7)


def test_certain_success_takes_one_application():
    assert float(amplify_unknown(1.0, 0.1)) == 1
    cost, success = amplify_known(1.0)
    assert (float(cost), float(success)) == (1, 1)
    assert float(postselect(1.0)) == 1


def test_a_schedule_against_a_drawn_one():
    # Drawn: stages of j steps, j uniform up to m, 2 j + 1 applications each. The sum counts m instead of m + 1.
    p, rng = 0.004, np.random.default_rng(0)
    theta = math.asin(math.sqrt(p))
    drawn = []
    for _ in range(4000):
        spent, k = 0, 1
        while True:
            m = math.floor(min(1.2**k, 1 / math.sqrt(p)))
            steps = rng.integers(m + 1)
            spent += 2 * steps + 1 - 1
            if rng.random() < math.sin((2 * steps + 1) * theta) ** 2:
                break
            k += 1
        drawn.append(spent)
    spread = np.std(drawn) / math.sqrt(len(drawn))
    assert float(amplify_unknown(math.sqrt(p), math.sqrt(p))) == pytest.approx(np.mean(drawn), abs=float(4 * spread))


def test_a_known_amplitude_takes_the_best_number_of_steps():
    amplitude = np.sin(np.concatenate([np.geomspace(1e-3, 0.1, 40), np.linspace(0.1, math.pi / 2, 60)]))
    cost, success = amplify_known(amplitude)
    angle = np.arcsin(amplitude)
    attempts = 2 * np.arange(1000)[:, None] + 1
    all_costs = attempts / np.sin(attempts * angle) ** 2
    # The exact last step may only help.
    assert (cost <= all_costs.min(0) * (1 + 1e-12)).all()
    assert (cost >= 0.94 * all_costs.min(0)).all()
    assert ((success > 0.5) | (amplitude > 0.57)).all()
    assert (cost <= postselect(amplitude**2) * (1 + 1e-12)).all()
    # A larger amplitude never costs more.
    assert (np.diff(cost) <= 1e-9 * cost[1:]).all()


def test_the_published_number_of_rotations():
    amplitude = 0.01
    steps = int(rotations(amplitude))
    assert steps == 78
    published = (2 * steps + 1) / math.sin((2 * steps + 1) * math.asin(amplitude)) ** 2
    cost, _ = amplify_known(amplitude)
    assert 0.8 * published < float(cost) <= published
    # tan(x) = 2 x: 1.38 / a applications.
    assert float(cost) * amplitude == pytest.approx(1.38, abs=5e-3)


def test_float32_under_jit():
    amplitude = np.geomspace(1e-8, 0.9, 50)
    found = jax.jit(amplify_unknown)(jnp.asarray(amplitude), jnp.asarray(amplitude))
    np.testing.assert_allclose(found, amplify_unknown(amplitude, amplitude), rtol=2e-2)

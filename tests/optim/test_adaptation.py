"""The rules that turn a step's outcome into the next step's damping."""

import functools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qnewton as q

# One row per rule and setting.
RULES = {
    "fixed": q.Fixed(),
    "levenberg-marquardt": q.LevenbergMarquardt(),
    "levenberg-marquardt, all set": q.LevenbergMarquardt(
        damping=2.0, shrink=0.1, grow=10.0, good=0.9, poor=0.1, smallest=0.5, largest=50.0
    ),
}
RATIOS = [-np.inf, -1.0, 0.0, 1e-30, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0, 1e30, np.inf, np.nan]


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
class TestContract:
    def test_starts_at_a_positive_scale(self, rule):
        assert 0 < rule.initial() < np.inf

    def test_the_scale_stays_positive_finite_and_of_its_dtype(self, rule, dtype):
        adapt = jax.jit(rule.adapt)
        for start in (rule.initial(), 1e-3, 1e6):
            for ratio in RATIOS:
                scale = adapt(jnp.asarray(start, dtype), jnp.asarray(ratio, dtype))
                assert scale.dtype == dtype
                assert scale.shape == ()
                assert 0 < float(scale) < np.inf

    def test_a_worse_step_is_never_damped_less(self, rule):
        scale = jnp.asarray(rule.initial(), jnp.float32)
        scales = [float(rule.adapt(scale, jnp.float32(ratio))) for ratio in RATIOS[:-1]]
        assert scales == sorted(scales, reverse=True)
        # Not to know is as bad as it gets.
        assert float(rule.adapt(scale, jnp.float32(np.nan))) == scales[0]

    def test_accepts_every_decrease_and_says_yes_or_no(self, rule):
        for decrease in (1e-30, 1.0, np.inf):
            accepted = jax.jit(rule.accept)(jnp.float32(decrease))
            assert accepted.dtype == bool
            assert bool(accepted)

    def test_refuses_only_what_it_tries(self, rule):
        for decrease in (-1.0, -np.inf, np.nan):
            assert bool(rule.accept(jnp.float32(decrease))) is not rule.tries

    def test_is_a_constant_of_a_compiled_function(self, rule):
        assert hash(rule) == hash(rule)
        assert not jax.tree.leaves(rule)


def test_fixed_changes_nothing():
    for ratio in RATIOS:
        assert float(q.Fixed().adapt(jnp.float32(3.0), jnp.float32(ratio))) == 3.0


# Ratio to factor, for shrink 0.5, grow 3, good 0.75, poor 0.25.
FACTORS = {
    1.0: 0.5,
    0.7501: 0.5,
    0.75: 1.0,
    0.5: 1.0,
    0.25: 1.0,
    0.2499: 3.0,
    1e-6: 3.0,
    0.0: 9.0,
    -0.5: 9.0,
    np.nan: 9.0,
    -np.inf: 9.0,
    np.inf: 0.5,
}


@pytest.mark.parametrize(("ratio", "factor"), FACTORS.items(), ids=map(str, FACTORS))
def test_levenberg_marquardt_by_hand(ratio, factor):
    rule = q.LevenbergMarquardt(shrink=0.5, grow=3.0, good=0.75, poor=0.25, smallest=1e-3, largest=1e3)
    assert float(rule.adapt(jnp.float32(2.0), jnp.float32(ratio))) == pytest.approx(2.0 * factor, rel=1e-6)


@functools.cache
def clamped():
    return jax.jit(q.LevenbergMarquardt(smallest=0.5, largest=4.0).adapt)


@hypothesis.given(st.floats(0.5, 4.0), st.lists(st.floats(-2, 2), min_size=1, max_size=8))
def test_no_history_leaves_the_limits(scale, ratios):
    value = jnp.float32(scale)
    for ratio in ratios:
        value = clamped()(value, jnp.float32(ratio))
        assert 0.5 <= float(value) <= 4.0


BAD = {
    "start 0": {"damping": 0.0, "smallest": 0.0},
    "smallest negative": {"smallest": -1.0},
    "start below smallest": {"damping": 0.1, "smallest": 0.2},
    "start above largest": {"damping": 10.0, "largest": 5.0},
    "start NaN": {"damping": float("nan")},
    "shrink 0": {"shrink": 0.0},
    "shrink 1": {"shrink": 1.0},
    "shrink negative": {"shrink": -0.5},
    "grow 1": {"grow": 1.0},
    "grow below 1": {"grow": 0.5},
    "grow NaN": {"grow": float("nan")},
    "poor above good": {"poor": 0.8, "good": 0.2},
    "poor equals good": {"poor": 0.5, "good": 0.5},
}


@pytest.mark.parametrize("arguments", BAD.values(), ids=BAD.keys())
def test_bad_settings_are_refused_with_the_rule_they_break(arguments):
    with pytest.raises(ValueError, match=r"smallest <= damping <= largest|0 < shrink < 1 < grow") as caught:
        q.LevenbergMarquardt(**arguments)
    assert all(str(value) in str(caught.value) for value in arguments.values())


def test_the_lower_limit_is_the_rounding_of_a_factorisation_unless_it_is_given():
    free, given = q.LevenbergMarquardt(), q.LevenbergMarquardt(smallest=1e-3)
    for dtype, eps in (("float32", 2.0**-23), ("float64", 2.0**-52)):
        assert free.least(50, jnp.dtype(dtype)) == 50 * eps
        assert given.least(50, jnp.dtype(dtype)) == 1e-3
    small = jnp.float32(1e-7)
    kept = free.after_solves(small, small, jnp.zeros(2, bool), [3, 50])
    assert float(kept) == pytest.approx(50 * 2.0**-23)
    each = free.after_solves(jnp.full(2, small), jnp.full(2, small), jnp.zeros(2, bool), [3, 50])
    np.testing.assert_allclose(each, [3 * 2.0**-23, 50 * 2.0**-23])


def test_a_solve_that_failed_raises_the_damping_whatever_its_gradient_gained():
    rule = q.LevenbergMarquardt(shrink=0.5, grow=3.0)
    failed = jnp.array([False, True])
    assert float(rule.after_solves(jnp.float32(2), jnp.float32(1), failed, [4, 4])) == 18
    each = rule.after_solves(jnp.full(2, 2.0), jnp.full(2, 1.0), failed, [4, 4])
    np.testing.assert_array_equal(each, [1, 18])
    assert float(rule.after_solves(jnp.float32(2), jnp.float32(1), jnp.zeros(2, bool), [4, 4])) == 1

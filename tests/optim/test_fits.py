"""Fits of few parameters: certified values, scipy's Levenberg-Marquardt, and the same fit in other units."""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

import qnewton as qn

# optax's types do not know which state comes back.
newton: Any = qn.newton
dual_newton: Any = qn.dual_newton

# NIST's nonlinear regressions (Statistical Reference Datasets): both published starts, and eleven certified digits.
REGRESSIONS = json.loads((Path(__file__).parent / "regressions.json").read_text(encoding="utf-8"))
MODELS = {
    "Misra1a": lambda b, x: b[0] * (1 - jnp.exp(-b[1] * x)),
    "Eckerle4": lambda b, x: b[0] / b[1] * jnp.exp(-(((x - b[2]) / b[1]) ** 2) / 2),
    "Thurber": lambda b, x: (b[0] + x * (b[1] + x * (b[2] + x * b[3]))) / (1 + x * (b[4] + x * (b[5] + x * b[6]))),
    "MGH09": lambda b, x: b[0] * (x**2 + x * b[1]) / (x**2 + x * b[2] + b[3]),
}
PUROMYCIN = (
    np.array([0.02, 0.02, 0.06, 0.06, 0.11, 0.11, 0.22, 0.22, 0.56, 0.56, 1.1, 1.1]),
    np.array([76.0, 47, 97, 107, 123, 139, 159, 152, 191, 201, 207, 200]),
)


def squares(outputs: Any, targets: Any) -> Any:
    return (outputs - targets) ** 2


def trained(optimizer: Any, objective: qn.Objective, steps: int) -> Any:
    """`(params, batch)` to the last parameters, the last state and all losses, in one compiled program."""

    @jax.jit
    def run(params: Any, batch: Any) -> Any:
        def step(carry: Any, _: None) -> Any:
            params, state = carry
            updates, state = optimizer.update(jax.grad(objective)(params, batch), state, params, batch=batch)
            params = optax.apply_updates(params, updates)
            return (params, state), objective(params, batch)

        (params, state), losses = jax.lax.scan(step, (params, optimizer.init(params)), None, length=steps)
        return params, state, losses

    return run


FITTERS = {
    "newton": lambda objective: newton(objective, solver=qn.Cholesky()),
    "dual_newton": dual_newton,
    "radius": lambda objective: newton(
        objective,
        metric=qn.Marquardt(sizes=0),
        conditioning=[qn.Damp(1e-13)],
        solver=qn.Cholesky(),
        step=qn.TrustRegion(factor=100.0),
    ),
}


@pytest.mark.parametrize(
    ("name", "fitter", "steps"),
    [
        *((name, "dual_newton", 80) for name in MODELS),
        ("Thurber", "newton", 60),
        ("Eckerle4", "newton", 60),
        ("Thurber", "radius", 60),
    ],
)
def test_the_certified_values_are_found_from_both_starts(name, fitter, steps, x64) -> None:
    given, model = REGRESSIONS[name], MODELS[name]
    objective = qn.Objective(model, squares)
    run = trained(FITTERS[fitter](objective), objective, steps)
    batch = jnp.array(given["x"]), jnp.array(given["y"])
    for start in given["starts"]:
        params, _, losses = run(jnp.array(start), batch)
        assert float(losses[-1]) * len(given["x"]) == pytest.approx(given["squares"], rel=1e-8)
        np.testing.assert_allclose(params, given["certified"], rtol=1e-3)


@pytest.mark.parametrize("fitter", ["newton", "dual_newton"])
def test_the_damping_has_no_floor_above_rounding(fitter) -> None:
    """Bates and Watts' puromycin data, whose least mean square is 99.6207, in single precision."""
    objective = qn.Objective(lambda p, x: p["vmax"] * x / (p["km"] + x), squares)
    start = {"vmax": jnp.array(205.0), "km": jnp.array(0.08)}
    batch = tuple(jnp.asarray(array, jnp.float32) for array in PUROMYCIN)
    _, _, losses = trained(FITTERS[fitter](objective), objective, 20)(start, batch)
    assert float(losses[-1]) == pytest.approx(99.6207, rel=2e-6)


@pytest.mark.parametrize("fitter", ["newton", "dual_newton"])
def test_the_damping_has_no_ceiling_below_what_a_far_start_needs(fitter, x64) -> None:
    """An amplitude that starts 1e7 times too small: the full step would send the rate that far, too."""
    x = jnp.linspace(0, 5, 30)
    objective = qn.Objective(lambda p, x: p[0] * jnp.exp(-p[1] * x), squares)
    batch = (x, 2e7 * jnp.exp(-0.7 * x))
    params, _, _ = trained(FITTERS[fitter](objective), objective, 120)(jnp.ones(2), batch)
    np.testing.assert_allclose(params, [2e7, 0.7], rtol=1e-9)


UNITS = [(1.0, 1.0), (1e-9, 1.0), (1e6, 1e-3), (1e-12, 1e9)]


def decay(p: Any, given: Any) -> Any:
    """`p_0 exp(p_1 x) + p_2`, every parameter over its unit, which comes with the example."""
    x, unit = given
    a, b, c = (p[k] / unit[:, k] for k in range(3))
    return a * jnp.exp(b * x) + c


@functools.cache
def decay_data() -> tuple[np.ndarray, np.ndarray]:
    x = np.linspace(0.1, 5, 20)
    return x, np.exp(-0.6 * x) + 0.2 + 0.01 * np.random.default_rng(3).standard_normal(20)


@pytest.mark.parametrize("fitter", ["newton", "dual_newton"])
def test_mixed_units_reach_what_scipy_reaches(fitter, x64) -> None:
    x, y = decay_data()
    best = least_squares(
        lambda p: p[0] * np.exp(p[1] * x) + p[2] - y, [0.5, -0.1, 0.1], method="lm", x_scale="jac", xtol=1e-14
    )
    objective = qn.Objective(decay, squares)
    run = trained(FITTERS[fitter](objective), objective, 40)
    for one, two in UNITS:
        unit = np.array([one, two, 1 / two])
        batch = (jnp.array(x), jnp.tile(jnp.array(unit), (20, 1))), jnp.array(y)
        params, _, losses = run(jnp.array([0.5, -0.1, 0.1]) * unit, batch)
        assert float(losses[-1]) == pytest.approx(2 * best.cost / 20, rel=1e-9)
        np.testing.assert_allclose(np.asarray(params) / unit, best.x, rtol=1e-5)


def tensors(p: Any, given: Any) -> Any:
    return decay(jnp.concatenate([p["curve"], p["floor"][None]]), given)


CASES: dict[str, tuple[Any, str]] = {
    "newton": (lambda o, hybrid: newton(o, solver=qn.Cholesky()), "float64"),
    "newton, Hybrid": (lambda o, hybrid: newton(o, solver=hybrid), "float32"),
    "newton, CG per tensor": (
        lambda o, hybrid: newton(o, solver=qn.CG(rtol=1e-4), partition=qn.per_tensor, warm_start=True),
        "float64",
    ),
    "newton, each block its damping": (
        lambda o, hybrid: newton(
            o, solver=qn.Cholesky(), partition=qn.per_tensor, adaptation=qn.LevenbergMarquardt(per_block=True)
        ),
        "float32",
    ),
    "newton, quadratic model": (
        lambda o, hybrid: newton(
            o, solver=qn.Cholesky(), metric=qn.Marquardt(), conditioning=[qn.Shift(1.0)], step=qn.QuadraticModel()
        ),
        "float64",
    ),
    "newton, radius": (lambda o, hybrid: FITTERS["radius"](o), "float64"),
    "dual_newton": (lambda o, hybrid: dual_newton(o), "float32"),
}


@pytest.mark.parametrize("name", CASES)
def test_powers_of_two_give_the_same_fit(name, hybrid_of) -> None:
    """Metamorphic: parameters in other units, losses the same in every step."""
    make, dtype = CASES[name]
    with jax.enable_x64(dtype == "float64"):
        x, y = (jnp.asarray(array, dtype) for array in decay_data())
        objective = qn.Objective(tensors, squares)
        run = trained(make(objective, hybrid_of(dtype)), objective, 8)

        def losses(powers: Any) -> np.ndarray:
            unit = 2.0 ** jnp.asarray(powers, dtype)
            start = jnp.array([0.5, -0.1, 0.1], dtype) * unit
            batch = (x, jnp.tile(unit, (20, 1))), y
            return np.asarray(run({"curve": start[:2], "floor": start[2]}, batch)[2])

        plain = losses([0, 0, 0])
        assert plain[-1] < 0.5 * plain[0]

        @settings(max_examples=5)
        @given(st.lists(st.integers(-30, 30), min_size=3, max_size=3))
        def check(powers: list[int]) -> None:
            np.testing.assert_allclose(losses(powers), plain, rtol=1e-5 if dtype == "float32" else 1e-10)

        check()


def test_a_penalty_moves_with_a_common_unit(x64) -> None:
    x, y = decay_data()
    plain = None
    for power in (0, 12, -20):
        unit = 2.0**power
        objective = qn.Objective(decay, squares, l2=1e-3 / unit**2)
        run = trained(newton(objective, solver=qn.Cholesky()), objective, 8)
        batch = (jnp.array(x), jnp.full((20, 3), unit)), jnp.array(y)
        losses = run(jnp.array([0.5, -0.1, 0.1]) * unit, batch)[2]
        plain = losses if plain is None else plain
        np.testing.assert_allclose(losses, plain, rtol=1e-12)


@pytest.mark.parametrize("fitter", FITTERS)
def test_a_parameter_without_influence_stays_and_comes_alive(fitter) -> None:
    objective = qn.Objective(lambda p, given: p[0] * given[0] + p[1] * given[1], squares)
    x = jnp.linspace(1.0, 2.0, 8)
    run = trained(FITTERS[fitter](objective), objective, 4)
    for start in (0.7, 0.0):
        params, state, losses = run(jnp.array([0.1, start]), ((x, jnp.zeros(8)), 2 * x))
        assert float(params[1]) == float(np.float32(start))
        assert float(losses[-1]) < 0.01 * float(jnp.mean((2 * x) ** 2))
        assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(params))
        optimizer, batch = FITTERS[fitter](objective), ((x, x**2), 2 * x - x**2)

        @jax.jit
        def step(params: Any, state: Any, optimizer=optimizer, batch=batch) -> Any:
            updates, state = optimizer.update(jax.grad(objective)(params, batch), state, params, batch=batch)
            return optax.apply_updates(params, updates), state

        for _ in range(12):
            params, state = step(params, state)
        np.testing.assert_allclose(params, [2, -1], atol=2e-2)


@pytest.mark.parametrize(("parameters", "conditioning"), [(101, None), (100, [qn.Damp(0.5)])])
def test_networks_and_chosen_conditioning_are_damped_by_the_identity(parameters, conditioning) -> None:
    objective = qn.Objective(lambda p, x: x @ p, squares)
    for rows, count in ((0, parameters), (1, 100)):
        options = {} if conditioning is None or rows else {"conditioning": conditioning}
        state = newton(objective, solver=qn.Cholesky(), **options).init(jnp.zeros(count))
        assert len(state.metrics) == rows
    assert dual_newton(objective).init(jnp.zeros(101)).metric is None
    assert dual_newton(objective).init(jnp.zeros(100)).metric.shape == (2, 100)


def test_the_first_radius_is_a_multiple_of_the_parameters(x64) -> None:
    x, y = (jnp.array(array) for array in PUROMYCIN)
    objective = qn.Objective(lambda p, x: p[0] * x / (p[1] + x), squares)
    start = np.array([205.0, 0.08])
    jacobian = np.stack([x / (start[1] + x), -start[0] * x / (start[1] + x) ** 2], axis=1)
    # D from the Gauss-Newton matrix of a mean of squares, 2 J^T J / N.
    length = np.linalg.norm(np.sqrt(2 * np.mean(jacobian**2, axis=0)) * start)
    small = qn.TrustRegion(factor=1e-3)
    for rule, expected in ((small, 2 * 1e-3 * length), (qn.TrustRegion(radius=0.5), 1.0)):
        optimizer = newton(
            objective, metric=qn.Marquardt(sizes=0), conditioning=[qn.Damp(1e-9)], solver=qn.Cholesky(), step=rule
        )
        _, state, _ = trained(optimizer, objective, 1)(jnp.array(start), (x, y))
        # On the rim, and predicted well: so it grew.
        assert float(state.radius) == pytest.approx(expected, rel=1e-6)


def test_a_start_at_zero_has_no_radius(x64) -> None:
    x = jnp.linspace(0.0, 1.0, 9)
    objective = qn.Objective(lambda p, x: p[0] + p[1] * x, squares)
    params, state, _ = trained(FITTERS["radius"](objective), objective, 2)(jnp.zeros(2), (x, 3 - 1e6 * x))
    np.testing.assert_allclose(params, [3, -1e6], rtol=1e-6)
    assert np.isfinite(state.radius)


# The radius that is the default, too.
BOTH = [{"factor": 10.0, "radius": radius} for radius in (1.0, 2.0)]


@pytest.mark.parametrize("options", [{"factor": 0.0}, {"factor": float("inf")}, *BOTH])
def test_a_factor_that_is_none_or_stands_beside_a_radius_is_refused(options) -> None:
    with pytest.raises(ValueError, match="factor is"):
        qn.TrustRegion(**options)


def test_the_first_radius_is_one_unless_a_factor_sets_it() -> None:
    assert qn.TrustRegion() == qn.TrustRegion(radius=1.0)
    set_by_factor = qn.TrustRegion(factor=10.0)
    assert set_by_factor.radius == np.inf
    # Other options can be replaced in it.
    assert dataclasses.replace(set_by_factor, grow=3.0) == qn.TrustRegion(factor=10.0, grow=3.0)

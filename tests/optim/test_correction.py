"""The outer correction and its certificate, on systems whose answers numpy knows; and what `newton` makes of both."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qnewton as q
from qnewton._conditioning import condition, preset
from qnewton._core.layout import Layout, Piece
from qnewton._core.records import System
from qnewton._optim.correction import proven_decrease
from qnewton._optim.stages import solve_block
from qnewton.testing import symmetric_with_spectrum

LAYOUT = Layout(12, ((Piece(0, 4, 3),),))
# Each example is a dozen dispatches to jax, and there are many properties.
few = settings(max_examples=10)


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


@functools.cache
def solver_of(name: str, correction: q.Correction | None, solver: lx.AbstractLinearSolver):
    def solve(system: System, gradient: jax.Array):
        conditioned = condition(preset(name, damping=q.Shift(0.0), keep=0.2), system, jnp.ones(()))
        return solve_block(solver, conditioned, gradient, 0.1, None, correction=correction)

    return jax.jit(solve)


LOOSE = jax.jit(lambda system: condition(preset("loose", damping=q.Shift(0.0)), system, jnp.ones(())))


@st.composite
def problems(draw) -> tuple[np.ndarray, np.ndarray, float]:
    """A positive definite matrix, a gradient, and a floor at or below the smallest eigenvalue."""
    values = np.geomspace(1, 10 ** -draw(st.floats(0, 3)), 12)
    matrix = symmetric_with_spectrum(values, seed=draw(st.integers(0, 99)))
    g = np.random.default_rng(draw(st.integers(0, 99))).standard_normal(12) * 10 ** draw(st.floats(-12, 6))
    return matrix, g, values[-1] * draw(st.sampled_from([1.0, 0.5, 1e-3]))


def system_of(matrix: np.ndarray, floor: float) -> System:
    system = System.of(jnp.asarray(matrix), symmetric=True, eigenvalue_floor=jnp.asarray(floor))
    return dataclasses.replace(system, layout=LAYOUT)


def fraction(matrix: np.ndarray, g: np.ndarray, x: np.ndarray) -> float:
    return float((2 * g @ x - x @ matrix @ x) / (g @ np.linalg.solve(matrix, g)))


@pytest.mark.parametrize(
    ("name", "steps"),
    [("loose", None), ("loose", 20), ("matching", 1), ("matching", 20), ("paper", None), ("paper", 20)],
)
@few
@given(problem=problems())
def test_the_certificate_is_never_violated(name: str, steps: int | None, problem) -> None:
    matrix, g, floor = problem
    correction = None if steps is None else q.Correction(max_steps=steps)
    x, info = solver_of(name, correction, lx.LU())(system_of(matrix, floor), jnp.asarray(g))
    attained = fraction(matrix, g, np.asarray(x))
    assert info.proven_decrease <= max(attained, 0) + 1e-9
    if int(info.status) == q.Status.OK:
        residual = np.linalg.norm(g - matrix @ np.asarray(x)) / np.linalg.norm(g)
        np.testing.assert_allclose(info.exact_residual, residual, rtol=1e-6, atol=1e-12)
    else:
        # The gradient stands in for a solve that led nowhere.
        np.testing.assert_array_equal(x, g)
        assert info.proven_decrease == 0
    if steps == 20 and name != "paper":
        # Definite preconditioner and more steps than unknowns.
        assert attained >= 0.99
        assert info.proven_decrease >= 0.99


@few
@given(problem=problems())
def test_more_steps_never_lose_decrease_and_the_first_has_the_best_length(problem) -> None:
    matrix, g, floor = problem
    system = system_of(matrix, floor)
    plain, _ = solver_of("matching", None, lx.LU())(system, jnp.asarray(g))
    one, _ = solver_of("matching", q.Correction(max_steps=1), lx.LU())(system, jnp.asarray(g))
    three, info = solver_of("matching", q.Correction(max_steps=3), lx.LU())(system, jnp.asarray(g))
    x = np.asarray(plain)
    best = g @ x / (x @ matrix @ x) * x
    np.testing.assert_allclose(one, best, rtol=1e-9, atol=1e-12 * np.max(np.abs(best)))
    assert fraction(matrix, g, np.asarray(three)) >= fraction(matrix, g, np.asarray(one)) - 1e-9
    assert info.outer_steps <= 3


@few
@given(problem=problems())
def test_k_steps_meet_the_bound_of_chebyshev_and_kantorovich(problem) -> None:
    """1 - m <= 4 ((sqrt(kappa) - 1) / (sqrt(kappa) + 1))^(2 k) of the pencil, and m >= 4 a b / (a + b)^2 for one."""
    matrix, g, floor = problem
    conditioned = LOOSE(system_of(matrix, floor))
    exact = np.asarray(conditioned.unrepaired.operator.as_matrix())
    values = np.sort(np.linalg.eigvals(np.linalg.solve(np.asarray(conditioned.matrix), exact)).real)
    root = np.sqrt(values[-1] / values[0])
    for steps in (1, 3):
        x, _ = solver_of("loose", q.Correction(1 - 1e-12, steps), lx.LU())(system_of(matrix, floor), jnp.asarray(g))
        missed = 1 - fraction(matrix, g, np.asarray(x))
        assert missed <= 4 * ((root - 1) / (root + 1)) ** (2 * steps) + 1e-9
        if steps == 1:
            assert 1 - missed >= 4 * values[0] * values[-1] / (values[0] + values[-1]) ** 2 - 1e-9


def test_an_inexact_inner_solve_is_forgiven() -> None:
    matrix = symmetric_with_spectrum(np.geomspace(1e-3, 1, 12))
    g = np.random.default_rng(0).standard_normal(12)
    inner = q.CG(rtol=0.05)
    x, info = solver_of("loose", q.Correction(), inner)(system_of(matrix, 1e-3), jnp.asarray(g))
    assert fraction(matrix, g, np.asarray(x)) >= info.proven_decrease >= 0.99


def test_an_indefinite_preconditioner_stops_before_it_does_harm() -> None:
    """The conditioned solution is no direction of descent: the block takes its gradient, and nothing is proven."""
    system = dataclasses.replace(
        System.of(-jnp.eye(12), symmetric=True),
        exact=system_of(np.eye(12), 1.0).unrepaired,
    )
    x, info = solve_block(lx.LU(), system, jnp.ones(12), 0.1, None, correction=q.Correction())
    np.testing.assert_array_equal(x, 1)
    assert int(info.status) == q.Status.NOT_SOLVED
    assert (int(info.outer_steps), float(info.proven_decrease), float(info.exact_residual)) == (1, 0, 1)


def test_without_a_floor_nothing_is_proven() -> None:
    system = System.of(jnp.eye(3), symmetric=True)
    assert proven_decrease(system, jnp.ones(3), jnp.ones(3), jnp.zeros(3)) == 0
    floored = System.of(jnp.eye(3), symmetric=True, eigenvalue_floor=jnp.ones(()))
    assert proven_decrease(floored, jnp.ones(3), jnp.ones(3), jnp.zeros(3)) == 1
    assert proven_decrease(floored, jnp.zeros(3), jnp.zeros(3), jnp.zeros(3)) == 1
    assert proven_decrease(floored, jnp.ones(3), jnp.full(3, jnp.nan), jnp.zeros(3)) == 0


@pytest.mark.parametrize("decrease", [0.0, 1.0, -1.0, float("nan")])
def test_a_fraction_outside_its_range_is_refused(decrease: float) -> None:
    with pytest.raises(ValueError, match=f"decrease is {decrease}: the fraction of the best model decrease"):
        q.Correction(decrease)


@pytest.mark.parametrize(
    ("steps", "error", "rest"),
    [(0, ValueError, "it must be an integer of at least 1"), (1.5, TypeError, "give an integer")],
)
def test_a_number_of_steps_that_is_none_is_refused(steps, error, rest) -> None:
    with pytest.raises(error, match=f"max_steps is {steps}: {rest}"):
        q.Correction(max_steps=steps)


# In a training step --------------------------------------------------------------------------------------------------


def predict(params, x):
    return jnp.tanh(x @ params["w"] + params["b"]) @ params["v"]


PARAMS = {
    "b": np.array([0.1, -0.2, 0.3]),
    "v": np.array([[1.0, 0.5], [-0.5, 0.25], [0.3, 0.8]]),
    "w": np.arange(12.0).reshape(4, 3) / 12 - 0.4,
}
OBJECTIVE = q.Objective(predict, lambda z, y: jnp.sum((z - y) ** 2, axis=1))


@pytest.mark.parametrize(("refresh", "solver"), [(1, None), (2, lx.LU())], ids=["hybrid", "lu"])
def test_newton_takes_conditioned_and_corrected_steps(refresh: int, solver) -> None:
    """The step equals that of the damped system, to what the correction proves; one trace serves all steps."""
    rng = np.random.default_rng(0)
    batch = jnp.asarray(rng.standard_normal((32, 4))), jnp.asarray(rng.standard_normal((32, 2)))
    params = jax.tree.map(jnp.asarray, PARAMS)
    common = {"partition": q.per_layer, "adaptation": q.Fixed(), "refresh": refresh}
    conditioned = q.newton(
        OBJECTIVE,
        conditioning=q.conditioning.preset("matching"),
        correction=q.Correction(1 - 1e-10, 40),
        solver=solver,
        **common,
    )
    exact = q.newton(OBJECTIVE, conditioning=(q.Damp(5e-3),), solver=lx.LU(), **common)
    results, infos = [], []
    for transformation in (conditioned, exact):
        traces = 0

        @jax.jit
        def update(params, state, transformation=transformation):
            nonlocal traces
            traces += 1
            return transformation.update(jax.grad(OBJECTIVE)(params, batch), state, params, batch=batch)

        state = transformation.init(params)
        _, state = update(params, state)
        updates, state = update(params, state)
        assert traces == 1
        assert isinstance(state, q.optim.NewtonState)
        results.append(updates)
        infos.append(state.info)
    assert all(block.proven_decrease > 0.999 for block in infos[0].blocks)
    for a, b in zip(*map(jax.tree.leaves, results), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4 * np.max(np.abs(b)))


def test_a_step_that_means_nothing_says_so() -> None:
    """All entries alike, pruned to the diagonal: the step is twelve times too long, and its residual says so."""
    matrix = np.full((12, 12), 0.999) + 0.001 * np.eye(12)
    conditioned = q.Prune(1e-9)(System.of(jnp.asarray(matrix), symmetric=True), jnp.ones(()))
    _, info = solve_block(lx.LU(), conditioned, jnp.ones(12), 0.1)
    assert info.relative_residual < 1e-12
    assert info.exact_residual > 1

"""The adiabatic walk and the kernel reflection beyond the contract: errors, and queries against what is charged."""

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

from qnewton._core.records import Encoding
from qnewton._solvers import EmulatedReflection, EmulatedWalk
from qnewton._solvers.quantum.emulated import FromSuccess
from qnewton._solvers.quantum.emulated.walk import Walk, _walk
from qnewton._solvers.quantum.encoding import SquareRoot
from qnewton.testing import symmetric_with_spectrum


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


@eqx.filter_jit
def solve(matrix, b, solver, tag=lx.positive_semidefinite_tag):
    solution = lx.linear_solve(lx.MatrixLinearOperator(matrix, tag), b, solver, throw=False)
    return solution.value, solution.result, solution.stats


def _system(n, kappa, seed=0, *, definite=True):
    rng = np.random.default_rng(seed)
    values = np.concatenate([[1 / kappa, 1], rng.uniform(1 / kappa, 1, n - 2)])
    values = values if definite else values * rng.choice([-1, 1], n)
    return values, symmetric_with_spectrum(values, seed), rng.standard_normal(n)


def _error(value, exact):
    return np.linalg.norm(value / np.linalg.norm(value) - exact / np.linalg.norm(exact))


@pytest.mark.parametrize("definite", [True, False])
def test_the_walk_errs_by_about_kappa_over_the_steps(definite):
    # arXiv 2312.07690 v1, 8 x 8, general matrices: 392 steps leave 0.199 at kappa = 50, T error / kappa = 1.56;
    # definite ones less. It is a product of unitaries, so the length stays below 1.
    walk = jax.jit(_walk)
    for steps, low, high in ((392, 0.5, 1.56), (1568, 0.2, 2.0)):
        errors = []
        for seed in range(10):
            values, _, b = _system(8, 50.0, seed, definite=definite)
            b = b / np.linalg.norm(b)
            start = b[None] if definite else np.stack([b, b]) / np.sqrt(2)
            plan = Walk(jnp.asarray(float(steps)), jnp.zeros(()), jnp.asarray(50.0))
            left = np.asarray(walk(plan, jnp.asarray(values), jnp.asarray(start)))
            exact = b / values / np.linalg.norm(b / values)
            assert np.linalg.norm(left) <= 1 + 1e-12
            errors.append(np.linalg.norm(left - (exact[None] if definite else np.stack([exact, exact]) / np.sqrt(2))))
        assert low <= np.sqrt(np.mean(np.square(errors))) * steps / 50 <= high


@pytest.mark.parametrize("solver", [EmulatedWalk(1e-3, definite=True), EmulatedWalk(1e-3)], ids=["definite", "general"])
def test_the_walk_executes_what_is_charged(solver):
    _, matrix, b = _system(10, 30.0)
    value, result, stats = solve(jnp.asarray(matrix), jnp.asarray(b), solver)
    assert result == lx.RESULTS.successful
    assert _error(value, np.linalg.solve(matrix, b)) <= 1e-3
    charged = float(solver.count(Encoding(30.0, 1.0), 1e-3).queries)
    # The constant is a mean: this right-hand side's filter fails a little more or less often.
    assert float(stats["queries"]) == pytest.approx(charged, rel=0.2)


def test_reflection_at_the_right_norm_executes_what_is_charged():
    _, matrix, b = _system(10, 30.0, definite=False)
    exact = np.linalg.solve(matrix, b)
    norm = float(np.linalg.norm(exact) / np.linalg.norm(b))
    solver = EmulatedReflection(1e-4, solution_norm=norm)
    value, result, stats = solve(jnp.asarray(matrix), jnp.asarray(b), solver, lx.symmetric_tag)
    assert result == lx.RESULTS.successful
    assert _error(value, exact) <= 1e-4
    charged = solver.count(Encoding(30.0, 1.0), 1e-4)
    assert float(stats["queries"]) == pytest.approx(float(charged.queries), rel=2e-3)
    # A guess that is three times too large succeeds with sin^2(2 arctan(1 / 3)) = 0.36.
    _, _, off = solve(jnp.asarray(matrix), jnp.asarray(b), EmulatedReflection(1e-4, solution_norm=3 * norm))
    assert float(off["success_probability"]) == pytest.approx(0.36, rel=2e-3)


def test_reflection_without_the_norm_executes_on_average_no_more_than_is_charged():
    _, matrix, b = _system(10, 30.0)
    exact = np.linalg.solve(matrix, b)
    # Every right-hand side draws anew: scaled by rounding alone they are the same system.
    sides = jnp.asarray(b)[None] * (1 + 2.0**-40 * jnp.arange(64))[:, None]
    solver = EmulatedReflection(1e-4)
    values, _, stats = jax.jit(jax.vmap(lambda v: solve(jnp.asarray(matrix), v, solver)))(sides)
    assert max(_error(value, exact) for value in values) <= 1e-4
    charged = float(solver.count(Encoding(30.0, 1.0), 1e-4).queries)
    queries = np.asarray(stats["queries"])
    assert len(np.unique(queries)) > 3
    assert 0.2 * charged <= queries.mean() <= charged


@pytest.mark.parametrize("kind", [EmulatedWalk, EmulatedReflection])
def test_what_does_not_fit_is_refused(kind):
    with pytest.raises(ValueError, match=r"does not tell the solution's length by its success: use length=LineFit\(\)"):
        kind(length=FromSuccess())
    with pytest.raises(ValueError, match=f"{kind.__name__} applies no pseudo-inverse"):
        kind(encoding=SquareRoot(rows=2))


def test_a_definite_walk_needs_the_tag_and_a_norm_is_at_least_one():
    with pytest.raises(ValueError, match=r"known to be positive or negative definite.*definite=False"):
        EmulatedWalk(definite=True).init(lx.MatrixLinearOperator(jnp.eye(2), lx.symmetric_tag), {})
    with pytest.raises(ValueError, match=r"solution_norm is 0\.5"):
        EmulatedReflection(solution_norm=0.5)

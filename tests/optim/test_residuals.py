"""The two residuals of a block's solve, and the tolerance that it is accepted by, against numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qnewton as q
from qnewton._core.records import System
from qnewton._optim.stages import solve_block
from qnewton.testing import symmetric_with_spectrum

N = 12
MATRIX = symmetric_with_spectrum(np.geomspace(0.05, 1, N), seed=4)
GRADIENT = np.random.default_rng(4).standard_normal(N)
# Cut hard, so that the pruned system is another one.
CONDITIONING = (q.Prune(0.3), q.Damp(0.05))


@pytest.fixture(scope="module")
def solved():
    """Step and info of the conditioned system, and what was solved, as numpy has it."""
    with jax.enable_x64(True):
        system = System.of(jnp.asarray(MATRIX), symmetric=True)
        for conditioner in CONDITIONING:
            system = conditioner(system, jnp.ones(()))
        step, info = jax.jit(lambda s, g: solve_block(q.LU(), s, g, 0.1))(system, jnp.asarray(GRADIENT))
    return np.asarray(step), info, np.asarray(system.matrix)


def relative(matrix, step):
    return np.linalg.norm(matrix @ step - GRADIENT) / np.linalg.norm(GRADIENT)


def test_the_exact_residual_is_about_the_system_before_pruning(solved):
    step, info, pruned = solved
    # Damping is in both: what pruning took away is not.
    damping = 0.05 * np.max(np.abs(np.where(pruned == 0, 0, MATRIX)))
    exact = relative(MATRIX + damping * np.eye(N), step)
    assert 0.05 < exact < 10
    assert float(info.exact_residual) == pytest.approx(exact, rel=1e-9)
    assert float(info.relative_residual) == pytest.approx(relative(pruned, step), abs=1e-14)
    assert float(info.relative_residual) < 1e-14
    assert info.status == q.Status.OK


@pytest.mark.parametrize(("factor", "status"), [(0.3, q.Status.NOT_SOLVED), (3.0, q.Status.OK)])
def test_a_step_is_taken_up_to_the_tolerance_and_not_beyond(factor, status):
    """Whatever the solver says of itself: its own claim, 1e-9, is missed by both."""
    with jax.enable_x64(True):
        # One step of conjugate gradients, of which numpy knows the residual.
        length = GRADIENT @ GRADIENT / (GRADIENT @ MATRIX @ GRADIENT)
        residual = relative(MATRIX, length * GRADIENT)
        assert 0.1 < residual < 0.9
        system = System.of(jnp.asarray(MATRIX), symmetric=True, eigenvalue_floor=jnp.asarray(0.01))
        step, info = jax.jit(lambda s, g: solve_block(q.CG(1e-9, max_steps=1), s, g, factor * residual))(
            system, jnp.asarray(GRADIENT)
        )
    assert info.status == status
    assert float(info.relative_residual) == pytest.approx(residual, rel=1e-9)
    taken = length * GRADIENT if status == q.Status.OK else GRADIENT
    np.testing.assert_allclose(step, taken, rtol=1e-9)


@pytest.mark.parametrize("solver", [q.Cholesky(), q.LU(), q.Eigh(), q.CG(1e-4), q.MINRES(1e-4)], ids=lambda s: s.name)
def test_a_block_is_solved_by_the_same_steps_at_every_scale(solver):
    """Solvers take the right-hand side as it is handed over, so that its squares would leave the range."""
    system = System.of(jnp.asarray(MATRIX, "float32"), symmetric=True, eigenvalue_floor=jnp.asarray(0.01, "float32"))
    solve = jax.jit(lambda gradient: solve_block(solver, system, gradient, 0.1))
    gradient = jnp.asarray(GRADIENT, "float32")
    step, info = solve(gradient)
    assert np.linalg.norm(MATRIX @ np.float64(step) - GRADIENT) <= 1e-3 * np.linalg.norm(GRADIENT)
    for scale in (2.0**-100, 2.0**100):
        other, found = solve(gradient * scale)
        np.testing.assert_array_equal(other, step * scale)
        assert (found.status, found.relative_residual, found.proven_decrease) == (
            info.status,
            info.relative_residual,
            info.proven_decrease,
        )

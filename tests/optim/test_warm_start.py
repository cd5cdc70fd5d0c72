"""Iterative solves that start from the block's last solution."""

from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optax
import pytest
from jaxtyping import PyTree

import qnewton as qn

newton: Any = qn.newton

RNG = np.random.default_rng(5)
# Ten of the hundred inputs are ever on, so that the first layer is solved on its support.
X = RNG.standard_normal((60, 100)) * (np.arange(100) % 10 == 0)
Y = RNG.standard_normal((60, 2))
PARAMS = {"a": {"w": RNG.standard_normal((100, 6)) / 3}, "b": {"w": RNG.standard_normal((6, 2))}}
OBJECTIVE = qn.Objective(
    lambda p, x: jnp.tanh(x @ p["a"]["w"]) @ p["b"]["w"], lambda z, y: jnp.sum((z - y) ** 2, axis=-1) / 2, l2=1e-3
)


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def run(steps: int, solver: Any, rate: float = 0.02, **options: Any) -> list[tuple[PyTree, Any]]:
    """The update and the state of every step; a small rate changes the systems slowly."""
    optimizer = newton(OBJECTIVE, rate, solver=solver, conditioning=[qn.Shift(0.1)], adaptation=qn.Fixed(), **options)
    params, batch = jax.tree.map(jnp.asarray, PARAMS), (jnp.asarray(X), jnp.asarray(Y))
    state, history, traces = optimizer.init(params), [], []

    @jax.jit
    def step(params: PyTree, state: Any) -> tuple[PyTree, Any]:
        traces.append(1)
        return optimizer.update(jax.grad(OBJECTIVE)(params, batch), state, params, batch=batch)

    for _ in range(steps):
        updates, state = step(params, state)
        history.append((updates, state))
        params = optax.apply_updates(params, updates)
    assert len(traces) == 1
    return history


CASES = {
    "CG on their support": (qn.CG(rtol=1e-3), qn.per_layer, 0.7),
    "MINRES": (qn.MINRES(rtol=1e-3), qn.whole, 0.7),
    # Takes the guess as it is, and stops by the largest entry.
    "lineax's CG": (lx.CG(rtol=1e-3, atol=1e-3), qn.whole, 0.95),
}


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("solver", "partition", "part"), CASES.values(), ids=CASES)
def test_fewer_iterations_to_the_same_step(solver: Any, partition: Any, part: float) -> None:
    cold, warm = (run(6, solver, partition=partition, warm_start=warm) for warm in (False, True))
    (first, state), (second, warmed) = cold[0], warm[0]
    jax.tree.map(np.testing.assert_array_equal, first, second)
    assert state.starts == ()
    for k in range(len(warmed.info.blocks)):
        later = [sum(int(state.info.blocks[k].iterations) for _, state in history[1:]) for history in (cold, warm)]
        assert 0 < later[1] <= part * later[0], later
    for (plain, _), (update, state) in zip(cold, warm, strict=True):
        assert all(int(block.status) == qn.Status.OK for block in state.info.blocks)
        for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(update), strict=True):
            # Residuals of 1e-3 at a condition number of about 20.
            np.testing.assert_allclose(a, b, rtol=0, atol=0.02 * np.max(np.abs(np.asarray(a))))


@pytest.mark.usefixtures("x64")
def test_the_state_keeps_the_solution_before_clip_and_rate() -> None:
    ((_, plain),) = run(1, qn.CG(rtol=1e-8), rate=0.5, warm_start=True, clip=1e-3)
    ((update, _),) = run(1, qn.CG(rtol=1e-8), rate=1.0)
    (start,) = plain.starts
    np.testing.assert_allclose(start, -np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(update)]))


def test_a_block_that_was_not_solved_starts_cold() -> None:
    """One iteration is not enough, so the direction is the gradient, which is no guess at a solution."""
    history = run(2, qn.CG(rtol=1e-6, max_steps=1), warm_start=True, residual_tolerance=1e-6)
    for _, state in history:
        (block,), (start,) = state.info.blocks, state.starts
        assert int(block.status) == qn.Status.NOT_SOLVED
        np.testing.assert_array_equal(start, 0)


@pytest.mark.parametrize(("solver", "name"), [(None, "Hybrid"), (qn.Cholesky(), "Cholesky"), (qn.Dual(), "Dual")])
def test_a_solver_without_a_first_guess_is_refused(solver: Any, name: str) -> None:
    with pytest.raises(ValueError, match=f"the solver {name} takes no first guess: use CG or MINRES"):
        newton(OBJECTIVE, solver=solver, warm_start=True)

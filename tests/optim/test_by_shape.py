"""Blocks that shapes choose: who solves them is decided by shapes, too, and recorded."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qnewton as q
from qnewton._core.status import Refusal, Status
from qnewton._hardware import KernelTimes
from qnewton._optim.block_newton import block_newton
from qnewton._scheduling.by_shape import expected_iterations
from qnewton._scheduling.families import scheduler_of_blocks, scheduler_of_saddles, scheduler_with

KERNELS = {"cg": 1.0, "cholesky": 1.0, "lu": 1.0, "forming": 1.0, "eigh": 1.0}


def machine(**slower: float) -> q.ClassicalMachine:
    """Seconds of a call or an iteration, whatever the size."""
    return q.ClassicalMachine(
        "test", "float32", tuple((name, KernelTimes(s * 1e-6, 0.0, 0.0)) for name, s in (KERNELS | slower).items())
    )


def coupled() -> tuple[q.Objective, Any, Any]:
    """A network with batch normalisation: no example has outputs of its own."""
    rng = np.random.default_rng(2)
    params = {"w": jnp.asarray(rng.standard_normal((4, 7)) / 2, jnp.float32), "v": jnp.ones((7, 2), jnp.float32) / 7}

    def predict(p: Any, x: Any) -> Any:
        hidden = jnp.tanh(x @ p["w"])
        return (hidden - hidden.mean(0)) / jnp.sqrt(hidden.var(0) + 1e-3) @ p["v"]

    objective = q.Objective(predict, lambda o, t: jnp.sum((o - t) ** 2, axis=-1))
    return objective, params, (jnp.asarray(rng.standard_normal((30, 4)), jnp.float32), jnp.ones((30, 2), jnp.float32))


def stepped(optimizer: Any, objective: q.Objective, params: Any, batch: Any) -> Any:
    state = optimizer.init(params)
    step = jax.jit(lambda s, p: optimizer.update(jax.grad(objective)(p, batch), s, p, batch=batch))
    updates, after = step(state, params)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    return updates, after, step


WINNERS = {"CG": {"cg": 1e-2}, "Cholesky": {"cg": 1e3}, "LU": {"cg": 1e3, "cholesky": 10.0}}


@pytest.mark.parametrize("winner", list(WINNERS))
def test_the_choice_follows_the_machine_and_the_step_is_that_of_the_dense_system(winner):
    objective, params, batch = coupled()
    contest = q.Hybrid(scheduler_of_blocks().solvers, classical=machine(**WINNERS[winner]))
    optimizer: Any = block_newton(objective, metric=q.Levenberg(), contest=contest, residual_tolerance=0.5)
    updates, after, _ = stepped(optimizer, objective, params, batch)
    (plan,) = after.info.systems
    assert plan.name == "block of 42 parameters"
    assert plan.offers.names[int(plan.choice[0])] == winner
    assert not bool(plan.estimated)
    assert float(plan.offers.expected_steps[0]) == pytest.approx(42**0.5)
    # One candidate is traced: conjugate gradients alone have iterations.
    assert (int(after.info.blocks[0].iterations) > 0) == (winner == "CG")
    assert int(after.info.blocks[0].status) == Status.OK

    def outputs(flat: Any) -> Any:
        return objective.outputs({"v": flat[:14].reshape(7, 2), "w": flat[14:].reshape(4, 7)}, batch[0], None).ravel()

    flat = jnp.concatenate([params["v"].ravel(), params["w"].ravel()])
    jacobian = np.asarray(jax.jacobian(outputs)(flat), float)
    matrix = 2 * jacobian.T @ jacobian / 30
    matrix += 0.5 * np.max(np.abs(matrix)) * np.eye(42)
    gradient = jax.grad(objective)(params, batch)
    right = np.concatenate([np.ravel(gradient["v"]), np.ravel(gradient["w"])]).astype(float)
    moved = -np.concatenate([np.ravel(updates["v"]), np.ravel(updates["w"])]).astype(float)
    left = np.linalg.norm(matrix @ moved - right) / np.linalg.norm(right)
    assert left <= (0.1001 if winner == "CG" else 1e-4)


def test_without_memory_for_a_matrix_nobody_forms_one(monkeypatch):
    objective, params, batch = coupled()
    contest = q.Hybrid(scheduler_of_blocks().solvers, classical=machine(cg=1e3))
    monkeypatch.setattr("qnewton._scheduling.by_shape.available_bytes", lambda: 100.0)
    optimizer: Any = block_newton(objective, contest=contest, residual_tolerance=0.5)
    _, after, _ = stepped(optimizer, objective, params, batch)
    (plan,) = after.info.systems
    assert plan.offers.names[int(plan.choice[0])] == "CG"
    assert plan.offers.refusal[0, 1:3].tolist() == [Refusal.NO_MEMORY] * 2


def test_newton_records_who_solves_what_shapes_chose():
    objective, params, batch = coupled()
    # More residuals than parameters, so that it is none of the dual family.
    batch = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf + 0.1]), batch)
    optimizer: Any = q.newton(objective, example=batch)
    _, after, _ = stepped(optimizer, objective, params, batch)
    assert after.info.because == "a fit of squares with at most 100 parameters"
    assert after.info.systems[0].size.tolist()[1] == 2
    straight = q.Objective(lambda p, x: jnp.sum(jnp.tanh(x @ p["w"]) @ p["v"], axis=-1), lambda o, t: o + t[:, 0])
    optimizer = q.newton(straight, example=batch)
    updates, after, _ = stepped(optimizer, straight, params, batch)
    (plan,) = after.info.systems
    assert plan.offers.names == scheduler_of_saddles().names == ("SaddleFree", "QLSA(jennings2023v1)")
    assert plan.offers.names[int(plan.choice[0])] == "SaddleFree"
    assert scheduler_with(plan.offers.names) is scheduler_of_saddles()
    # A descent direction, at a point where the Hessian has eigenvalues of both signs.
    gradient = jax.grad(straight)(params, batch)
    assert sum(jnp.vdot(updates[name], gradient[name]) for name in params) < 0
    with pytest.raises(ValueError, match="no family's own scheduler has the candidates LU"):
        scheduler_with(["LU"])


def test_expected_iterations_are_no_less_than_one():
    assert expected_iterations(1) == 1.0
    assert expected_iterations(400) == 20.0

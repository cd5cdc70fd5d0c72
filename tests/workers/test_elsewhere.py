"""Blocks that leave a compiled step and come back: what crosses, in both float types, and what is made of it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import qnewton as q
from qnewton._scheduling.calibration import rated_once
from qnewton._scheduling.sent import Answered, Crew, Program, Sent

STEPS, EXAMPLES = 3, 8


class Numpy:
    """A crew that solves by numpy, in the callback itself."""

    def __init__(self, changed: Callable[[np.ndarray], Answered | None], calibrations: Any = None):
        self.sent: list[Sent] = []
        self._changed, self.calibrations = changed, calibrations or {}

    def send(self, sent: Sent) -> None:
        self.sent.append(sent._replace(arrays=[np.array(array) for array in sent.arrays]))

    def wait(self, block: int) -> Answered | None:
        sent = next(one for one in reversed(self.sent) if one.block == block)
        matrix, vector = dense(sent), sent.program.system(sent.arrays)[1]
        return self._changed(np.linalg.solve(matrix, vector))


def dense(sent: Sent) -> np.ndarray:
    """The matrix of what was sent: of parts, the products with the unit vectors."""
    block, vector = sent.program.system(sent.arrays)
    return block if isinstance(block, np.ndarray) else np.stack([block.mv(unit) for unit in np.eye(vector.size)], 1)


def answered(value: np.ndarray, age: int = 0) -> Answered:
    return Answered(value, 0, 0.0, 1.0, 0, age)


def model(params: dict, x: jax.Array) -> jax.Array:
    return jnp.tanh(x @ params["first"]) @ params["second"]


def trained(
    dtype: jnp.dtype, crew: Crew | None, solver: q.solvers.AbstractSolver | None = None, **asked: Any
) -> tuple[list[float], list[list[int]]]:
    """Losses, and the status of each block, of a few steps."""
    random = np.random.default_rng(0)
    batch = jnp.asarray(random.normal(size=(EXAMPLES, 4)), dtype), jnp.asarray(random.normal(size=(EXAMPLES, 2)), dtype)
    params = {
        "first": jnp.asarray(random.normal(size=(4, 3)), dtype),
        "second": jnp.asarray(random.normal(size=(3, 2)), dtype),
    }
    objective = q.Objective(model, lambda out, y: jnp.sum((out - y) ** 2, axis=-1))
    given: Any = {"estimator": q.estimators.Exact()} | asked
    hybrid = q.Hybrid([solver or q.LU()], workers=crew, **given)
    optimizer = q.newton(objective, partition=q.per_tensor, solver=hybrid)
    state = optimizer.init(params)

    @jax.jit
    def step(params: dict, state: Any) -> tuple:
        value, gradients = jax.value_and_grad(objective)(params, batch)
        updates, state = optimizer.update(gradients, state, params, batch=batch)
        return optax.apply_updates(params, updates), state, value

    losses, statuses = [], []
    for _ in range(STEPS):
        params, state, value = step(params, state)
        losses.append(float(value))
        statuses.append([int(info.status) for info in state.info.blocks])
    return losses, statuses


def test_what_crosses_keeps_its_width(dtype: jnp.dtype) -> None:
    crew = Numpy(answered)
    found, statuses = trained(dtype, crew)
    alone, _ = trained(dtype, None)
    assert found == pytest.approx(alone, rel=1e-12 if dtype == np.float64 else 1e-5)
    assert statuses == [[q.Status.OK] * 2] * STEPS
    assert [one.name for one in crew.sent[:2]] == ["first", "second"]
    for one in crew.sent:
        matrix, vector = one.arrays[:2]
        assert matrix.dtype == vector.dtype == dtype
        np.testing.assert_array_equal(matrix, matrix.T)
        # What a worker gets is the program that solves it.
        program = Program.unpacked(one.program.packed)
        value, *_ = program.solve(0, [jnp.asarray(array) for array in one.arrays])
        np.testing.assert_allclose(value, np.linalg.solve(matrix, vector), rtol=1e-4 if dtype == np.float32 else 1e-11)
        assert program.key == one.program.key


def test_a_block_travels_in_parts_where_these_are_fewer_bytes(dtype: jnp.dtype) -> None:
    crew, solver = Numpy(answered), q.Cholesky(fallback=True)
    found, statuses = trained(dtype, crew, solver, estimator=q.estimators.Automatic())
    alone, _ = trained(dtype, None, solver, estimator=q.estimators.Automatic())
    assert found == pytest.approx(alone, rel=1e-11 if dtype == np.float64 else 1e-5)
    assert statuses == [[q.Status.OK] * 2] * STEPS
    first, second = crew.sent[:2]
    # 4 inputs and 3 outputs: a matrix of 12 rows, or 4 + 3 * 3 numbers of each example.
    assert isinstance(first.arrays[0], np.ndarray)
    assert sorted(array.size for array in first.arrays)[-2:] == sorted([EXAMPLES * 4, EXAMPLES * 9])
    # 3 inputs and 2 outputs: a matrix of 6 rows is less.
    assert second.arrays[0].shape == (6, 6)
    for one in (first, second):
        vector = one.program.system(one.arrays)[1]
        right = np.linalg.solve(dense(one), vector)
        assert one.residual(right) < 1e-4
        assert one.residual(2 * right) == pytest.approx(1.0, rel=1e-3)
        # What a worker gets is the program that forms and solves it.
        value, *_ = Program.unpacked(one.program.packed).solve(0, [jnp.asarray(array) for array in one.arrays])
        np.testing.assert_allclose(value, right, rtol=1e-3 if dtype == np.float32 else 1e-10)


def test_each_worker_is_priced_by_its_own_machine() -> None:
    solvers = (q.Cholesky(fallback=True),)
    machine = rated_once(solvers, "float32", forming=True)
    thrice = machine.corrected(dict.fromkeys(("cholesky", "substitution", "forming"), 3.0))
    crew = Numpy(answered, {"same": machine, "slow": thrice})
    trained(jnp.dtype("float32"), crew, solvers[0], estimator=q.estimators.Automatic(), classical=machine)
    for one in crew.sent[:2]:
        np.testing.assert_allclose(one.on["same"], one.seconds, rtol=1e-6)
        np.testing.assert_allclose(one.on["slow"], 3 * one.seconds, rtol=1e-6)


def test_workers_form_blocks_only_where_that_is_priced() -> None:
    crew, solvers = Numpy(answered), (q.Cholesky(fallback=True), q.QLSA())
    for forming in (False, True):
        hybrid = q.Hybrid(solvers, classical=rated_once(solvers, "float32", forming=forming), workers=crew)
        assert hybrid.keeps_unformed(floor=True) == forming
        # An estimator that reads the matrix has it formed first.
        assert not hybrid.keeps_unformed(floor=False)
    assert not q.Hybrid(solvers).keeps_unformed(floor=True)


def test_what_does_not_come_is_solved_here() -> None:
    found, _ = trained(jnp.dtype("float32"), Numpy(lambda value: None))
    assert found == trained(jnp.dtype("float32"), None)[0]


def test_a_solution_that_is_none_is_not_used() -> None:
    # One of an earlier step may miss the residual, but has to lead downhill.
    answers = iter([(3.0, 0)] * 2 + [(3.0, 1)] * 2 + [(-1.0, 1)] * 2)

    def changed(value: np.ndarray) -> Answered:
        factor, age = next(answers)
        return answered(factor * value, age)

    _, statuses = trained(jnp.dtype("float32"), Numpy(changed))
    assert statuses == [[q.Status.NOT_SOLVED] * 2, [q.Status.OK] * 2, [q.Status.NOT_SOLVED] * 2]

"""What optax.adam survives of types and of jax's settings, every optimizer and solver of ours does: a table of both."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optax
import pytest
from jaxtyping import PyTree

import qnewton as q
from qnewton._core.operators import Shifted
from qnewton.testing import DenseBlock

from .optimizers import EXAMPLES, OPTIMIZERS, WIDTHS, batch, objective, params


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """What says nothing about the types, for one compilation of all of it."""
    with (
        jax.numpy_dtype_promotion("strict"),
        jax.numpy_rank_promotion("raise"),
        jax.debug_nans(True),
        jax.debug_infs(True),
    ):
        yield


SETTINGS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "at once": at_once,
    "strict types": lambda: jax.numpy_dtype_promotion("strict"),
    "ranks raise": lambda: jax.numpy_rank_promotion("raise"),
    "no NaN": lambda: jax.debug_nans(True),
    "no infinities": lambda: jax.debug_infs(True),
    "no leaks": jax.checking_leaks,
    "double": lambda: jax.enable_x64(True),
}


def train(
    optimizer: Any, own: q.Objective, start: PyTree, data: Any, steps: int, **jitted: Any
) -> tuple[PyTree, Any, list[float]]:
    """Parameters and state after some steps of a jitted loop, and the loss before each."""

    def step(params: PyTree, state: Any) -> tuple[PyTree, Any]:
        updates, state = optimizer.update(jax.grad(own)(params, data), state, params, batch=data)
        assert jax.tree.map(jnp.dtype, types(updates)) == types(params)
        return optax.apply_updates(params, updates), state

    compiled, losses = jax.jit(step, **jitted), []
    now, state = start, optimizer.init(start)
    for _ in range(steps):
        now, state = compiled(now, state)
        losses.append(float(state.info.loss))
    return now, state, losses


def types(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: jnp.dtype(leaf.dtype), tree)


def buffers(tree: PyTree) -> list[int]:
    return [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(tree) if leaf.size]


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_trains_on_donated_buffers_under_a_setting(name: str, setting: str) -> None:
    with SETTINGS[setting]():
        dtype = jnp.float64 if setting == "double" else jnp.float32
        own, data, start = objective(), batch(dtype), params(dtype)
        optimizer = OPTIMIZERS[name](own, data)
        given = buffers((start, optimizer.init(start)))
        assert len(set(given)) == len(given)
        before = types(optimizer.init(start))
        now, state, losses = train(optimizer, own, start, data, 3, donate_argnums=(0, 1))
        assert np.isfinite(losses).all()
        assert losses[-1] < losses[0]
        assert types(state) == before
        assert types(now) == jax.tree.map(lambda _: jnp.dtype(dtype), now)
        held = buffers((now, state))
        assert len(set(held)) == len(held)


@pytest.mark.parametrize("name", ["dual_newton", "kfac", "fisher_newton", "newton-cg", "newton-hybrid"])
def test_trains_without_jit(name: str) -> None:
    with jax.disable_jit():
        own, data, start = objective(), batch(), params()
        _, _, losses = train(OPTIMIZERS[name](own, data), own, start, data, 2)
        assert losses[1] < losses[0]


@pytest.mark.parametrize("name", ["kfac", "dual_newton", "fisher_newton", "newton-cholesky"])
def test_a_loss_that_is_no_number_raises_where_that_is_asked_for(name: str) -> None:
    own, data, start = objective(), batch(), params()
    broken = data[0].at[0, 0].set(jnp.nan), data[1]
    optimizer = OPTIMIZERS[name](own, data)
    state, zeros = optimizer.init(start), jax.tree.map(jnp.zeros_like, start)
    with jax.debug_nans(True), pytest.raises(FloatingPointError):
        jax.jit(lambda state: optimizer.update(zeros, state, start, batch=broken))(state)


def test_a_step_outside_of_jit_has_no_nan_either() -> None:
    own, data, start = objective(), batch(), params()
    optimizer = OPTIMIZERS["dual_newton"](own, data)
    with at_once():
        _, state = optimizer.update(jax.grad(own)(start, data), optimizer.init(start), start, batch=data)
        updates, state = optimizer.update(jax.grad(own)(start, data), state, start, batch=data)
    held = buffers(state)
    assert len(set(held)) == len(held)
    assert float(optax.tree.norm(updates)) > 0


@pytest.mark.parametrize("where", ["predict", "loss"])
@pytest.mark.parametrize("name", ["kfac", "newton-hybrid"])
def test_a_users_own_function_keeps_the_users_setting(name: str, where: str) -> None:
    def predict(p: PyTree, x: Any) -> Any:
        return jnp.tanh(x @ p["hidden"]["w"] + p["hidden"]["b"]) @ p["out"]["w"]

    def loss(z: Any, y: Any) -> Any:
        return jnp.sum((z - jax.nn.one_hot(y, 2)) ** 2 * jnp.ones(2), -1)

    sound = objective()
    own = q.Objective(predict, sound.loss) if where == "predict" else q.Objective(sound.predict, loss)
    data, start = batch(), params()
    optimizer = OPTIMIZERS[name](sound, data)
    state = optimizer.init(start)
    optimizer = OPTIMIZERS[name](own, data)
    with jax.numpy_rank_promotion("raise"), pytest.raises(ValueError, match="numpy_rank_promotion='raise'"):
        optimizer.update(start, state, start, batch=data)


STORED = {
    "bfloat16": (jnp.bfloat16, jnp.bfloat16, jnp.bfloat16),
    "float16": (jnp.float16, jnp.float16, jnp.float16),
    "mixed": (jnp.bfloat16, jnp.float32, jnp.float32),
    "batch": (jnp.float32, jnp.float32, jnp.float16),
}
"""Types of the hidden layer, of the last one, and of the batch."""


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_sixteen_bits_train_as_thirty_two(name: str, stored: str) -> None:
    hidden, out, inputs = STORED[stored]
    own, data, start = objective(), batch(inputs), params()
    start = {"hidden": jax.tree.map(lambda leaf: leaf.astype(hidden), start["hidden"]), "out": params(out)["out"]}
    optimizer = OPTIMIZERS[name](own, data)
    before = optimizer.init(start)
    assert all(jnp.finfo(leaf.dtype).bits >= 32 for leaf in jax.tree.leaves(before) if leaf.dtype.kind == "f")
    now, state, losses = train(optimizer, own, start, data, 5)
    assert types(now) == types(start)
    assert types(state) == types(before)
    assert jax.tree.structure(state) == jax.tree.structure(before)
    wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), (start, data[0]))
    _, _, twin = train(optimizer, own, wide[0], (wide[1], data[1]), 5)
    np.testing.assert_allclose(losses[0], twin[0], rtol=0.02)
    assert abs(losses[-1] - twin[-1]) <= 0.1 * (twin[0] - twin[-1])


def test_a_step_has_a_derivative() -> None:
    with jax.enable_x64(True):
        own, data, start = objective(), batch(jnp.float64), params(jnp.float64)
        optimizer: Any = q.dual_newton(own, solver=q.Cholesky())
        state = optimizer.init(start)

        def after(length: Any) -> Any:
            moved = jax.tree.map(lambda leaf: leaf + length, start)
            updates, _ = optimizer.update(jax.grad(own)(moved, data), state, moved, batch=data)
            return own(optax.apply_updates(moved, updates), data)

        found, slope = jax.jit(after), jax.jit(jax.grad(after))(0.0)
        np.testing.assert_allclose(slope, (found(1e-5) - found(-1e-5)) / 2e-5, rtol=1e-6)


@pytest.mark.parametrize("name", ["dual_newton", "newton-cholesky", "newton-cg", "fisher_newton", "kfac"])
def test_a_batch_that_is_wider_than_the_parameters_is_computed_in_their_type(name: str) -> None:
    with jax.enable_x64(True):
        own, start = objective(), params(jnp.float32)
        twins = []
        for dtype in (jnp.float32, jnp.float64):
            data = batch(dtype)
            now, state, losses = train(OPTIMIZERS[name](own, data), own, start, data, 3)
            assert types(now) == types(start)
            assert state.info.loss.dtype == jnp.float32
            twins.append(losses)
    np.testing.assert_allclose(twins[0], twins[1], rtol=1e-5)


def test_a_scan_carries_what_sixteen_bits_begin_with() -> None:
    own, data, start = objective(), batch(jnp.bfloat16), params(jnp.bfloat16)
    optimizer = OPTIMIZERS["newton-layers"](own, data)

    def body(carry: Any, _: None) -> tuple[Any, Any]:
        updates, state = optimizer.update(jax.grad(own)(carry[0], data), carry[1], carry[0], batch=data)
        return (optax.apply_updates(carry[0], updates), state), state.info.loss

    _, losses = jax.jit(lambda carry: jax.lax.scan(body, carry, length=3))((start, optimizer.init(start)))
    assert losses.dtype == jnp.float32
    assert losses[-1] < losses[0]


def test_a_loss_beyond_sixteen_bits_is_a_loss() -> None:
    """65504 is the largest number of float16, 300 squared is more, and so is the sum of many that are less."""
    x, y = jnp.full((EXAMPLES, 1), 100, jnp.float16), jnp.full((EXAMPLES, 1), 400, jnp.float16)
    own = q.Objective(lambda p, x: x @ p, lambda z, y: jnp.sum((z - y) ** 2, -1))
    start = jnp.full((1, 1), 0.5, jnp.float16)
    assert float(own(start, (x, y))) == 350**2
    many = q.Objective(lambda p, x: x @ p, lambda z, y: jnp.sum(jnp.abs(z - y), -1).astype(jnp.float16))
    assert float(many(start, (jnp.tile(x, (40, 1)), jnp.tile(y, (40, 1))))) == 350
    optimizer: Any = q.dual_newton(own)
    updates, state = jax.jit(lambda state: optimizer.update(None, state, start, batch=(x, y)))(optimizer.init(start))
    assert updates.dtype == jnp.float16
    assert bool(state.info.accepted)
    assert abs(float(start[0, 0] + updates[0, 0]) - 4) < 0.4


def test_an_update_leads_to_where_the_step_leads() -> None:
    """The parameters after it are those that the trial saw: the step added in single precision, then rounded."""
    own, data, start = objective(), batch(jnp.bfloat16), params(jnp.bfloat16)
    optimizer = OPTIMIZERS["kfac"](own, data)
    update = jax.jit(lambda state: optimizer.update(jax.grad(own)(start, data), state, start, batch=data))
    updates, state = update(optimizer.init(start))
    reached = float(own(optax.apply_updates(start, updates), data))
    assert float(state.info.actual_decrease) > 0.05
    assert reached == pytest.approx(float(state.info.loss - state.info.actual_decrease), abs=2e-3)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_numbers_of_python_and_arrays_without_entries_are_parameters_too(name: str) -> None:
    """Of the one kind makes an array, the other is left alone."""
    plain = objective()
    own = q.Objective(lambda p, x: p["scale"] * plain.predict(p["net"], x) + jnp.sum(p["none"]), plain.loss)
    start, data = {"net": params(), "none": jnp.zeros((0, 3)), "scale": 1.0}, batch()
    optimizer = q.recipe(own, start, data) if name == "recipe" else OPTIMIZERS[name](own, data)
    now, _, losses = train(optimizer, own, start, data, 3)
    assert jax.tree.map(jnp.shape, now) == jax.tree.map(jnp.shape, start)
    assert losses[-1] < losses[0]


GRADIENTS = {
    "wider": (jnp.bfloat16, jnp.float32, None),
    "narrower": (jnp.float32, jnp.float16, "`hidden.b` is float16"),
}


@pytest.mark.parametrize(("stored", "summed", "message"), GRADIENTS.values(), ids=GRADIENTS)
@pytest.mark.parametrize("name", ["kfac", "dual_newton", "fisher_newton", "newton-cg"])
def test_gradients_may_be_summed_in_more_bits_and_not_in_fewer(
    name: str, stored: Any, summed: Any, message: str | None
) -> None:
    own, data, start = objective(), batch(stored), params(stored)
    optimizer = OPTIMIZERS[name](own, data)
    state, gradients = optimizer.init(start), params(summed)
    if message is None:
        updates, _ = jax.eval_shape(lambda g: optimizer.update(g, state, start, batch=data), gradients)
        assert types(updates) == types(start)
    else:
        with pytest.raises(TypeError, match=message):
            optimizer.update(gradients, state, start, batch=data)


def test_sixteen_bits_do_not_hide_what_one_example_does_to_another() -> None:
    """Numbers decide where the program proves nothing; they are told apart to their own rounding."""
    start, (x, y) = params(jnp.bfloat16), batch(jnp.bfloat16)

    def normalised(p: PyTree, x: Any) -> Any:
        z = x @ p["hidden"]["w"]
        return jnp.tanh((z - jnp.mean(z, 0)) / (jnp.std(z, 0) + 1)) @ p["out"]["w"]

    def shifted(p: PyTree, x: Any) -> Any:
        # Not proven independent, and independent: the largest of all is added, and taken away again.
        top = jax.lax.stop_gradient(jnp.max(x)).astype(jnp.float32)
        return jnp.tanh((x.astype(jnp.float32) + top - top).astype(x.dtype) @ p["hidden"]["w"]) @ p["out"]["w"]

    loss = objective().loss
    assert not q.independence(q.Objective(normalised, loss), start, (x, y)).model
    assert q.independence(q.Objective(shifted, loss), start, (x, y)).model


SOLVERS: dict[str, lx.AbstractLinearSolver] = {
    "LU": q.LU(),
    "Cholesky": q.Cholesky(),
    "Cholesky, else LU": q.Cholesky(fallback=True),
    "Eigh": q.Eigh(),
    "CG": q.CG(1e-5),
    "CG, Jacobi": q.CG(1e-5, preconditioner=q.Jacobi()),
    "CG, Nystrom": q.CG(1e-5, preconditioner=q.Nystrom(2)),
    "MINRES": q.MINRES(1e-5),
    "Inverse": q.Inverse(),
    "GaussJordan": q.GaussJordan(),
    "SaddleFree": q.SaddleFree(),
    "Refine": q.Refine(q.LU()),
    "Dual": q.Dual(),
    "QLSA": q.QLSA(),
    "EmulatedQSVT": q.EmulatedQSVT(),
    "EmulatedReflection": q.EmulatedReflection(),
    "EmulatedWalk": q.EmulatedWalk(),
    "Hybrid": q.Hybrid(),
    "Hybrid, iterative": q.Hybrid([q.CG(1e-5), q.LU(), q.QLSA()]),
}
ROUGH = {"QLSA": 0.1, "EmulatedQSVT": 0.1, "EmulatedReflection": 0.1, "EmulatedWalk": 0.1}


@pytest.mark.parametrize("name", SOLVERS)
def test_solves_under_the_settings_at_once(name: str) -> None:
    matrix, vector = np.array([[2.0, 1.0, 0.0], [1.0, 3.0, 0.5], [0.0, 0.5, 4.0]]), np.array([1.0, 2.0, 3.0])
    root = np.linalg.cholesky(matrix - np.eye(3) / 2).T
    single = jnp.asarray(matrix, jnp.float32), jnp.asarray(root, jnp.float32)
    block = Shifted(DenseBlock.of_root(single[1]), jnp.asarray(0.5, jnp.float32))
    operator = block if name == "Dual" else lx.MatrixLinearOperator(single[0], lx.positive_semidefinite_tag)
    with at_once():
        right = jnp.asarray(vector, jnp.float32)
        value = lx.linear_solve(operator, right, SOLVERS[name], throw=False).value
    expected = np.linalg.solve(matrix, vector)
    error = np.linalg.norm(np.asarray(value, np.float64) - expected) / np.linalg.norm(expected)
    assert error <= ROUGH.get(name, 1e-4)


def test_the_problem_is_what_it_says() -> None:
    inputs, hidden, outputs = WIDTHS
    assert sum(leaf.size for leaf in jax.tree.leaves(params())) == inputs * hidden + hidden + hidden * outputs


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_state_is_bound_to_no_device(name: str) -> None:
    """Committed to one, it would take parameters with it, which could then meet none of another device."""
    state = OPTIMIZERS[name](objective(), batch()).init(params())
    assert not [leaf for leaf in jax.tree.leaves(state) if isinstance(leaf, jax.Array) and leaf.committed]


@pytest.mark.parametrize("solver", [q.Cholesky(), q.LU(), q.Eigh(), q.CG(rtol=1e-6), q.MINRES(rtol=1e-6)])
@pytest.mark.parametrize("double", [False, True], ids=["single", "double"])
def test_complex_systems_are_solved_under_all_settings(solver: Any, double: bool) -> None:
    """Their norms and scales are real, which strict promotion does not mix with them."""
    matrix, vector = np.array([[3, 1j], [-1j, 2]]), np.array([1 + 1j, 2])
    with jax.enable_x64(double), at_once():
        dtype = jnp.complex128 if double else jnp.complex64
        operator = lx.MatrixLinearOperator(jnp.asarray(matrix, dtype), lx.positive_semidefinite_tag)
        value = np.asarray(lx.linear_solve(operator, jnp.asarray(vector, dtype), solver=solver).value)
    np.testing.assert_allclose(value, np.linalg.solve(matrix, vector), atol=1e-12 if double else 2e-6)

"""The estimate against XLA's plan of the user's own step; and what it says where a block does not fit."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest

import qnewton as q
from qnewton._core import memory as core_memory
from qnewton._core.memory import check_block_fits
from qnewton._optim import dual_rows, memory
from qnewton._optim.dual_rows import check_rows_fit

WIDTH, OUT, BATCH = 40, 6, 16


def predict(params: Any, x: jax.Array) -> jax.Array:
    return jnp.tanh(x @ params["a"].T) @ params["b"]


def dropped(params: Any, x: jax.Array, *, key: jax.Array) -> jax.Array:
    hidden = jnp.tanh(x @ params["a"].T)
    return jnp.where(jax.random.bernoulli(key, 0.5, hidden.shape), hidden, 0) @ params["b"]


def squares(z: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.sum((z - y) ** 2, axis=-1)


def data(batch: int, dtype: Any = jnp.float32) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
    return jax.ShapeDtypeStruct((batch, WIDTH), dtype), jax.ShapeDtypeStruct((batch, 2), dtype)


def params_of(dtype: Any) -> dict[str, jax.ShapeDtypeStruct]:
    return {"a": jax.ShapeDtypeStruct((OUT, WIDTH), dtype), "b": jax.ShapeDtypeStruct((OUT, 2), dtype)}


OBJECTIVE, DROPOUT = q.Objective(predict, squares), q.Objective(dropped, squares)
PARAMS, DATA = params_of(jnp.float32), data(BATCH)
MATRIX, LARGEST = 252**2 * 4, 240**2 * 4


def estimate(solver: Any, params: Any = PARAMS, **options: Any) -> q.optim.MemoryEstimate:
    return q.memory_estimate(OBJECTIVE, params, DATA, partition=q.per_tensor, solver=solver, **options)


@cache
def by_cholesky() -> q.optim.MemoryEstimate:
    return estimate(q.Cholesky())


@cache
def by_cg() -> q.optim.MemoryEstimate:
    return estimate(q.CG())


def planned(optimizer: Any, objective: q.Objective, params: Any, batch: Any, key: Any = None) -> int:
    """Scratch of a step as a user might write it, by the compiler."""
    state = jax.eval_shape(optimizer.init, params)

    def step(state: Any, params: Any, batch: Any) -> Any:
        loss, gradients = jax.value_and_grad(objective)(params, batch, key)
        updates, state = optimizer.update(gradients, state, params, batch=batch, key=key, value=loss)
        return state, optax.apply_updates(params, updates), loss

    plan = jax.jit(step).lower(state, params, batch).compile().memory_analysis()
    assert plan is not None
    return plan.temp_size_in_bytes


# Each with the least that its step holds at once, in dense matrices of all 252 parameters.
OPTIONS: dict[str, tuple[dict[str, Any], int, float]] = {
    "cholesky": ({"solver": q.Cholesky()}, BATCH, 2),
    "hessian": ({"solver": q.LU(), "curvature": q.Hessian()}, BATCH, 2),
    "pruned": (
        {
            "solver": q.LU(),
            "conditioning": (q.Prune(keep=0.5), q.Damp(0.5)),
            "correction": q.Correction(),
            "adaptation": q.Fixed(),
        },
        BATCH,
        3,
    ),
    "kept": ({"solver": q.CG(), "refresh": 3, "warm_start": True}, BATCH, 1),
    "saddle_free": ({"solver": q.SaddleFree(), "curvature": q.Hessian(), "step": q.TrustRegion()}, 1, 2),
    # Stored inputs and curvature of 4,000 examples, against 250 KB for the matrix.
    "large_batch": ({"solver": q.CG(preconditioner=q.KFAC())}, 4000, 0),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_the_peak_is_the_plan_of_the_users_own_step_and_little_more(name: str) -> None:
    options, count, matrices = OPTIONS[name]
    found = q.memory_estimate(OBJECTIVE, PARAMS, data(count), **options)
    plan = planned(q.newton(OBJECTIVE, **options), OBJECTIVE, PARAMS, data(count))
    assert plan <= found.peak_bytes <= 1.5 * plan
    assert plan >= matrices * MATRIX
    assert found.planned_bytes == pytest.approx(plan, rel=0.03)
    assert [block.n for block in found.blocks] == [252]
    # The optimizer's matrices between steps are there before and after.
    assert (found.state_bytes >= MATRIX) == ("refresh" in options)
    assert found.output_bytes == found.state_bytes + 4 * 252 + 4
    assert found.fits
    # What fits is not refused.
    for block in found.blocks:
        if block.block_bytes:
            check_block_fits(block.name, block.n, 4, plan + 2 * found.state_bytes)


def test_the_step_of_several_blocks_is_planned_as_a_whole() -> None:
    found = by_cholesky()
    assert [(block.name, block.n, block.block_bytes, block.factor_bytes) for block in found.blocks] == [
        ("a", 240, 230_400, 230_400),
        ("b", 12, 576, 576),
    ]
    assert found.input_bytes == 4 * (252 + BATCH * (WIDTH + 2))
    plan = planned(q.newton(OBJECTIVE, partition=q.per_tensor, solver=q.Cholesky()), OBJECTIVE, PARAMS, DATA)
    assert 2 * LARGEST <= plan <= found.peak_bytes <= 1.5 * plan


# Of kfac and 1,000 examples a step that returns its loss needs a tenth more than one that does not.
@pytest.mark.parametrize(("make", "count"), [(q.kfac, 1000), (q.dual_newton, BATCH), (q.fisher_newton, BATCH)])
def test_complete_optimizers_have_one_too(make: Callable[..., Any], count: int) -> None:
    optimizer = make(OBJECTIVE)
    found = q.memory_estimate(OBJECTIVE, PARAMS, data(count), optimizer=optimizer)
    plan = planned(optimizer, OBJECTIVE, PARAMS, data(count))
    if make is q.dual_newton:
        # What fits is not refused: two outputs an example, and a dense Jacobian.
        check_rows_fit(count, 2, 252, 4, plan)
    assert plan <= found.peak_bytes <= 1.5 * plan
    assert found.blocks == ()
    assert str(found).startswith("peak ")
    with pytest.raises(ValueError, match="an optimizer, and refresh, solver besides"):
        q.memory_estimate(OBJECTIVE, PARAMS, DATA, optimizer=optimizer, solver=q.CG(), refresh=2)


def test_models_with_a_key_get_one_and_take_one_in_either_width() -> None:
    options: dict[str, Any] = {"solver": q.CG(max_steps=3)}
    key = jax.random.key(4)
    single = q.memory_estimate(DROPOUT, PARAMS, DATA, key=key, **options)
    with jax.enable_x64(True):
        params, batch = params_of(jnp.float64), data(BATCH, jnp.float64)
        double = q.memory_estimate(DROPOUT, params, batch, **options)
        plan = planned(q.newton(DROPOUT, **options), DROPOUT, params, batch, key)
    assert plan <= double.peak_bytes <= 1.5 * plan
    assert 1.3 * single.peak_bytes < double.peak_bytes < 2.2 * single.peak_bytes


def test_what_lapack_allocates_for_itself_is_told_apart_from_the_plan() -> None:
    found = estimate(q.Eigh(), adaptation=q.Fixed())
    # ?syevd for eigenvectors: LWORK = 1 + 6 n + 2 n^2, LIWORK = 3 + 5 n.
    assert found.library_bytes == 4 * (1 + 6 * 240 + 2 * 240**2 + 3 + 5 * 240)
    inputs = found.input_bytes + found.state_bytes
    assert found.needed_bytes == found.peak_bytes + found.library_bytes + inputs + found.output_bytes
    assert f"{found.library_bytes / 1024:.1f} KiB inside of LAPACK" in str(found)


def test_a_solver_that_never_forms_the_block_needs_less_than_the_block() -> None:
    found = by_cg()
    assert (found.blocks[0].block_bytes, found.blocks[0].factor_bytes) == (0, 0)
    assert 0 < found.peak_bytes < LARGEST


def test_arrays_give_what_their_shapes_give_but_are_there_already() -> None:
    arrays = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), PARAMS)
    there, shapes = estimate(q.CG(), params=arrays), by_cg()
    assert there.blocks == shapes.blocks
    assert there.peak_bytes == shapes.peak_bytes
    assert shapes.held_bytes == 0
    assert there.held_bytes == 4 * 252
    assert shapes.needed_bytes - there.needed_bytes == 4 * 252


def test_a_step_that_does_not_fit_is_not_silent() -> None:
    found = by_cholesky()
    assert replace(found, available_bytes=found.needed_bytes).fits
    refused = replace(found, available_bytes=found.needed_bytes - 1)
    assert not refused.fits
    text = str(refused)
    assert "a             240   225.0 KiB   225.0 KiB" in text
    assert "by the compiler's plan" in text
    assert "This does not fit. Block `a` has the largest matrix" in text
    for remedy in ("per_layer", "per_tensor", "qnewton.CG", "Microbatched"):
        assert remedy in text


@pytest.mark.parametrize("make", [partial(q.newton, solver=q.LU(), adaptation=q.Fixed()), q.dual_newton])
def test_what_the_optimizer_would_refuse_is_told_and_not_raised(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    optimizer = make(OBJECTIVE)
    for place in (memory, core_memory, dual_rows):
        monkeypatch.setattr(place, "available_bytes", lambda: 1000.0)
    with pytest.raises(MemoryError):
        planned(optimizer, OBJECTIVE, PARAMS, DATA)
    found = q.memory_estimate(OBJECTIVE, PARAMS, DATA, optimizer=optimizer)
    assert found.available_bytes == 1000
    assert not found.fits
    assert "This does not fit" in str(found)


def test_a_block_of_terabytes_is_planned_as_well() -> None:
    params = {"a": jax.ShapeDtypeStruct((6, 50_000), jnp.float32), "b": jax.ShapeDtypeStruct((6, 2), jnp.float32)}
    batch = jax.ShapeDtypeStruct((4, 50_000), jnp.float32), jax.ShapeDtypeStruct((4, 2), jnp.float32)
    found = q.memory_estimate(OBJECTIVE, params, batch, solver=q.LU())
    n = 300_012
    with core_memory.suspended_checks():
        plan = planned(q.newton(OBJECTIVE, solver=q.LU()), OBJECTIVE, params, batch)
    assert 2 * 4 * n**2 <= plan <= found.peak_bytes <= 1.5 * plan
    assert not found.fits
    assert "TiB, by the compiler's plan" in str(found)


def test_a_compiler_that_refuses_the_step_is_an_answer_and_one_without_plans_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    optimizer = optax.sgd(0.1)

    def refuses(*_: Any, **__: Any) -> Any:
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm")

    monkeypatch.setattr(jax.stages.Lowered, "compile", refuses)
    found = q.memory_estimate(OBJECTIVE, PARAMS, DATA, optimizer=optimizer)
    assert found.planned_bytes is None
    assert not found.fits
    assert str(found).startswith("peak beyond what the compiler accepts for this device, besides")
    monkeypatch.setattr(jax.stages.Lowered, "compile", lambda *_, **__: SimpleNamespace(memory_analysis=lambda: None))
    with pytest.raises(RuntimeError, match="tells no plan of a step's memory: ask with JAX_PLATFORMS=cpu"):
        q.memory_estimate(OBJECTIVE, PARAMS, DATA, optimizer=optimizer)


def test_the_table_of_a_step_that_fits_names_every_block_and_no_remedy() -> None:
    lines = str(by_cg()).splitlines()
    assert [line.split()[0] for line in lines] == ["block", "a", "b", "peak"]
    assert lines[1].split()[1:4] == ["240", "-", "-"]


def test_blocks_without_a_system_cost_nothing() -> None:
    fixed: dict[str, Any] = {"solver": q.Cholesky(), "adaptation": q.Fixed()}
    limited = estimate(**fixed, where=lambda block: block.n <= 12)
    assert [block.name for block in limited.blocks] == ["b"]
    assert limited.peak_bytes < LARGEST / 4
    assert limited.input_bytes == by_cholesky().input_bytes
    with pytest.raises(ValueError, match=r"where holds for none of the blocks a \(240\), b \(12\): it must"):
        estimate(**fixed, where=lambda _: False)


def test_parameters_without_floats_are_refused() -> None:
    with pytest.raises(TypeError, match="`a` is int32"):
        estimate(q.CG(), params={**PARAMS, "a": jax.ShapeDtypeStruct((OUT, WIDTH), jnp.int32)})


def test_without_options_it_is_of_the_family_that_the_batch_suggests() -> None:
    # 32 residuals and 252 parameters: no block, and far less than the matrix of all parameters.
    found, whole = q.memory_estimate(OBJECTIVE, PARAMS, DATA), q.memory_estimate(OBJECTIVE, PARAMS, DATA, refresh=2)
    assert found.blocks == ()
    assert [block.n for block in whole.blocks] == [252]
    assert found.peak_bytes < whole.peak_bytes

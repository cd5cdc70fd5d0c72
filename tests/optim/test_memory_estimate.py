"""The estimate against XLA's plan of a whole step; and what it says where a block does not fit."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest

import qnewton as q
from qnewton.optim import memory

WIDTH, OUT, BATCH = 40, 6, 16


def predict(params: Any, x: jax.Array) -> jax.Array:
    return jnp.tanh(x @ params["a"].T) @ params["b"]


OBJECTIVE = q.Objective(predict, lambda z, y: jnp.sum((z - y) ** 2, axis=-1))
PARAMS = {"a": jax.ShapeDtypeStruct((OUT, WIDTH), jnp.float32), "b": jax.ShapeDtypeStruct((OUT, 2), jnp.float32)}
DATA = jax.ShapeDtypeStruct((BATCH, WIDTH), jnp.float32), jax.ShapeDtypeStruct((BATCH, 2), jnp.float32)


def estimate(solver: Any = None, params: Any = PARAMS, **options: Any) -> q.MemoryEstimate:
    solver = q.Cholesky() if solver is None else solver
    return q.memory_estimate(OBJECTIVE, params, DATA, partition=q.per_tensor, solver=solver, **options)


# `newton` refuses a solver that needs definiteness for a Hessian.
@pytest.mark.parametrize(
    ("curvature", "solver"), [(q.Hessian(), q.LU()), (q.GaussNewton(), q.Cholesky())], ids=["hessian", "gauss_newton"]
)
def test_the_peak_is_that_of_the_compiled_step(curvature: q.AbstractCurvature, solver: q.AbstractSolver) -> None:
    found = estimate(solver, curvature=curvature)
    assert [(block.name, block.n, block.block_bytes, block.factor_bytes) for block in found.blocks] == [
        ("a", 240, 230_400, 230_400),
        ("b", 12, 576, 576),
    ]
    assert found.input_bytes == 4 * (252 + BATCH * (WIDTH + 2))
    optimizer = q.newton(OBJECTIVE, curvature=curvature, partition=q.per_tensor, solver=solver, adaptation=q.Fixed())
    params, batch = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), (PARAMS, DATA))
    state = optimizer.init(params)
    step = jax.jit(lambda g, s, p, b: optimizer.update(g, s, p, batch=b))
    planned = step.lower(params, state, params, batch).compile().memory_analysis()
    assert planned is not None
    assert found.peak_bytes == pytest.approx(planned.temp_size_in_bytes + planned.output_size_in_bytes, rel=0.25)
    assert found.peak_bytes >= 2 * 230_400
    assert found.fits


def test_a_solver_that_never_forms_the_block_needs_less_than_the_block() -> None:
    found = estimate(q.CG()).blocks[0]
    assert (found.block_bytes, found.factor_bytes) == (0, 0)
    assert 0 < found.peak_bytes < 230_400


def test_arrays_give_what_their_shapes_give() -> None:
    arrays = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), PARAMS)
    assert estimate(params=arrays).blocks == estimate().blocks


def test_a_block_that_cannot_fit_is_neither_compiled_nor_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 400_000.0)
    found = estimate()
    assert [block.planned for block in found.blocks] == [False, True]
    assert found.peak_bytes == 5 * 230_400
    assert not found.fits
    text = str(found)
    assert "a             240   225.0 KiB   225.0 KiB     1.1 MiB" in text
    assert "390.6 KiB are free" in text
    assert "This does not fit. Block `a` needs the most" in text
    for remedy in ("per_layer", "per_tensor", "qnewton.CG", "Microbatched"):
        assert remedy in text


def test_the_table_of_a_step_that_fits_names_every_block_and_no_remedy() -> None:
    lines = str(estimate(q.CG())).splitlines()
    assert [line.split()[0] for line in lines] == ["block", "a", "b", "peak"]
    assert lines[1].split()[1:4] == ["240", "-", "-"]


def test_blocks_without_a_system_cost_nothing() -> None:
    everything, limited = estimate(), estimate(where=lambda block: block.n <= 12)
    assert limited.blocks == everything.blocks[1:]
    assert limited.peak_bytes < everything.peak_bytes
    assert limited.input_bytes == everything.input_bytes
    with pytest.raises(ValueError, match=r"where holds for none of the blocks a \(240\), b \(12\): it must"):
        estimate(where=lambda _: False)


def test_parameters_without_floats_are_refused() -> None:
    with pytest.raises(TypeError, match="`a` is int32"):
        estimate(params={**PARAMS, "a": jax.ShapeDtypeStruct((OUT, WIDTH), jnp.int32)})

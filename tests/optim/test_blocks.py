"""Blocks of one kind by one compiled body; the oracle is the static loop over them."""

import importlib
import itertools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optax
import pytest
from jaxtyping import PyTree

import qnewton as qn
from qnewton._hardware import KernelTimes
from qnewton._optim import blocks as blocks_module

newton: Any = qn.newton
# The package's attribute of this name is the function.
newton_module: Any = importlib.import_module("qnewton._optim.one_block")

WIDTH, HIDDEN = 6, 3


def predict(params: PyTree, x: Any) -> Any:
    for layer in params[:-1]:
        x = jnp.tanh(x @ layer["w"] + layer["b"])
    return x @ params[-1]["w"] + params[-1]["b"]


OBJECTIVE = qn.Objective(predict, optax.softmax_cross_entropy_with_integer_labels, l2=1e-3)


def problem() -> tuple[PyTree, Any]:
    """Layers 5-6-6-6-3 in double precision: two of the four are alike."""
    rng = np.random.default_rng(4)
    sizes = (5, *(WIDTH,) * HIDDEN, 3)
    params = [
        {"b": jnp.asarray(rng.standard_normal(o)) / 3, "w": jnp.asarray(rng.standard_normal((i, o))) / np.sqrt(i)}
        for i, o in itertools.pairwise(sizes)
    ]
    return params, (jnp.asarray(rng.standard_normal((30, 5))), jnp.asarray(rng.integers(0, 3, 30)))


def hybrid() -> qn.Hybrid:
    kernels = (("cholesky", KernelTimes(5e-4, 0.0, 0.0)), ("lu", KernelTimes(1e-3, 0.0, 0.0)))
    return qn.Hybrid((qn.Cholesky(), qn.LU()), classical=qn.ClassicalMachine("made by hand", "float64", kernels))


@pytest.fixture(autouse=True)
def x64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def steps(count: int, **options: Any) -> tuple[list[Any], Any, int]:
    """Updates, the last state, and how often a solve was traced."""
    params, batch = problem()
    optimizer, traced, history = newton(OBJECTIVE, **options), [], []
    state = optimizer.init(params)
    original = newton_module.begin_block

    def counted(*args: Any, **kwargs: Any) -> Any:
        traced.append(1)
        return original(*args, **kwargs)

    @jax.jit
    def step(params: PyTree, state: Any) -> tuple[PyTree, Any]:
        return optimizer.update(jax.grad(OBJECTIVE)(params, batch), state, params, batch=batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(newton_module, "begin_block", counted)
        for _ in range(count):
            updates, state = step(params, state)
            history.append(updates)
            params = optax.apply_updates(params, updates)
    return history, state, len(traced)


def by_loop(count: int, **options: Any) -> tuple[list[Any], Any, int]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks_module, "_groups", lambda *_: {})
        return steps(count, **options)


BLOCKS = HIDDEN + 1
# How many bodies: the first layer, the hidden ones, the last.
GROUPS = 3
CASES: dict[str, dict[str, Any]] = {
    "Hybrid": {"solver": hybrid(), "conditioning": [qn.Prune(0.7), qn.Damp(0.3)]},
    "each its own damping": {"solver": lx.LU(), "adaptation": qn.LevenbergMarquardt(per_block=True, damping=1e-2)},
    "CG, warm": {
        "solver": qn.CG(rtol=1e-9, preconditioner=qn.KFAC()),
        "warm_start": True,
        "adaptation": qn.Fixed(),
    },
    # Jacobians are no arrays of one shape, the formed blocks are.
    "formed from Jacobians": {
        "solver": qn.Cholesky(),
        "curvature": qn.GaussNewton(structure=False),
        "weight_decay": 0.01,
        "clip": 0.1,
    },
    "kept": {"solver": qn.Cholesky(), "refresh": 2, "step": qn.QuadraticModel()},
}


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_the_same_steps_as_in_a_loop_with_one_solve_per_kind(options: dict[str, Any]) -> None:
    options = {"partition": qn.per_layer, **options}
    grouped, state, traced = steps(3, **options)
    looped, expected, every = by_loop(3, **options)
    assert (traced, every) == (GROUPS, BLOCKS)
    assert jax.tree.structure(state) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves((grouped, state)), jax.tree.leaves((looped, expected)), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)
    assert all(int(block.status) == qn.Status.OK for block in state.info.blocks)


CLOSURES: dict[str, dict[str, Any]] = {
    # Asks for a root.
    "Dual": {"solver": qn.Dual()},
    # Products with a Hessian.
    "products": {"solver": qn.MINRES(), "curvature": qn.Hessian(structure=False), "conditioning": [qn.Shift(1.0)]},
}


@pytest.mark.parametrize("options", CLOSURES.values(), ids=CLOSURES)
def test_what_is_more_than_its_arrays_is_not_stacked(options: dict[str, Any]) -> None:
    _, _, traced = steps(1, partition=qn.per_layer, **options)
    assert traced == BLOCKS


def test_what_does_not_fit_beside_a_block_is_not_stacked(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"partition": qn.per_layer, "solver": qn.Cholesky()}
    grouped, _, _ = steps(1, **options)
    monkeypatch.setattr(blocks_module, "_STACKED_BYTES", 30 * WIDTH**2 * 8)
    looped, _, traced = steps(1, **options)
    assert traced == BLOCKS
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8), grouped, looped)


def test_layers_that_lie_otherwise_are_another_kind() -> None:
    """The second of three square weights is used transposed: same size, other layout."""

    def bent(p: PyTree, x: Any) -> Any:
        return jnp.tanh(jnp.tanh(x @ p["a"]) @ p["b"].T) @ p["c"]

    rng = np.random.default_rng(0)
    params = {name: jnp.asarray(rng.standard_normal((4, 4))) for name in "abc"}
    batch = jnp.asarray(rng.standard_normal((9, 4))), jnp.asarray(rng.standard_normal((9, 4)))
    objective = qn.Objective(bent, lambda z, y: jnp.sum((z - y) ** 2, axis=-1) / 2)
    optimizer = newton(
        objective,
        partition=qn.per_tensor,
        solver=qn.Cholesky(),
        conditioning=[qn.Shift(0.1)],
        adaptation=qn.Fixed(),
    )
    gradients = jax.grad(objective)(params, batch)
    updates, _ = jax.jit(lambda s: optimizer.update(gradients, s, params, batch=batch))(optimizer.init(params))
    for name in "abc":
        jacobian = jax.jacobian(lambda leaf, name=name: bent({**params, name: leaf}, batch[0]))(params[name])
        flat = np.asarray(jacobian).reshape(36, 16)
        expected = -np.linalg.solve(flat.T @ flat / 9 + 0.1 * np.eye(16), np.ravel(gradients[name]))
        np.testing.assert_allclose(np.ravel(updates[name]), expected, rtol=1e-8)

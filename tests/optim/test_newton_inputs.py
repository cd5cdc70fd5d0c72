"""Bad input is refused with what to change, before anything is computed."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

import qnewton as q

# optax's types know states made of arrays alone; a NewtonState holds more.
newton: Any = q.newton

OBJECTIVE = q.Objective(lambda p, x: x @ p["w"], lambda o, t: (o - t) ** 2)
PARAMS = {"w": jnp.zeros(2)}
BATCH = (jnp.eye(2), jnp.ones(2))

BAD_PARAMS = {
    "empty": ({}, ValueError, "holds no arrays"),
    "only None": ({"w": None}, ValueError, "holds no arrays"),
    "integers": ({"w": jnp.zeros(2, int), "v": jnp.zeros(2)}, TypeError, "`w` is int32.*second derivatives"),
    "booleans": ({"layer": [jnp.zeros(2, bool)]}, TypeError, r"`layer\.0` is bool"),
    "complex": ({"w": jnp.zeros(2, jnp.complex64)}, TypeError, "`w` is complex64"),
}


@pytest.mark.parametrize(("params", "kind", "message"), BAD_PARAMS.values(), ids=BAD_PARAMS.keys())
def test_parameters_that_have_no_second_derivative(params, kind, message):
    with pytest.raises(kind, match=message):
        newton(OBJECTIVE, solver=lx.LU()).init(params)


BAD_ARGUMENTS = {
    "clip 0": ({"clip": 0.0}, "clip is 0"),
    "clip negative": ({"clip": -1.0}, "clip is -1"),
    "clip NaN": ({"clip": float("nan")}, "clip is nan"),
    "tolerance 0": ({"residual_tolerance": 0.0}, "residual_tolerance is 0"),
    "tolerance negative": ({"residual_tolerance": -0.1}, "residual_tolerance is -0.1"),
    "tolerance NaN": ({"residual_tolerance": float("nan")}, "residual_tolerance is nan"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS.keys())
def test_numbers_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        newton(OBJECTIVE, **arguments)


@pytest.mark.parametrize("missing", ["params", "batch"])
def test_update_needs_params_and_batch(missing):
    optimizer = newton(OBJECTIVE, solver=lx.LU())
    state = optimizer.init(PARAMS)
    given = {"params": PARAMS, "batch": BATCH}
    del given[missing]
    with pytest.raises(ValueError, match=re.escape("update(grads, state, params, batch=(inputs, targets))")):
        optimizer.update(PARAMS, state, given.get("params"), **({"batch": BATCH} if "batch" in given else {}))


def some(*leaves: tuple[int, ...]):
    return lambda params: tuple(
        q.Block(name=f"block {i}", leaves=group, n=2 * len(group)) for i, group in enumerate(leaves)
    )


BAD_PARTITIONS = {
    "misses one": (some((0,)), r"misses the parameter leaves \[1\] and repeats \[\]"),
    "repeats one": (some((0, 1), (1,)), r"misses the parameter leaves \[\] and repeats \[1\]"),
    "both": (some((0,), (0,)), r"misses the parameter leaves \[1\] and repeats \[0\]"),
    "nothing at all": (some(), r"misses the parameter leaves \[0, 1\]"),
}


@pytest.mark.parametrize(("partition", "message"), BAD_PARTITIONS.values(), ids=BAD_PARTITIONS.keys())
def test_a_partition_takes_every_leaf_once(partition, message):
    params = {"v": jnp.zeros(2), "w": jnp.zeros(2)}
    with pytest.raises(ValueError, match=message):
        newton(OBJECTIVE, partition=partition, solver=lx.LU()).init(params)


def test_a_partition_of_ones_own_works():
    objective = q.Objective(lambda p, x: x @ p["v"] + x @ p["w"], lambda o, t: (o - t) ** 2)
    params = {"v": jnp.zeros(2), "w": jnp.zeros(2)}
    optimizer = newton(
        objective, partition=some((1,), (0,)), conditioning=[q.Damp(0.0)], solver=lx.LU(), adaptation=q.Fixed()
    )
    gradients = jax.grad(objective)(params, BATCH)
    updates, _ = jax.jit(optimizer.update)(gradients, optimizer.init(params), params, batch=BATCH)
    # Each block alone would solve the problem.
    np.testing.assert_allclose(updates["v"], [1, 1], rtol=1e-6)
    np.testing.assert_allclose(updates["w"], [1, 1], rtol=1e-6)


def test_a_block_that_does_not_fit_is_refused_with_its_size_and_an_alternative(monkeypatch):
    monkeypatch.setattr("qnewton._core.memory.available_bytes", lambda: 2 * 2**30)
    params = {"w": jax.ShapeDtypeStruct((200, 100), jnp.float32)}
    with pytest.raises(MemoryError) as caught:
        newton(OBJECTIVE, partition=q.per_tensor, solver=lx.LU()).init(params)
    message = str(caught.value)
    # 20,000^2 numbers of 4 bytes are 1.5 GiB.
    for part in ("`w`", "20,000 rows", "1.5 GiB", "2.0 GiB are free", "per_tensor", "optax.multi_transform"):
        assert part in message
    # What does fit is not refused.
    monkeypatch.setattr("qnewton._core.memory.available_bytes", lambda: 2 * 2 * 2 * 4)
    newton(OBJECTIVE, solver=lx.LU()).init(PARAMS)
    monkeypatch.setattr("qnewton._core.memory.available_bytes", lambda: 2 * 2 * 2 * 4 - 1)
    with pytest.raises(MemoryError, match="16 bytes for the matrix"):
        newton(OBJECTIVE, solver=lx.LU()).init(PARAMS)


def test_a_loss_that_averages_is_refused_by_name():
    objective = q.Objective(OBJECTIVE.predict, lambda o, t: jnp.mean((o - t) ** 2))
    optimizer = newton(objective, solver=lx.LU())
    state = optimizer.init(PARAMS)
    with pytest.raises(ValueError, match="one value per example"):
        optimizer.update(PARAMS, state, PARAMS, batch=BATCH)

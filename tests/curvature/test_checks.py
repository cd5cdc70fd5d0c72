"""Batches, labels and gradients that cannot be right are refused in a sentence; what may be right is not."""

import functools
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import qnewton as q

X, Y = np.ones((4, 3), np.float32), np.zeros((4, 2), np.float32)
PARAMS = {"a": {"w": jnp.ones((3, 2)), "b": jnp.zeros(2)}}
OBJECTIVE = q.Objective(lambda p, x: x @ p["a"]["w"] + p["a"]["b"], lambda z, y: jnp.sum((z - y) ** 2, axis=-1))
LABELLED = q.Objective(OBJECTIVE.predict, optax.softmax_cross_entropy_with_integer_labels)
OPTIMIZERS: dict[str, Any] = {
    "newton": q.newton(OBJECTIVE, solver=q.LU()),
    "kfac": q.kfac(OBJECTIVE),
    "dual_newton": q.dual_newton(OBJECTIVE),
    "fisher_newton": q.fisher_newton(OBJECTIVE),
}
BAD_BATCHES = {
    "empty": ((X[:0], Y[:0]), "the batch is empty: inputs has no examples"),
    "unequal": ((X, Y[:3]), "4 in inputs, 3 in targets"),
    "unequal within": ((({"x": X, "mask": X[:2]}), Y), "2 in inputs `mask`, 4 in inputs `x`"),
    "no targets": ((X,), "batch is tuple of length 1: it must be (inputs, targets)"),
    "no axis": ((1.0, 2.0), "the inputs hold no array with an axis that counts the examples"),
    "words": ((np.array(["a"] * 4), Y), "the batch holds an array of <U1 in inputs: only numbers"),
    "objects": (({"x": X, "who": np.array([None] * 4)}, Y), "the batch holds an array of object in inputs `who`"),
    "an array": (X, "batch is one array of shape (4, 3): it must be (inputs, targets)"),
}


def block_of(objective: q.Objective, params: Any, batch: Any) -> Any:
    return q.GaussNewton().form(objective, params, batch, q.whole(params)[0])


@pytest.mark.parametrize(("batch", "message"), BAD_BATCHES.values(), ids=BAD_BATCHES)
def test_bad_batches(batch, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        OBJECTIVE(PARAMS, batch)
    for optimizer in OPTIMIZERS.values():
        with pytest.raises(ValueError, match=re.escape(message)):
            optimizer.update(PARAMS, optimizer.init(PARAMS), PARAMS, batch=batch)
    for takes in (q.recipe, q.independence, q.spectrum, q.memory_estimate, block_of):
        with pytest.raises(ValueError, match=re.escape(message)):
            takes(OBJECTIVE, PARAMS, batch)


BAD_GRADIENTS = {
    "a leaf is missing": ({"a": {"w": PARAMS["a"]["w"]}}, ValueError, r"missing: \['a\.b'\]"),
    "one too many": ({"a": PARAMS["a"] | {"c": X}}, ValueError, r"not among the parameters: \['a\.c'\]"),
    "another shape": ({"a": PARAMS["a"] | {"w": jnp.ones((2, 3))}}, ValueError, r"`a\.w` has shape \(2, 3\)"),
    "another dtype": ({"a": PARAMS["a"] | {"b": jnp.zeros(2, jnp.float16)}}, TypeError, r"`a\.b` is float16"),
}


@pytest.mark.parametrize(("gradients", "kind", "message"), BAD_GRADIENTS.values(), ids=BAD_GRADIENTS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_gradients_in_another_form(name, gradients, kind, message):
    optimizer = OPTIMIZERS[name]
    with pytest.raises(kind, match=message):
        optimizer.update(gradients, optimizer.init(PARAMS), PARAMS, batch=(X, Y))


@pytest.mark.parametrize("labels", [[0, 1, 2, 1], [0, -1, 1, 1]], ids=["above", "below zero"])
def test_labels_out_of_range(labels):
    batch = X, np.asarray(labels)
    of_block = functools.partial(block_of, LABELLED)
    for value in (LABELLED, jax.grad(LABELLED), jax.jit(lambda p, b: LABELLED(p, batch)), of_block):
        with pytest.raises(ValueError, match=f"labels run from {min(labels)} to {max(labels)}.*must be 0 to 1"):
            value(PARAMS, batch)


BAD_PARAMS = {
    "none": ({}, ValueError, "params holds no arrays"),
    "integers": ({"a": {"w": jnp.ones((3, 2), int), "b": jnp.zeros(2)}}, TypeError, "leaf `a.w` is int32"),
    "a number of python": ({"a": {"w": jnp.ones((3, 2)), "b": 0.0}}, TypeError, "leaf `a.b` is float"),
    "no entries": (PARAMS | {"c": jnp.zeros((0,))}, ValueError, "leaf `c` has shape (0,)"),
}


@pytest.mark.parametrize(("params", "kind", "message"), BAD_PARAMS.values(), ids=BAD_PARAMS)
def test_parameters_that_have_no_curvature(params, kind, message):
    (block,) = q.whole(PARAMS)
    calls = (
        lambda: q.whole(params),
        lambda: q.per_tensor(params),
        lambda: q.GaussNewton().form(OBJECTIVE, params, (X, Y), block),
    )
    for call in calls:
        with pytest.raises(kind, match=re.escape(message)):
            call()


def test_labels_that_are_traced_are_a_status():
    optimizer: Any = q.newton(LABELLED, solver=q.LU())

    @jax.jit
    def step(params, state, batch):
        return optimizer.update(jax.grad(LABELLED)(params, batch), state, params, batch=batch)

    updates, state = step(PARAMS, optimizer.init(PARAMS), (X, jnp.asarray([0, 1, 2, 1])))
    assert q.Status(int(state.info.blocks[0].status)) is q.Status.NOT_FINITE
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(updates))


def test_integers_that_are_right_are_let_through():
    def ignoring(z, y):
        return optax.softmax_cross_entropy_with_integer_labels(z, jnp.where(y < 0, 0, y)), y >= 0

    batch = X, np.asarray([0, -1, 1, -1])
    expected = optax.softmax_cross_entropy_with_integer_labels(OBJECTIVE.predict(PARAMS, X)[:1], batch[1][:1])
    np.testing.assert_allclose(q.Objective(OBJECTIVE.predict, ignoring)(PARAMS, batch), expected[0], rtol=1e-6)
    counts = q.Objective(OBJECTIVE.predict, lambda z, y: jnp.sum(z, axis=-1) * y)
    assert np.isfinite(counts(PARAMS, (X, np.asarray([5, -7, 2, 0]))))
    # Targets may be missing, and inputs may hold scalars.
    alone = q.Objective(lambda p, x: x[0] @ p["a"]["w"] * x[1], lambda z, y: jnp.sum(z**2, axis=-1))
    assert np.isfinite(alone(PARAMS, ((X, jnp.float32(2.0)), None)))

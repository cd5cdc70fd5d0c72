"""Small networks on the 8x8 digits whose curvature blocks are estimated: dense, convolutional, attending."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

import qnewton as qn

Model = tuple[Any, Callable[[Any, Array], Array]]
STEPS = 60


def dense(key: Array, widths: tuple[int, ...] = (64, 16, 16, 10)) -> Model:
    keys = jax.random.split(key, len(widths))
    params = [
        {"w": jax.random.normal(k, (i, o)) / i**0.5, "b": jnp.zeros(o)}
        for k, i, o in zip(keys, widths[:-1], widths[1:], strict=False)
    ]

    def predict(params: Any, x: Array) -> Array:
        for layer in params[:-1]:
            x = jnp.tanh(x @ layer["w"] + layer["b"])
        return x @ params[-1]["w"] + params[-1]["b"]

    return params, predict


def convolution(key: Array) -> Model:
    first, second, head = jax.random.split(key, 3)
    params = {
        "first": jax.random.normal(first, (3, 3, 1, 8)) / 3,
        "second": jax.random.normal(second, (3, 3, 8, 16)) / 72**0.5,
        "head": jax.random.normal(head, (64, 10)) / 8,
    }

    def predict(params: Any, x: Array) -> Array:
        x = x.reshape(-1, 8, 8, 1)
        for kernel in (params["first"], params["second"]):
            x = jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
            x = jax.nn.relu(x)
        return x.reshape(len(x), -1) @ params["head"]

    return params, predict


def attention(key: Array) -> Model:
    """One block over the eight rows of an image."""
    width = 16
    shapes = {"embed": (8, width), "place": (8, width), **dict.fromkeys("qkv", (width, width)), "head": (width, 10)}
    keys = jax.random.split(key, len(shapes))
    params = {
        name: jax.random.normal(k, shape) / shape[0] ** 0.5
        for k, (name, shape) in zip(keys, shapes.items(), strict=True)
    }

    def predict(params: Any, x: Array) -> Array:
        x = x.reshape(-1, 8, 8) @ params["embed"] + params["place"]
        q, k, v = (x @ params[name] for name in "qkv")
        share = jax.nn.softmax(jnp.einsum("bsi,bti->bst", q, k) / width**0.5)
        x = x + jnp.einsum("bst,bti->bsi", share, v)
        return jnp.tanh(x).mean(axis=1) @ params["head"]

    return params, predict


MODELS = {"dense": dense, "convolution": convolution, "attention": attention}
LOSSES = {
    "cross-entropy": optax.softmax_cross_entropy_with_integer_labels,
    "squares": lambda outputs, targets: jnp.sum((outputs - jax.nn.one_hot(targets, 10)) ** 2, axis=-1) / 2,
}


def cases(seed: int, batch: Any) -> Iterator[tuple[str, qn.Objective, Any]]:
    """Each model under each loss, as initialised and after 60 steps of Adam."""
    for name, make in MODELS.items():
        for loss_name, loss in LOSSES.items():
            params, predict = make(jax.random.key(seed))
            objective = qn.Objective(predict, loss)
            yield f"{name}, {loss_name}, initial", objective, params
            yield f"{name}, {loss_name}, trained", objective, trained(objective, params, batch)


def trained(objective: qn.Objective, params: Any, batch: Any) -> Any:
    optimizer = optax.adam(0.01)

    @jax.jit
    def run(params: Any, batch: Any) -> Any:
        def step(carry: Any, _: None) -> tuple[Any, None]:
            params, state = carry
            updates, state = optimizer.update(jax.grad(objective)(params, batch), state)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, optimizer.init(params)), length=STEPS)[0][0]

    return run(params, batch)

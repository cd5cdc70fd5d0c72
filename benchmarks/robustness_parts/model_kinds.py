"""What a kind of model is, losses that kinds share, and how their arrays are drawn."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import qnewton as qn

BATCH, FEATURES, HIDDEN, OUTPUTS = 6, 4, 5, 3
Arrays = tuple[Any, Any, Any]


@dataclasses.dataclass(frozen=True)
class Kind:
    """A model with its loss.

    Attributes:
        draw: `(rng)` to parameters, inputs and targets, as numpy arrays.
        coupled: whether an example of a batch influences the terms of another.
        keyed: whether `predict` takes a key.
        wide: whether the oracle may run in float64; not where random numbers are drawn, which differ by width.
        may_refuse: whether one clear sentence is as good as an answer.
        has_state: whether `predict` returns outputs and state.
        whole_batch: whether one key serves the whole batch.
    """

    predict: Callable
    loss: Callable
    draw: Callable[[np.random.Generator], Arrays]
    coupled: bool = False
    keyed: bool = False
    wide: bool = True
    may_refuse: bool = False
    has_state: bool = False
    whole_batch: bool = False

    @property
    def objective(self) -> qn.Objective:
        settings = {name: True for name in ("has_state", "whole_batch") if getattr(self, name)}
        return qn.Objective(self.predict, self.loss, **settings)


cross_entropy = optax.softmax_cross_entropy_with_integer_labels


def squares(outputs: Any, targets: Any) -> Any:
    return jnp.sum((outputs - targets) ** 2, -1)


def labels(rng: np.random.Generator) -> np.ndarray:
    return np.r_[np.arange(OUTPUTS), rng.integers(0, OUTPUTS, BATCH - OUTPUTS)].astype(np.int32)


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def weights(rng: np.random.Generator, **shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Parameters of these shapes, matrices scaled for their inputs."""
    return {
        name: (normal(rng, *shape) / (np.prod(shape[:-1]) or 1) ** 0.5).astype(np.float32)
        for name, shape in shapes.items()
    }


TWO_LAYERS = {"w": (FEATURES, HIDDEN), "b": (HIDDEN,), "v": (HIDDEN, OUTPUTS)}


def classes(
    shapes: dict[str, tuple[int, ...]] | None = None, inputs: tuple[int, ...] = (FEATURES,)
) -> Callable[[np.random.Generator], Arrays]:
    """Of a model with these parameters and labels for targets."""

    def draw(rng: np.random.Generator) -> Arrays:
        return weights(rng, **(shapes or TWO_LAYERS)), normal(rng, BATCH, *inputs), labels(rng)

    return draw


def numbers(
    shapes: dict[str, tuple[int, ...]] | None = None,
    inputs: tuple[int, ...] = (FEATURES,),
    targets: tuple[int, ...] = (OUTPUTS,),
) -> Callable[[np.random.Generator], Arrays]:
    """Of a model with these parameters and numbers for targets."""

    def draw(rng: np.random.Generator) -> Arrays:
        return weights(rng, **(shapes or TWO_LAYERS)), normal(rng, BATCH, *inputs), normal(rng, BATCH, *targets)

    return draw


def of_init(init: Callable[[jax.Array], Any], inputs: tuple[int, ...]) -> Callable[[np.random.Generator], Arrays]:
    """Of a library's model: parameters in the structure of its own, values moved away from its zeros and ones."""
    like = init(jnp.zeros((BATCH, *inputs)))

    def draw(rng: np.random.Generator) -> Arrays:
        params = jax.tree.map(lambda leaf: np.asarray(leaf) + 0.5 * normal(rng, *leaf.shape), like)
        return params, normal(rng, BATCH, *inputs), labels(rng)

    return draw


def tanh_layer(p: Any, x: Any) -> Any:
    return jnp.tanh(x @ p["w"] + p["b"])


def mlp(p: Any, x: Any) -> Any:
    return tanh_layer(p, x) @ p["v"]


def normalised(h: Any) -> Any:
    """By mean and variance of the batch."""
    return (h - h.mean(0)) / jnp.sqrt(h.var(0) + 1e-3)

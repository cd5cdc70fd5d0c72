"""Networks with one block each: a dense layer, a convolution, an attention projection."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

import qnewton as qn
from qnewton._curvature import Point

CLASSES = 10


@dataclass(frozen=True)
class Problem:
    """One block, and the numbers that its operations follow from.

    Attributes:
        name, objective, params, batch: what is trained.
        leaf: name of the parameter that is the block.
        examples, inputs, outputs: of the layer.
        positions: how often each example uses it.
    """

    name: str
    objective: qn.Objective
    params: Any
    batch: Any
    leaf: str
    examples: int
    inputs: int
    outputs: int
    positions: int

    @property
    def block(self) -> qn.Block:
        return next(block for block in qn.per_tensor(self.params) if block.name == self.leaf)

    def point(self, params: Any, batch: Any) -> Point:
        return Point.of(self.objective, params, batch)

    def formed(self, curvature: qn.curvature.AbstractCurvature) -> Callable:
        return lambda params, batch: curvature.form(self.objective, params, batch, self.block).matrix


def dense(quick: bool) -> Problem:
    """Weights as [outputs, inputs], the first layer of a tanh network."""
    examples, inputs, outputs = (256, 128, 8) if quick else (1024, 256, 16)

    def predict(params, x):
        return jnp.tanh(x @ params["w"].T) @ params["head"]

    params = {"w": normal(0, outputs, inputs, scale=inputs**-0.5), "head": normal(1, outputs, CLASSES, scale=0.3)}
    return _problem("dense", predict, params, normal(2, examples, inputs), "w", (inputs, outputs, 1))


def convolution(quick: bool) -> Problem:
    """3 x 3 on 8 x 8 pixels, tanh, the mean over the pixels, a linear layer."""
    examples, channels, outputs, side = (32, 4, 8, 6) if quick else (128, 8, 16, 8)

    def predict(params, x):
        dimensions = ("NHWC", "HWIO", "NHWC")
        z = jax.lax.conv_general_dilated(x, params["kernel"], (1, 1), "SAME", dimension_numbers=dimensions)
        return jnp.tanh(z).mean(axis=(1, 2)) @ params["head"]

    inputs = 9 * channels
    params = {
        "kernel": normal(0, 3, 3, channels, outputs, scale=inputs**-0.5),
        "head": normal(1, outputs, CLASSES, scale=0.3),
    }
    x = normal(2, examples, side, side, channels)
    return _problem("convolution", predict, params, x, "kernel", (inputs, outputs, side * side))


def attention(quick: bool) -> Problem:
    """The value projection of one attention head, which all positions share."""
    examples, positions, width = (32, 8, 16) if quick else (256, 16, 48)

    def predict(params, x):
        scores = jax.nn.softmax(jnp.einsum("nti,nsi->nts", x @ params["query"], x) * width**-0.5)
        return jnp.tanh(jnp.einsum("nts,nsi->nti", scores, x @ params["value"])).mean(axis=1) @ params["head"]

    params = {
        "query": normal(0, width, width, scale=width**-0.5),
        "value": normal(1, width, width, scale=width**-0.5),
        "head": normal(2, width, CLASSES, scale=0.3),
    }
    return _problem(
        "attention", predict, params, normal(3, examples, positions, width), "value", (width,) * 2 + (positions,)
    )


def normal(seed: int, *shape: int, scale: float = 1.0) -> jax.Array:
    return scale * jax.random.normal(jax.random.key(seed), shape)


def _problem(name: str, predict: Callable, params: Any, x: Any, leaf: str, sizes: tuple[int, int, int]) -> Problem:
    def cross_entropy(logits, labels):
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1)[:, 0]

    labels = jax.random.randint(jax.random.key(9), (x.shape[0],), 0, CLASSES)
    return Problem(name, qn.Objective(predict, cross_entropy), params, (x, labels), leaf, x.shape[0], *sizes)


PROBLEMS = (dense, convolution, attention)

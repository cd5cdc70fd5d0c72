"""The blocks: Gauss-Newton blocks of five small networks on the digits, at several points of their training."""

import dataclasses
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import qnewton as qn
from qnewton._core.records import System
from qnewton._curvature import Point
from qnewton.lab._experiments.tasks import make_task

SMALLEST = 100


@dataclass(frozen=True)
class Network:
    """A network with its loss, how its parameters share blocks, and the steps of SGD after which blocks are taken.

    The convolution and the attention head see the first 512 examples, for the time that forming their blocks takes.
    """

    name: str
    init: Callable[[jax.Array], Any]
    objective: qn.Objective
    partition: qn.curvature.Partition
    targets: str
    checkpoints: tuple[int, ...]
    examples: int | None = None


@dataclass(frozen=True)
class Sample:
    """One undamped block, formed, and its gradient."""

    name: str
    system: System
    gradient: jax.Array


def dense(key: jax.Array, inputs: int, outputs: int, gain: float) -> dict[str, jax.Array]:
    weight = jax.random.normal(key, (inputs, outputs)) * np.sqrt(gain / inputs)
    return {"weight": weight, "bias": jnp.zeros(outputs)}


def perceptron(widths: tuple[int, ...], activation: Callable, gain: float) -> tuple[Callable, Callable]:
    def init(key):
        keys = jax.random.split(key, len(widths) - 1)
        return [dense(k, a, b, gain) for k, a, b in zip(keys, widths[:-1], widths[1:], strict=True)]

    def predict(params, x):
        for layer in params[:-1]:
            x = activation(x @ layer["weight"] + layer["bias"])
        return x @ params[-1]["weight"] + params[-1]["bias"]

    return init, predict


def convolution() -> tuple[Callable, Callable]:
    def init(key):
        one, two, three = jax.random.split(key, 3)
        return {
            "first": jax.random.normal(one, (3, 3, 1, 8)) * np.sqrt(2 / 9),
            "second": jax.random.normal(two, (3, 3, 8, 8)) * np.sqrt(2 / 72),
            "out": dense(three, 128, 10, 1.0),
        }

    def predict(params, x):
        z = x.reshape(-1, 8, 8, 1)
        for name, stride in (("first", 1), ("second", 2)):
            z = jax.lax.conv_general_dilated(
                z, params[name], (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            z = jax.nn.relu(z)
        return z.reshape(len(x), -1) @ params["out"]["weight"] + params["out"]["bias"]

    return init, predict


def attention() -> tuple[Callable, Callable]:
    """Eight rows of eight pixels as tokens, one head; its four matrices are one block."""

    def init(key):
        keys = jax.random.split(key, 7)
        square = {name: jax.random.normal(k, (16, 16)) / 4 for name, k in zip("qkvo", keys[:4], strict=True)}
        return {
            "attention": square,
            "embed": dense(keys[4], 8, 16, 1.0),
            "out": dense(keys[5], 16, 10, 1.0),
            "place": {"weight": jax.random.normal(keys[6], (8, 16)) / 4},
        }

    def predict(params, x):
        z = x.reshape(-1, 8, 8) @ params["embed"]["weight"] + params["embed"]["bias"] + params["place"]["weight"]
        head = params["attention"]
        weights = jax.nn.softmax(jnp.einsum("bti,bui->btu", z @ head["q"], z @ head["k"]) / 4)
        z = z + jnp.einsum("btu,bui->bti", weights, z @ head["v"]) @ head["o"]
        return jnp.mean(jnp.tanh(z), axis=1) @ params["out"]["weight"] + params["out"]["bias"]

    return init, predict


def half_square(outputs, targets):
    return jnp.sum((outputs - targets) ** 2, axis=1) / 2


def networks() -> list[Network]:
    cross_entropy = optax.softmax_cross_entropy_with_integer_labels
    made = {
        "relu": (perceptron((64, 16, 16, 10), jax.nn.relu, 2.0), (0, 20, 60, 200)),
        "tanh": (perceptron((64, 16, 16, 10), jnp.tanh, 1.0), (0, 20, 60, 200)),
        "conv": (convolution(), (0, 60)),
        "attention": (attention(), (0, 60)),
    }
    found = [
        Network(
            name,
            init,
            qn.Objective(predict, cross_entropy),
            qn.per_layer if name == "attention" else qn.per_tensor,
            "labels",
            checkpoints,
            512 if name in ("conv", "attention") else None,
        )
        for name, ((init, predict), checkpoints) in made.items()
    ]
    init, predict = perceptron((64, 8, 64), jnp.tanh, 1.0)
    return [*found, Network("ae", init, qn.Objective(predict, half_square), qn.per_tensor, "inputs", (0, 200))]


def samples(seed: int, only: Container[str], done_before: Container[str] = ()) -> Iterator[Sample]:
    """All blocks of at least `SMALLEST` parameters, of every network at every checkpoint, in float64.

    Args:
        seed: of the initial parameters.
        only: names of networks.
        done_before: names of blocks to leave out.
    """
    inputs, labels = make_task("digits-mlp", "float64").train.batch
    for network in networks():
        if network.name not in only:
            continue
        count = network.examples or len(inputs)
        batch = jnp.asarray(inputs[:count]), jnp.asarray((labels if network.targets == "labels" else inputs)[:count])
        params = network.init(jax.random.key(seed))
        optimizer = optax.sgd(0.1 if network.targets == "labels" else 0.01, momentum=0.9)
        gradient_of = jax.jit(jax.grad(network.objective))

        @jax.jit
        def step(params, state, batch, network=network, optimizer=optimizer):
            updates, state = optimizer.update(jax.grad(network.objective)(params, batch), state)
            return optax.apply_updates(params, updates), state

        state, done = optimizer.init(params), 0
        for checkpoint in network.checkpoints:
            for _ in range(checkpoint - done):
                params, state = step(params, state, batch)
            done = checkpoint
            gradients = gradient_of(params, batch)
            for block in network.partition(params):
                name = f"{network.name}/{checkpoint}/{block.name}/seed{seed}"
                if block.n < SMALLEST or name in done_before:
                    continue
                gradient = block.take(gradients)
                if float(jnp.linalg.norm(gradient)) > 0:
                    yield Sample(name, formed(network.objective, params, batch, block), gradient)


def formed(objective: qn.Objective, params: Any, batch: Any, block: qn.Block) -> System:
    """The block from Jacobians, which for few outputs is the quickest way, and where its layers lie in it."""
    matrix = jax.jit(lambda p, b: qn.GaussNewton(structure=False).form(objective, p, b, block))(params, batch)
    few = jax.tree.map(lambda leaf: leaf[:8], batch)
    layout = qn.GaussNewton().system(Point.of(objective, params, few), block).layout
    return dataclasses.replace(matrix, layout=layout)

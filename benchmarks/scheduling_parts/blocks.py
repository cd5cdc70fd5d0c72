"""A fixed set of real blocks: Gauss-Newton matrices of small networks on the digits, kept as what makes them again.

The matrices would take 2 GB; `blocks.json` beside this file keeps of each block the network, the steps of Adam that it
was trained for, the tensor and the damping, with size, norm and condition number to recognise it by. Written by

    .venv/bin/python -m benchmarks.scheduling_parts.blocks
"""

import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optax

import qnewton as qn
from qnewton._core.operators import Shifted
from qnewton._core.records import System
from qnewton._curvature.point import Point
from qnewton.lab._experiments.tasks import make_task

FILE = Path(__file__).with_suffix(".json")
EXAMPLES = 512


@dataclass(frozen=True)
class Recipe:
    """What makes a block again, and what to recognise it by.

    Attributes:
        network: one of `NETWORKS`.
        steps: of Adam, full batch, rate 0.01, seed 0.
        tensor: name of the block in `qn.per_tensor`.
        damping: added to the diagonal.
        n, frobenius_norm, condition_number: of the damped block, the last two to a few digits.
    """

    network: str
    steps: int
    tensor: str
    damping: float
    n: int
    frobenius_norm: float
    condition_number: float


@dataclass(frozen=True)
class Sample:
    """A damped block and its gradient.

    Attributes:
        system: formed.
        held: what solvers get: the matrix, or the arrays of an operator.
        operator_of: the operator of what is held.
        examples: that the block is a mean over.
    """

    recipe: Recipe
    system: System
    gradient: jax.Array
    held: Any
    operator_of: Callable[[Any], lx.AbstractLinearOperator]
    examples: int


def layers(widths: tuple[int, ...]) -> tuple[Callable, Callable]:
    def init(key: jax.Array) -> Any:
        keys = jax.random.split(key, len(widths) - 1)
        return [
            {"w": jax.random.normal(k, (i, o)) / i**0.5, "b": jnp.zeros(o)}
            for k, i, o in zip(keys, widths[:-1], widths[1:], strict=True)
        ]

    def predict(params: Any, x: jax.Array) -> jax.Array:
        for layer in params[:-1]:
            x = jnp.tanh(x @ layer["w"] + layer["b"])
        return x @ params[-1]["w"] + params[-1]["b"]

    return init, predict


def transformer() -> tuple[Callable, Callable]:
    """One layer over the eight rows of an image: attention, then two dense layers on every row."""
    width, wide = 24, 48
    shapes = {
        "embed": (8, width),
        "place": (8, width),
        **dict.fromkeys(("query", "key", "value", "joined"), (width, width)),
        "up": (width, wide),
        "down": (wide, width),
        "head": (width, 10),
    }

    def init(key: jax.Array) -> Any:
        keys = jax.random.split(key, len(shapes))
        return {
            name: jax.random.normal(k, shape) / shape[0] ** 0.5
            for k, (name, shape) in zip(keys, shapes.items(), strict=True)
        }

    def predict(params: Any, x: jax.Array) -> jax.Array:
        x = x.reshape(-1, 8, 8) @ params["embed"] + params["place"]
        q, k, v = (x @ params[name] for name in ("query", "key", "value"))
        share = jax.nn.softmax(jnp.einsum("bsi,bti->bst", q, k) / width**0.5)
        x = x + jnp.einsum("bst,bti->bsi", share, v) @ params["joined"]
        x = x + jnp.tanh(x @ params["up"]) @ params["down"]
        return x.mean(axis=1) @ params["head"]

    return init, predict


def squares(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    return jnp.sum((outputs - targets) ** 2, axis=-1) / 2


CROSS = optax.softmax_cross_entropy_with_integer_labels
NETWORKS: dict[str, tuple[Callable, Callable, Callable, bool]] = {
    # init, predict, loss, and whether the inputs are their own targets
    "mlp": (*layers((64, 16, 16, 10)), CROSS, False),
    "autoencoder": (*layers((64, 125, 16, 125, 64)), squares, True),
    "transformer": (*transformer(), CROSS, False),
}
STEPS = (30, 300)
ONCE_FROM = 2000
"""Rows from which a tensor is taken once only, after the most steps."""
UNFORMED_FROM = 512
"""Rows from which it is worth asking whether a block should be formed."""


@functools.cache
def trained(network: str, steps: int) -> tuple[qn.Objective, Any, Any]:
    init, predict, loss, itself = NETWORKS[network]
    inputs, targets = make_task("digits-mlp", "float32").train.batch
    inputs = jnp.asarray(inputs[:EXAMPLES])
    batch = (inputs, inputs if itself else jnp.asarray(targets[:EXAMPLES]))
    objective, optimizer = qn.Objective(predict, loss), optax.adam(0.01)

    @jax.jit
    def run(params: Any) -> Any:
        def step(carry: Any, _: None) -> tuple[Any, None]:
            params, state = carry
            updates, state = optimizer.update(jax.grad(objective)(params, batch), state)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, optimizer.init(params)), length=steps)[0][0]

    params = init(jax.random.key(0))
    return objective, run(params) if steps else params, batch


def formed(network: str, steps: int, tensor: str, examples: int = EXAMPLES) -> tuple[System, jax.Array]:
    """The undamped block and its gradient."""
    objective, params, batch = trained(network, steps)
    batch = jax.tree.map(lambda x: x[:examples], batch)
    system = jax.jit(lambda p: qn.GaussNewton().form(objective, p, batch, named(params, tensor)))(params)
    return system, named(params, tensor).take(jax.grad(objective)(params, batch))


def named(params: Any, tensor: str) -> qn.Block:
    (block,) = [one for one in qn.per_tensor(params) if one.name == tensor]
    return block


def unformed(recipe: Recipe, examples: int) -> Sample:
    """The block over fewer examples, as an operator, damped to the same condition number."""
    objective, params, batch = trained(recipe.network, recipe.steps)
    bare, gradient = formed(recipe.network, recipe.steps, recipe.tensor, examples)
    damping = damping_for(bare, recipe.condition_number)
    point = Point.of(objective, params, jax.tree.map(lambda x: x[:examples], batch))
    block = qn.GaussNewton().operator(point, named(params, recipe.tensor))
    operator = Shifted(block, jnp.asarray(damping, gradient.dtype), definite=True)
    held, rest = eqx.partition(operator, eqx.is_array)
    return Sample(recipe, damped(bare, damping), gradient, held, lambda arrays: eqx.combine(arrays, rest), examples)


def dense(matrix: jax.Array) -> lx.AbstractLinearOperator:
    return lx.MatrixLinearOperator(matrix, lx.symmetric_tag)


def damped(system: System, damping: float) -> System:
    matrix = system.matrix + damping * jnp.eye(system.like.shape[0], dtype=system.like.dtype)
    return System.of(matrix, symmetric=True, eigenvalue_floor=jnp.asarray(damping, system.like.dtype))


def samples(largest: int, only: set[int] | None, examples: int | None) -> Iterator[Sample]:
    """The kept blocks, made again.

    Args:
        largest: most rows.
        only: these numbers of rows; None: all.
        examples: of blocks that are to stay operators, from `UNFORMED_FROM` rows; None: formed ones.

    Raises:
        RuntimeError: if a formed one has another norm than when it was kept.
    """
    for values in json.loads(FILE.read_text()):
        recipe = Recipe(**values)
        if recipe.n > largest or (only is not None and recipe.n not in only):
            continue
        if examples is not None:
            if recipe.n >= UNFORMED_FROM:
                yield unformed(recipe, examples)
            continue
        bare, gradient = formed(recipe.network, recipe.steps, recipe.tensor)
        system = damped(bare, recipe.damping)
        norm = float(jnp.linalg.norm(system.matrix))
        if abs(norm / recipe.frobenius_norm - 1) > 0.05:
            raise RuntimeError(f"{recipe}: its norm is {norm} here, so it is another block")
        yield Sample(recipe, system, gradient, system.matrix, dense, EXAMPLES)


def write() -> None:
    recipes = []
    for network in NETWORKS:
        for steps in STEPS:
            for block in qn.per_tensor(trained(network, steps)[1]):
                if block.n >= ONCE_FROM and steps < max(STEPS):
                    continue
                system, gradient = formed(network, steps, block.name)
                if not (_top(system) > 0 and float(jnp.linalg.norm(gradient)) > 0):
                    continue
                # Condition numbers go round, so that every size and network meets each.
                kappa = (1.001, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6)[len(recipes) % 7]
                damping = damping_for(system, kappa)
                norm = float(jnp.linalg.norm(damped(system, damping).matrix))
                recipes.append(Recipe(network, steps, block.name, damping, block.n, norm, kappa))
                print(recipes[-1], flush=True)
    FILE.write_text("[\n" + ",\n".join(json.dumps(asdict(recipe)) for recipe in recipes) + "\n]\n")


def damping_for(system: System, condition_number: float) -> float:
    """What brings a semidefinite block with small eigenvalues to the condition number."""
    return _top(system) / max(condition_number - 1, 1e-3)


def _top(system: System) -> float:
    vector = np.random.default_rng(0).standard_normal(system.like.shape[0]).astype(np.float32)
    matrix = np.asarray(system.matrix)
    for _ in range(30):
        vector = matrix @ (vector / np.linalg.norm(vector))
    return float(np.linalg.norm(vector))


if __name__ == "__main__":
    write()

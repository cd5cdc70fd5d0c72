"""The five problems: data, plain models, targets, and the clock's settings.

Models are plain functions of a list of `{"weight", "bias"}` dicts; the loss of one example goes through `qn.Objective`,
so that every optimizer, ours and the rivals', is given the same function.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import qnewton as qn
from qnewton.lab._experiments.tasks import make_task

Params = list[dict[str, jax.Array]]


@dataclass(frozen=True)
class Target:
    """What has to be reached: `loss` at most `value`, or `accuracy` at least `value`; not judged: for information."""

    quantity: str
    value: float
    judged: bool = True

    @property
    def name(self) -> str:
        return f"{self.quantity}_{self.value:g}"

    def met(self, measured: dict[str, float]) -> bool:
        value = measured[self.quantity]
        return value >= self.value if self.quantity == "accuracy" else value <= self.value


@dataclass(frozen=True)
class Problem:
    """A training problem with its targets.

    Attributes:
        name, description: in the output.
        objective: mean loss per example, in predict and loss.
        kind: of loss: `softmax` or `squares` (half the sum of squared residuals per example, the residuals being
            `predict - targets`), for rivals that must be told.
        init: seed to parameters.
        batch: all training examples.
        evaluate: `params -> {quantity: value}`, never timed.
        targets: from easy to hard.
        granularity_seconds: steps are fused until they take about this long; the resolution of every time.
        timeout_seconds: of a run, on the clock that excludes compilation and evaluation.
        batch_size: None for the full batch.
        x64: whether arrays are float64.
    """

    name: str
    description: str
    objective: qn.Objective
    kind: str
    init: Callable[[int], Params]
    batch: tuple[Any, Any]
    evaluate: Callable[[Params], dict[str, jax.Array]]
    targets: tuple[Target, ...]
    granularity_seconds: float
    timeout_seconds: float
    batch_size: int | None = None
    x64: bool = False


def perceptron(widths: tuple[int, ...], seed: int, gain: float, dtype: Any) -> Params:
    """Dense layers with weights of variance `gain / inputs` (LeCun's for gain 1, He's for 2) and zero biases."""
    keys = jax.random.split(jax.random.key(seed), len(widths) - 1)
    return [
        {
            "weight": jnp.sqrt(jnp.asarray(gain / a, dtype)) * jax.random.normal(key, (a, b), dtype),
            "bias": jnp.zeros(b, dtype),
        }
        for key, a, b in zip(keys, widths[:-1], widths[1:], strict=True)
    ]


def apply(params: Params, x: jax.Array, activation: Callable[[jax.Array], jax.Array]) -> jax.Array:
    for layer in params[:-1]:
        x = activation(x @ layer["weight"] + layer["bias"])
    return x @ params[-1]["weight"] + params[-1]["bias"]


def half_square(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """Half the sum of squared residuals of each example."""
    residuals = outputs - targets
    return 0.5 * jnp.sum(residuals**2, axis=tuple(range(1, residuals.ndim)))


def digits() -> Problem:
    """Classification of the 8x8 digits, full batch."""
    return _digits("digits", 8, 0.0015, 1.5)


def digits28() -> Problem:
    """The same images at the size of MNIST's, whose first layer has most of the parameters."""
    return _digits("digits28", 28, 0.01, 3.0)


def _digits(name: str, side: int, granularity_seconds: float, timeout_seconds: float) -> Problem:
    task = make_task("digits-mlp", "float32")
    objective = qn.Objective(lambda p, x: apply(p, x, jax.nn.relu), optax.softmax_cross_entropy_with_integer_labels)

    def sized(batch: tuple[Any, Any]) -> tuple[jax.Array, jax.Array]:
        images, labels = (jnp.asarray(part) for part in batch)
        if side != 8:
            images = jax.image.resize(images.reshape(-1, 8, 8), (len(images), side, side), "linear")
        return images.reshape(len(images), -1), labels

    train, test = sized(task.train.batch), sized(task.test.batch)

    def evaluate(params: Params) -> dict[str, jax.Array]:
        guesses = jnp.argmax(objective.predict(params, test[0]), axis=-1)
        return {"loss": objective(params, train), "accuracy": jnp.mean(guesses == test[1])}

    return Problem(
        name=name,
        description=f"MLP {side**2}-16-16-10, ReLU, cross-entropy, 1,437 digits of {side}x{side}, full batch, float32",
        objective=objective,
        kind="softmax",
        init=lambda seed: perceptron((side**2, 16, 16, 10), seed, 2.0, jnp.float32),
        batch=train,
        evaluate=jax.jit(evaluate),
        targets=(Target("accuracy", 0.95), Target("loss", 0.01), Target("loss", 1e-3)),
        granularity_seconds=granularity_seconds,
        timeout_seconds=timeout_seconds,
    )


def _autoencoder(name: str, batch_size: int | None) -> Problem:
    task = make_task("digits-mlp", "float32")
    images = jnp.asarray(task.train.inputs)
    objective = qn.Objective(lambda p, x: apply(p, x, jnp.tanh), half_square)
    widths = (64, 128, 64, 32, 8, 32, 64, 128, 64)
    size = "full batch" if batch_size is None else f"batches of {batch_size}, reshuffled each epoch"
    return Problem(
        name=name,
        description=f"tanh autoencoder {'-'.join(map(str, widths))}, 1,437 digits in [0, 1], {size}, float32; half "
        "the sum of squares over the 64 pixels, mean over the examples",
        objective=objective,
        kind="squares",
        init=lambda seed: perceptron(widths, seed, 1.0, jnp.float32),
        batch=(images, images),
        evaluate=jax.jit(lambda params: {"loss": objective(params, (images, images))}),
        targets=(Target("loss", 0.3), Target("loss", 0.15), Target("loss", 0.1)),
        granularity_seconds=0.02,
        timeout_seconds=5.0 if batch_size is None else 4.0,
        batch_size=batch_size,
    )


def autoencoder() -> Problem:
    return _autoencoder("autoencoder", None)


def autoencoder_minibatch() -> Problem:
    return _autoencoder("autoencoder_minibatch", 512)


def forward_laplacian(params: Params, points: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`u` and its Laplacian at `points [n, 2]`, carried through the network together with both first derivatives.

    The values are those of nested forward mode (jvp of jvp along each axis), in half its time: four matrix products per
    layer, kept apart because XLA's CPU backend runs them faster than one stacked product. The idea is the forward
    Laplacian's (Li et al. 2023, arXiv:2307.08214).
    """
    weight = params[0]["weight"]
    value = points @ weight + params[0]["bias"]
    along_x, along_y = (jnp.broadcast_to(row, value.shape) for row in weight)
    laplacian = jnp.zeros_like(value)
    for layer in params[1:]:
        value = jnp.tanh(value)
        slope = 1 - value**2
        laplacian = slope * (laplacian - 2 * value * (along_x**2 + along_y**2))
        along_x, along_y = slope * along_x, slope * along_y
        weight = layer["weight"]
        value, laplacian = value @ weight + layer["bias"], laplacian @ weight
        along_x, along_y = along_x @ weight, along_y @ weight
    return value[..., 0], laplacian[..., 0]


def poisson() -> Problem:
    """-Laplacian u = 2 pi^2 sin(pi x) sin(pi y) on the unit square, u = 0 on its boundary."""
    rng = np.random.default_rng(0)
    interior = rng.uniform(size=(400, 2))
    along = rng.uniform(size=80)
    side = np.repeat(np.arange(4), 20)
    edge = np.stack([np.where(side < 2, side, along), np.where(side < 2, along, side - 2)], axis=1)
    points = jnp.asarray(np.concatenate([interior, edge]))
    on_edge = jnp.arange(480) >= 400

    source = 2 * jnp.pi**2 * jnp.prod(jnp.sin(jnp.pi * points), axis=-1)

    def residual(params: Params, inputs: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        """One residual per point, the square root of its weight folded in."""
        points, source, on_edge = inputs
        u, laplacian = forward_laplacian(params, points)
        return jnp.where(on_edge, 10.0 * u, laplacian + source)

    objective = qn.Objective(residual, half_square)
    batch = ((points, source, on_edge), jnp.zeros(480))
    return Problem(
        name="poisson",
        description="physics-informed network for a 2-D Poisson equation, MLP 2-32-32-1, tanh, 400 interior and 80 "
        "boundary points (weight 100), float64; half the sum of squared residuals (480 times the mean loss)",
        objective=objective,
        kind="squares",
        init=lambda seed: perceptron((2, 32, 32, 1), seed, 1.0, jnp.float64),
        batch=batch,
        evaluate=jax.jit(lambda params: {"loss": 480 * objective(params, batch)}),
        targets=(
            *(Target("loss", value) for value in (1.0, 0.1, 0.01, 0.001)),
            *(Target("loss", value, judged=False) for value in (1e-4, 1e-6)),
        ),
        granularity_seconds=0.01,
        timeout_seconds=6.0,
        x64=True,
    )


PROBLEMS = {
    "digits": digits,
    "digits28": digits28,
    "autoencoder": autoencoder,
    "poisson": poisson,
    "autoencoder_minibatch": autoencoder_minibatch,
}
# Those whose arrays are float64: jax must be told before `PROBLEMS[name]()` makes them.
FLOAT64 = frozenset({"poisson"})

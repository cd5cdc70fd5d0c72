"""`digits-mlp`: the 8x8 digits that ship with scikit-learn, and a small multilayer perceptron."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PyTree

from ...curvature import Batch, Objective
from .base import Data, Task

HIDDEN = 16
# The split is part of the task: it does not move with a run's seed, so that runs can be compared.
SPLIT_SEED = 0


def digits_mlp(dtype: str) -> Task:
    """MLP 64-16-16-10 with ReLU on 1,797 images of handwritten digits, a fifth of them held out.

    Data: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, as shipped by
    `sklearn.datasets.load_digits`; grey values divided by 16. The network is Q-Newton's (784-16-16-10) on smaller
    images.
    """
    model = eqx.nn.MLP(64, 10, HIDDEN, 2, key=jax.random.key(0))
    _, static = eqx.partition(model, eqx.is_inexact_array)

    def init(key: Array) -> PyTree:
        fresh = eqx.nn.MLP(64, 10, HIDDEN, 2, dtype=jnp.dtype(dtype), key=key)
        return eqx.filter(fresh, eqx.is_inexact_array)

    def predict(params: PyTree, inputs: Float[Array, "batch 64"]) -> Float[Array, "batch 10"]:
        return jax.vmap(eqx.combine(params, static))(inputs)

    def accuracy(params: PyTree, batch: Batch) -> Float[Array, ""]:
        inputs, targets = batch
        return jnp.mean(jnp.argmax(predict(params, inputs), axis=-1) == targets)

    train, test = _split(dtype)
    return Task(
        name="digits-mlp",
        model=f"MLP 64-{HIDDEN}-{HIDDEN}-10, ReLU",
        source="8x8 digits, scikit-learn",
        init=init,
        objective=Objective(predict, optax.softmax_cross_entropy_with_integer_labels),
        accuracy=accuracy,
        train=train,
        test=test,
    )


def _split(dtype: str) -> tuple[Data, Data]:
    # Imported here: scikit-learn takes a second to load, and `qnewton --help` should not.
    from sklearn.datasets import load_digits

    inputs, targets = load_digits(return_X_y=True)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(inputs))
    inputs, targets = (inputs[order] / 16).astype(dtype), targets[order].astype(np.int32)
    held_out = len(inputs) // 5
    return Data(inputs[held_out:], targets[held_out:]), Data(inputs[:held_out], targets[:held_out])

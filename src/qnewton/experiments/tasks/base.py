"""What a task is: data, a model, an objective."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Array, Float, PyTree

from ...curvature import Batch, Objective


@dataclass(frozen=True)
class Data:
    """Inputs and targets with a common leading axis, on the host.

    Attributes:
        inputs: `[examples, ...]`.
        targets: `[examples, ...]`.
    """

    inputs: np.ndarray
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def batch(self) -> Batch:
        """All of it."""
        return self.inputs, self.targets


@dataclass(frozen=True)
class Task:
    """A training problem.

    Attributes:
        name: in the registry.
        model: what is trained, in words.
        source: where the data come from, in words.
        init: key to parameters.
        objective: what is minimised.
        accuracy: `(params, batch)` to the fraction of correct predictions.
        train, test: the data; `test` is never trained on.
    """

    name: str
    model: str
    source: str
    init: Callable[[Array], PyTree]
    objective: Objective
    accuracy: Callable[[PyTree, Batch], Float[Array, ""]]
    train: Data
    test: Data


def batches(data: Data, size: int, seed: int) -> Iterator[Batch]:
    """Endless shuffled batches of one size; what is left of a pass over the data is skipped.

    A batch as large as the data is the data itself, in its own order: shuffling would only move rounding errors.
    """
    size = min(size, len(data))
    rng = np.random.default_rng(seed)
    while True:
        order = np.arange(len(data)) if size == len(data) else rng.permutation(len(data))
        for start in range(0, len(data) - size + 1, size):
            chosen = order[start : start + size]
            yield jax.tree.map(lambda leaf, chosen=chosen: leaf[chosen], data.batch)

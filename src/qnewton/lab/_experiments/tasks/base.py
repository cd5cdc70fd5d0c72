"""Interface of a task: data, a model, an objective."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Array, Float, PyTree

from ...._curvature import Batch, Objective


@dataclass(frozen=True)
class Data:
    """Inputs and targets with a common leading axis, on the host.

    Attributes:
        inputs: `[examples, ...]`.
        targets: pytree of `[examples, ...]`.
        fresh: draws anew, for each batch, what is random in it; None where nothing is.
    """

    inputs: np.ndarray
    targets: PyTree
    fresh: Callable[[Batch, np.random.Generator], Batch] | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def batch(self) -> Batch:
        """All data as one batch."""
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
        accuracy: `(params, batch)` to the fraction of correct predictions; None where nothing is right or wrong.
        train, test: the data; `test` is never trained on.
    """

    name: str
    model: str
    source: str
    init: Callable[[Array], PyTree]
    objective: Objective
    accuracy: Callable[[PyTree, Batch], Float[Array, ""]] | None
    train: Data
    test: Data


def batches(data: Data, size: int, seed: int, start: int = 0) -> Iterator[Batch]:
    """Yield endless shuffled batches of one size; the rest of a pass over the data is skipped.

    The batch of a step is a function of seed and step alone, so that training can go on where it stopped. A batch as
    large as the data is the data itself, in its own order: shuffling would only move rounding errors.

    Args:
        data: to take them from.
        size: examples of a batch, at most all.
        seed: of the order, and of what is drawn anew.
        start: the step that the first batch belongs to.
    """
    size = min(size, len(data))
    per_epoch = len(data) // size
    order, ordered = np.arange(len(data)), None
    for step in itertools.count(start):
        epoch, position = divmod(step, per_epoch)
        if epoch != ordered and size < len(data):
            order, ordered = np.random.default_rng((seed, epoch)).permutation(len(data)), epoch
        chosen = order[position * size : (position + 1) * size]
        batch = jax.tree.map(lambda leaf, chosen=chosen: leaf[chosen], data.batch)
        # The third number keeps these draws apart from those of the order.
        yield batch if data.fresh is None else data.fresh(batch, np.random.default_rng((seed, step, 1)))

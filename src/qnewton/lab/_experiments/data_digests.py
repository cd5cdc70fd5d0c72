"""Digests of the arrays that a training uses, by which other data of the same name and count are told apart."""

import hashlib

import jax
import numpy as np

from .tasks.base import Task


def data_digests(task: Task) -> dict[str, str]:
    """SHA-256 of each array of inputs and targets, of its shape and of its type.

    Args:
        task: with its data on the host.

    Returns:
        Names such as `train inputs` to digests; a target that is a pytree has one for each leaf.
    """
    found = {}
    for part, data in (("train", task.train), ("test", task.test)):
        for what, tree in (("inputs", data.inputs), ("targets", data.targets)):
            for path, leaf in jax.tree.leaves_with_path(tree):
                found[f"{part} {what}{jax.tree_util.keystr(path)}"] = _digest(np.asarray(leaf))
    return found


def _digest(array: np.ndarray) -> str:
    counted = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    counted.update(np.ascontiguousarray(array).view(np.uint8).data)
    return counted.hexdigest()

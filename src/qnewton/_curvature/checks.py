"""Checks that refuse invalid batches in words before anything is computed from them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, PyTree

from .._core.trees import leaf_names
from .batch import example_count, leads


def check_batch(batch: object) -> None:
    """Refuse a batch without examples, or with arrays that disagree on the number of examples.

    Scalars, single keys and what is `Shared` have no axis for the examples, and are let through.

    Raises:
        ValueError: with the counts that were found.
    """
    if not (isinstance(batch, (tuple, list)) and len(batch) == 2):
        raise ValueError(
            f"batch is {_told(batch)}: it must be (inputs, targets), two pytrees of arrays; "
            "give None for targets that the loss does not need"
        )
    counts: dict[int, str] = {}
    for part, tree in zip(("inputs", "targets"), batch, strict=True):
        names = leaf_names(tree)
        for name, leaf, counting in zip(names, jax.tree.leaves(tree), leads(tree), strict=True):
            if getattr(getattr(leaf, "dtype", None), "kind", "f") in "OSUM":
                raise ValueError(
                    f"the batch holds an array of {leaf.dtype} in {part if len(names) == 1 else f'{part} `{name}`'}: "
                    "only numbers and keys can be computed with; encode it as numbers, or keep it outside of the batch"
                )
            if counting:
                counts.setdefault(jnp.shape(leaf)[0], part if len(names) == 1 else f"{part} `{name}`")
    example_count(batch[0])
    if 0 in counts:
        raise ValueError(
            f"the batch is empty: {counts[0]} has no examples along its leading axis, and a mean needs one"
        )
    if len(counts) > 1:
        found = ", ".join(f"{count} in {place}" for count, place in counts.items())
        raise ValueError(
            f"the batch does not say how many examples it has: {found}. The leading axis of every array in inputs and "
            "targets must count them; what all examples share goes into a qnewton.Shared"
        )


def check_labels(loss: Callable[[PyTree, PyTree], PyTree], outputs: PyTree, targets: PyTree) -> None:
    """Refuse class labels without a corresponding output, if their values are known.

    An index above the last class makes such a loss NaN, and one below zero counts from the end, in silence. Integers
    that are no labels are let through: only losses that are seen to do one of the two are refused.

    Args:
        loss: of the objective.
        outputs: of the model `[batch, ..., classes]`; only shape and dtype are read.
        targets: of the batch.

    Raises:
        ValueError: with the labels that were found and those that would do.
    """
    leaves = jax.tree.leaves(targets)
    unknown = len(leaves) != 1 or isinstance(leaves[0], Tracer | jax.ShapeDtypeStruct)
    if unknown or not hasattr(outputs, "shape"):
        return
    labels: Any = leaves[0]
    if not getattr(labels, "is_fully_addressable", True):
        return  # spread over processes: no one sees all of them
    integers = hasattr(labels, "dtype") and jnp.issubdtype(labels.dtype, jnp.integer)
    if not integers or jnp.ndim(outputs) < 2 or jnp.shape(outputs)[:-1] != jnp.shape(labels):
        return
    classes = jnp.shape(outputs)[-1]
    low, high = int(np.min(np.asarray(labels))), int(np.max(np.asarray(labels)))
    if classes < 2 or (low >= 0 and high < classes):
        return
    with jax.ensure_compile_time_eval():
        logits = jax.random.normal(jax.random.key(0), jnp.shape(outputs), outputs.dtype)

        def of(given: Array) -> Array:
            values = loss(logits, jax.tree.unflatten(jax.tree.structure(targets), [given]))
            return values[0] * values[1] if isinstance(values, tuple) else values

        seen, wrapped = of(labels), of(jnp.where(labels < 0, labels % classes, labels))
        if isinstance(seen, Tracer) or isinstance(wrapped, Tracer):
            return
        undefined = high >= classes and bool(jnp.any(jnp.isnan(seen)))
        silent = low < 0 and bool(jnp.array_equal(seen, wrapped, equal_nan=True))
    if undefined or silent:
        raise ValueError(
            f"the labels run from {low} to {high}, and the model has {classes} outputs: labels must be 0 to "
            f"{classes - 1}. Where a label means that there is none, return (values, weights) from the loss, with "
            "weight 0 and a valid label there"
        )


def _told(batch: PyTree) -> str:
    if hasattr(batch, "shape"):
        return f"one array of shape {batch.shape}"
    return type(batch).__name__ + (f" of length {len(batch)}" if isinstance(batch, (tuple, list)) else "")

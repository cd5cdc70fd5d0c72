"""Parameters that a model concatenates before it uses them, such as a cell's gates multiplied at once."""

from collections.abc import Sequence
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .uses import Use, View


def join(views: Sequence[View], axis: int) -> View:
    """Return the concatenation of parameters; its entries are positions in the raveled operands, in sequence."""
    start, numbered = 0, []
    for view in views:
        numbered.append(start + np.arange(view.entries.size, dtype=np.int32).reshape(view.entries.shape))
        start += view.entries.size
    return View(-1, start, np.concatenate(numbered, axis=axis), tuple(views))


def split(use: Use, view: View) -> list[Use] | None:
    """Return the uses of each parameter in a use of joined ones; None unless they are rows or columns of its matrix.

    Args:
        use: as it is found in the view.
        view: joined or not.
    """
    if not view.parts:
        return [use]
    if use.copies > 1:
        return None
    found, start = [], 0
    for part in view.parts:
        inside = (use.index >= start) & (use.index < start + part.entries.size)
        rows, columns = np.any(inside, axis=1), np.any(inside, axis=0)
        if np.any(inside):
            whole = np.sum(inside) == np.sum(rows) * np.sum(columns) and (np.all(rows) or np.all(columns))
            if part.repeats or not whole:
                return None
            index = part.entries.reshape(-1)[use.index[np.ix_(rows, columns)] - start]
            own = split(_part(use, np.flatnonzero(rows), np.flatnonzero(columns), index, part), part)
            if own is None:
                return None
            found += own
        start += part.entries.size
    return found


def _part(use: Use, rows: np.ndarray, columns: np.ndarray, index: np.ndarray, part: View) -> Use:
    def read(operands: Sequence[Array]) -> Float[Array, "t i"]:
        return use.read(operands)[:, rows]

    def place(perturbation: Float[Array, "t o"]) -> Array:
        full = jnp.zeros(use.output_shape, perturbation.dtype)
        return use.place(full.at[:, columns].set(perturbation))

    return replace(use, leaf=part.leaf, size=part.size, index=index, read=read, place=place)

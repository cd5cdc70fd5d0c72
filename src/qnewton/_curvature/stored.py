"""Parameters that are stored in types of their own, seen by Newton's method in the one type that it works in."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from .._core.widths import is_narrow, working_type
from .objective import Objective


@dataclass(frozen=True)
class StoredModel:
    """A model as a function of parameters in the working type: it sees them rounded to the types they are stored in.

    So it computes in its own types, as it does for the user's gradient, and a step is tried where it will lead.

    Attributes:
        predict: the user's.
        dtypes: of the parameters' leaves.
    """

    predict: Callable[..., PyTree]
    dtypes: tuple[jnp.dtype, ...]

    def __call__(self, params: PyTree, inputs: PyTree, **key: Any) -> PyTree:
        """The user's model."""
        return self.predict(self.stored(params), inputs, **key)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.predict)

    def stored(self, params: PyTree) -> PyTree:
        """The parameters, arrays or shapes, as the user's model sees them."""
        leaves, structure = jax.tree.flatten(params)
        rounded = [_in_type(leaf, dtype) for leaf, dtype in zip(leaves, self.dtypes, strict=True)]
        return jax.tree.unflatten(structure, rounded)


def stored_rounding(objective: Objective) -> float:
    """Unit of rounding of the narrowest type that the parameters are stored in; 0 where it is the working one."""
    model = objective.predict
    return max(float(jnp.finfo(dtype).eps) for dtype in model.dtypes) if isinstance(model, StoredModel) else 0.0


@dataclass(frozen=True)
class Widths:
    """The types of a training's parameters.

    Attributes:
        stored: of each leaf.
        working: that of all of them in curvature, solves, dampings and steps.
    """

    stored: tuple[jnp.dtype, ...]
    working: jnp.dtype

    @classmethod
    def of(cls, params: PyTree) -> "Widths":
        """Of arrays or shapes."""
        leaves = jax.tree.leaves(params)
        own = tuple(jnp.dtype(jax.dtypes.canonicalize_dtype(leaf.dtype)) for leaf in leaves)
        return cls(own, working_type(params))

    @property
    def differ(self) -> bool:
        """Whether anything is stored in another type than the working one."""
        return any(dtype != self.working for dtype in self.stored)

    def objective(self, objective: Objective) -> Objective:
        """The same objective for parameters in the working type."""
        return replace(objective, predict=StoredModel(objective.predict, self.stored)) if self.differ else objective

    def widened(self, tree: PyTree) -> PyTree:
        """Parameters, gradients or shapes of them in the working type."""
        return jax.tree.map(lambda leaf: _in_type(leaf, self.working), tree) if self.differ else tree

    def rounded(self, step: PyTree, params: PyTree) -> PyTree:
        """A step in the types of the parameters that leads to where the step, added to them and rounded, leads.

        Args:
            step: in the working type.
            params: as they are stored.
        """
        if not self.differ:
            return step

        def of_leaf(move: Array, start: Array) -> Array:
            if not is_narrow(start.dtype):
                return move.astype(start.dtype)
            wide = start.astype(self.working)
            return ((wide + move).astype(start.dtype).astype(self.working) - wide).astype(start.dtype)

        return jax.tree.map(of_leaf, step, params)


def as_written(objective: Objective, params: PyTree) -> tuple[Objective, PyTree]:
    """The user's objective and parameters, arrays or shapes, in the types that it was written for."""
    model = objective.predict
    if not isinstance(model, StoredModel):
        return objective, params
    return replace(objective, predict=model.predict), model.stored(params)


def _in_type(leaf: Array | jax.ShapeDtypeStruct, dtype: jnp.dtype) -> Array | jax.ShapeDtypeStruct:
    if isinstance(leaf, jax.ShapeDtypeStruct):
        return jax.ShapeDtypeStruct(leaf.shape, dtype)
    return jnp.asarray(leaf, dtype)

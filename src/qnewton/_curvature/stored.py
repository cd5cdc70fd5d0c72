"""Parameters in storage types of their own, converted to the one type that Newton's method works in."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PyTree

from .._core.jaxprs import coarsest_rounding
from .._core.widths import COARSE, is_narrow, widened, working_type
from .objective import Objective


@dataclass(frozen=True)
class StoredModel:
    """A model as a function of parameters in the working type, which it rounds to the types they are stored in.

    So it computes in its own types, as it does for the user's gradient, and a step is tried where it will lead.

    Attributes:
        predict: the user's.
        dtypes: of the parameters' leaves.
    """

    predict: Callable[..., PyTree]
    dtypes: tuple[jnp.dtype, ...]

    def __call__(self, params: PyTree, inputs: PyTree, **key: Any) -> PyTree:
        """Call the user's model."""
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
    """Return the rounding unit of the narrowest type that parameters are stored in; 0 if it is the working type."""
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
        """Return the types of arrays or shapes."""
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

    def narrowed(self, batch: PyTree) -> PyTree:
        """The batch with floats that are wider than the working type in that type, which the state has."""

        def narrow(leaf: Any) -> Any:
            dtype = getattr(leaf, "dtype", None)
            if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
                return leaf
            wide = jax.dtypes.canonicalize_dtype(dtype).itemsize > self.working.itemsize
            return jnp.asarray(leaf, self.working) if wide else leaf

        return jax.tree.map(narrow, batch)

    def rounded(self, step: PyTree, params: PyTree) -> PyTree:
        """Return a step in the parameters' types with the same end point as the given step, added to them and rounded.

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


@dataclass(frozen=True)
class WideModel:
    """A model that receives inputs and parameters in the working type, for curvature computed without 16-bit floats.

    Attributes:
        predict: the user's.
    """

    predict: Callable[..., PyTree]

    def __call__(self, params: PyTree, inputs: PyTree, **key: Any) -> PyTree:
        """Call the user's model."""
        return self.predict(params, widened(inputs), **key)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.predict)


def computed_wide(objective: Objective, params: PyTree, inputs: PyTree, key: Key[Array, ""] | None) -> Objective:
    """Return the same objective with a model that computes in the working type, if the user's does when given it.

    A model that names its types (a state that is carried in 16 bits, a cast on the way) stays as it is.

    Args:
        objective: of parameters in the working type.
        params: in it, arrays or shapes.
        inputs: of the batch, likewise.
        key: of the model, where it takes one.
    """
    if not isinstance(objective.predict, StoredModel):
        return objective
    wide = replace(objective, predict=WideModel(objective.predict.predict))
    # It has run on its own types, or does so next: an exception here is about the types, and hides nothing.
    try:
        traced = jax.make_jaxpr(lambda p, x, k: wide.outputs(p, x, k))(params, inputs, key)
    except Exception:
        return objective
    return objective if coarsest_rounding(traced.jaxpr) >= COARSE else wide


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

"""A primitive for what a formula leaves to a function that is handed in, so that both are compiled once."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive

CALL = Primitive("call_by_name")
CALL.multiple_results = True


@CALL.def_abstract_eval
def _shapes(*arguments: Any, name: str, kinds: tuple[str, ...]) -> list[Any]:
    return [ShapedArray((), jnp.dtype(kind)) for kind in kinds]


def call(name: str, arguments: Sequence[Any], kinds: Mapping[str, str]) -> dict[str, jax.Array]:
    """Trace a call of a JavaScript function with scalars.

    Args:
        name: of the parameter that the compiled formula gets for it.
        arguments: arrays of one entry, or numbers.
        kinds: types of the results by their names; compiled functions return them in the order of the names.

    Returns:
        Its results, each in the shape of the arguments.
    """
    scalars = [jnp.asarray(argument, float) for argument in arguments]
    shape = jnp.broadcast_shapes(*(scalar.shape for scalar in scalars))
    names = sorted(kinds)
    types = tuple(kinds[one] for one in names)
    found = CALL.bind(*(scalar.reshape(()) for scalar in scalars), name=name, kinds=types)
    return {one: jnp.reshape(value, shape) for one, value in zip(names, found, strict=True)}

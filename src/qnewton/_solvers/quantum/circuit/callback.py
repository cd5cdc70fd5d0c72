"""A host callback that keeps the width of its numbers.

`jax.enable_x64` holds for the thread that entered it, and a callback may run in another one: there `jax.pure_callback`
rounds float64 arguments to float32, silently, and refuses float64 results. So floats travel as 32-bit words.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


def call_on_host(
    function: Callable[..., tuple[np.ndarray, np.ndarray]], floats: int, integers: int, *arguments: Float[Array, "..."]
) -> tuple[Float[Array, " floats"], Int[Array, " integers"]]:
    """Call a function of numpy arrays from inside a jitted step; once per element of a mapped one.

    Args:
        function: of as many arrays as there are `arguments`; returns a vector of floats and one of integers.
        floats: length of the one.
        integers: length of the other.
        arguments: float32 or float64, all the same.

    Returns:
        The floats in the dtype of the arguments, and the integers as int32.
    """
    dtype = np.dtype(arguments[0].dtype)
    words = dtype.itemsize // 4

    def host(*packed: Array) -> tuple[np.ndarray, np.ndarray]:
        unpacked = (np.asarray(argument, order="C").view(dtype) for argument in packed)
        found, counted = function(*(array if words == 1 else array[..., 0] for array in unpacked))
        shape = (floats,) if words == 1 else (floats, words)
        return found.astype(dtype).view(np.uint32).reshape(shape), counted.astype(np.int32)

    like = jax.ShapeDtypeStruct((floats,) if words == 1 else (floats, words), jnp.uint32)
    found, counted = jax.pure_callback(
        host,
        (like, jax.ShapeDtypeStruct((integers,), jnp.int32)),
        *(jax.lax.bitcast_convert_type(argument, jnp.uint32) for argument in arguments),
        vmap_method="sequential",
    )
    return jax.lax.bitcast_convert_type(found, dtype), counted

"""Formulas that work for numpy and JAX alike: the choice of namespace and of float width.

A cost formula is called at a desk with Python floats, in a sweep with numpy arrays of doubles and inside a traced step
with JAX arrays. Without jax's x64 mode a JAX array is single precision, which ends at 3e38 and keeps seven digits: less
than a query count at a condition number of 1e30 needs. So numbers that no JAX array touches stay with numpy, in double
precision.
"""

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import DTypeLike

_State = TypeVar("_State")

NumberArray: TypeAlias = np.ndarray | jax.Array
"""Numbers in an array of numpy or JAX, traced or not: what a formula computes with and returns."""

Number: TypeAlias = float | NumberArray
"""What a formula takes: a number of Python, or an array of them."""

quiet = np.errstate(all="ignore")
"""Decorator of formulas whose ends are meant: numpy warns where a number overflows, JAX does not."""


def namespace(*values: object) -> ModuleType:
    """`jax.numpy` where any of the values is a JAX array or a tracer, else `numpy`."""
    return jnp if any(isinstance(value, jax.Array) for value in values) else np


def floating(*values: Number) -> tuple[ModuleType, *tuple[NumberArray, ...]]:
    """The namespace, then the values as arrays of one floating-point type.

    numpy computes in double precision, JAX in the widest type among its arrays; Python numbers do not widen it.

    Example:
        `xp, kappa, precision = floating(kappa, precision)`
    """
    xp = namespace(*values)
    dtype = np.float64 if xp is np else jnp.result_type(*values, float)
    return (xp, *(xp.asarray(value, dtype) for value in values))


def constant(xp: ModuleType, table: np.ndarray) -> NumberArray:
    """Return a table of numpy's as an array of the namespace, in its default width.

    JAX remembers the array that it made of a table under `jit`: without a type here a function that is traced in double
    precision would get the one of an earlier trace in single precision.
    """
    return xp.asarray(table, float if table.dtype.kind == "f" else int)


def ceil(xp: ModuleType, value: NumberArray) -> NumberArray:
    """Round up to an integer, with the derivative of the value: a count is nearly as smooth as what it rounds."""
    return _rounded(xp, xp.ceil, value)


def floor(xp: ModuleType, value: NumberArray) -> NumberArray:
    """Round down to an integer, with the derivative of the value."""
    return _rounded(xp, xp.floor, value)


def _rounded(xp: ModuleType, rounding: Callable[[NumberArray], NumberArray], value: NumberArray) -> NumberArray:
    if xp is np:
        return rounding(value)
    # The difference is 0 unless the value is not finite, and then it must not make an infinity into no number.
    passed = jnp.where(jnp.isfinite(value), value - jax.lax.stop_gradient(value), 0.0)
    return jax.lax.stop_gradient(rounding(value)) + passed


def repeat(xp: ModuleType, step: Callable[[_State], _State], state: _State, times: int) -> _State:
    """Apply `step` `times` times: a Python loop in numpy, a loop that is compiled once in JAX.

    The state is a pytree whose shapes and types `step` keeps. Reverse-mode derivatives pass through.
    """
    if xp is jnp:
        return jax.lax.fori_loop(0, times, lambda _, carried: step(carried), state)
    for _ in range(times):
        state = step(state)
    return state


def first_of(
    conditions: Sequence[NumberArray], values: Sequence[jax.typing.ArrayLike], otherwise: jax.typing.ArrayLike
) -> jax.Array:
    """`jnp.select`: the value of the first condition that holds.

    One comparison within another, which become part of what computes the conditions, where `jnp.select` looks for the
    first one by a reduction: a kernel of its own, which has to be compiled.
    """
    chosen = otherwise
    for condition, value in zip(reversed(conditions), reversed(values), strict=True):
        chosen = jnp.where(condition, value, chosen)
    return jnp.asarray(chosen)


def filled(shape: Sequence[int], value: float, dtype: DTypeLike) -> jax.Array:
    """Return `jnp.full` for an initial state.

    Outside of a trace it is copied to the device, and nothing is compiled.
    """
    if isinstance(value, Tracer):
        return jnp.full(shape, value, dtype)
    return jax.device_put(np.full(shape, value, dtype))

"""What a function would cost to run: operations and memory traffic, counted in its jaxpr."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float


class Cost(eqx.Module):
    """Work of one evaluation.

    Attributes:
        flops: floating-point operations.
        bytes: memory traffic in bytes.
    """

    flops: Float[Array, ""] | float
    bytes: Float[Array, ""] | float

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.flops + other.flops, self.bytes + other.bytes)

    def __mul__(self, times: float) -> "Cost":
        return Cost(self.flops * times, self.bytes * times)


def cost_of(function: Callable, *args: Any) -> Cost:
    """Count a function's work without running it.

    Matrix products and convolutions count two operations per multiplication, and read and write their arrays;
    factorisations count theirs. Everything else counts one operation per entry of its result, which it writes; what
    only moves or renames entries counts nothing, since XLA fuses it. A scan counts as often as it runs, of branches the
    dearest, and a `while` whose turns nobody knows once.

    Args:
        function: traced once more; may close over what is being traced, but not over its own arguments' values.
        args: arrays or `jax.ShapeDtypeStruct`.

    Returns:
        The cost, in Python's floats.
    """
    return _of_jaxpr(jax.make_jaxpr(function)(*args).jaxpr)


# Each of them is fused into what reads or writes the array, or changes its shape alone.
_FREE = {
    *("reshape", "squeeze", "expand_dims", "broadcast_in_dim", "convert_element_type", "copy", "stop_gradient"),
    *("transpose", "slice", "concatenate", "pad", "iota", "rev", "optimization_barrier"),
}


def _of_jaxpr(jaxpr: Any) -> Cost:
    total = Cost(0.0, 0.0)
    for equation in jaxpr.eqns:
        total = total + _of_equation(equation)
    return total


def _of_equation(equation: Any) -> Cost:
    name, params = equation.primitive.name, equation.params
    inner = [_of_jaxpr(jaxpr) for jaxpr in _inner(params)]
    if name == "cond":
        return max(inner, key=lambda cost: (cost.flops, cost.bytes))
    if inner:
        return sum(inner[1:], inner[0]) * params.get("length", 1)
    if name in _FREE:
        return Cost(0.0, 0.0)
    results = [variable.aval for variable in equation.outvars]
    operands = [variable.aval for variable in equation.invars]
    entries = sum(math.prod(aval.shape) for aval in results)
    if name == "dot_general":
        contracted, _ = params["dimension_numbers"][0]
        return Cost(
            2.0 * entries * math.prod(operands[0].shape[axis] for axis in contracted), _bytes(results, operands)
        )
    if name == "conv_general_dilated":
        kernel = operands[1].shape
        channels = kernel[params["dimension_numbers"].rhs_spec[0]]
        return Cost(2.0 * entries * math.prod(kernel) / channels, _bytes(results, operands))
    if name in ("cholesky", "eigh", "triangular_solve"):
        rows = operands[0].shape[-1]
        # Golub and Van Loan, 4.2 and 8.3; a substitution takes `rows` operations per entry of its result.
        per_entry = {"cholesky": rows / 3, "eigh": 9.0 * rows, "triangular_solve": float(rows)}[name]
        return Cost(per_entry * math.prod(results[0].shape), _bytes(results, operands))
    if name.startswith("reduce") or name in ("cumsum", "argmax", "argmin", "sort"):
        return Cost(float(sum(math.prod(aval.shape) for aval in operands)), _bytes(results, operands))
    return Cost(float(entries), _bytes(results))


def _inner(params: dict[str, Any]) -> list[Any]:
    """The jaxprs that an equation holds: of a call, a loop or branches."""
    found = []
    for value in jax.tree.leaves(params, is_leaf=lambda leaf: hasattr(leaf, "eqns") or hasattr(leaf, "jaxpr")):
        jaxpr = getattr(value, "jaxpr", value)
        if hasattr(jaxpr, "eqns"):
            found.append(jaxpr)
    return found


def _bytes(*groups: list[Any]) -> float:
    return float(sum(math.prod(a.shape) * np.dtype(a.dtype).itemsize for group in groups for a in group))

"""Cost of running a function: operations and memory traffic, counted in its jaxpr."""

import math
from collections.abc import Callable, Iterable, Mapping

import equinox as eqx
import jax
from jax.core import ShapedArray
from jax.extend import core as jex
from jaxtyping import Array, Float, PyTree

from .jaxprs import PLACEMENTS, aval, inner


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


def cost_of(function: Callable, *args: PyTree, turns: int = 1) -> Cost:
    """Count a function's work without running it.

    Matrix products and convolutions count two operations per multiplication, and read and write their arrays;
    factorisations count theirs. Everything else counts one operation per entry of its result, which it writes.
    Operations that only move or rename entries count nothing, since XLA fuses them. A scan counts as often as it runs,
    of branches the most expensive one, and a `while`, whose number of turns is unknown, as often as the caller states.

    Args:
        function: traced once more; may close over what is being traced, but not over its own arguments' values.
        args: arrays or `jax.ShapeDtypeStruct`.
        turns: of every `while`.

    Returns:
        The cost, in Python's floats.
    """
    return total_of(costs_by_kernel(function, *args, turns=turns))


def costs_by_kernel(function: Callable, *args: PyTree, turns: int = 1) -> dict[str, Cost]:
    """The same, apart by who does it: factorisations under the names of `KERNELS`, all else under the empty one.

    Args:
        function: as of `cost_of`, as are the others.
        args: likewise.
        turns: likewise.
    """
    return _of_jaxpr(jax.make_jaxpr(function)(*args).jaxpr, turns)


def total_of(costs: Mapping[str, Cost]) -> Cost:
    """All of them together."""
    return sum(costs.values(), Cost(0.0, 0.0))


KERNELS = ("cholesky", "lu", "eigh", "svd")
"""Factorisations that have times of their own, by the name that jax and the kernel share.

Substitutions with single vectors have not: the kernel of that name says five times too long for them."""


# Each of them is fused into what reads or writes the array, or changes its shape alone.
_FREE = {
    *("reshape", "squeeze", "expand_dims", "broadcast_in_dim", "convert_element_type", "copy", "stop_gradient"),
    *("transpose", "slice", "concatenate", "pad", "iota", "rev", "optimization_barrier"),
    *PLACEMENTS,
}


# Operations of a factorisation per row and entry: Golub and Van Loan, 3.2, 4.2, 8.3 and 8.6.
_FACTORED = {"cholesky": 1 / 3, "lu": 2 / 3, "eigh": 9.0, "svd": 21.0, "triangular_solve": 1.0}


def _of_jaxpr(jaxpr: jex.Jaxpr, turns: int) -> dict[str, Cost]:
    return _joined([_of_equation(equation, turns) for equation in jaxpr.eqns])


def _joined(parts: Iterable[Mapping[str, Cost]], times: float = 1.0) -> dict[str, Cost]:
    found: dict[str, Cost] = {}
    for part in parts:
        for kernel, cost in part.items():
            found[kernel] = found.get(kernel, Cost(0.0, 0.0)) + cost * times
    return found


def _of_equation(equation: jex.JaxprEqn, turns: int) -> dict[str, Cost]:
    name, params = equation.primitive.name, equation.params
    held = [_of_jaxpr(jaxpr, turns) for jaxpr in inner(equation)]
    if name == "cond":
        return max(held, key=lambda costs: (total_of(costs).flops, total_of(costs).bytes))
    if held:
        return _joined(held, turns if name == "while" else params.get("length", 1))
    return {name if name in KERNELS else "": _of_primitive(equation)}


def _of_primitive(equation: jex.JaxprEqn) -> Cost:
    name, params = equation.primitive.name, equation.params
    if name in _FREE:
        return Cost(0.0, 0.0)
    results = [aval(variable) for variable in equation.outvars]
    operands = [aval(atom) for atom in equation.invars]
    entries = sum(math.prod(one.shape) for one in results)
    if name == "dot_general":
        contracted, _ = params["dimension_numbers"][0]
        return Cost(
            2.0 * entries * math.prod(operands[0].shape[axis] for axis in contracted), _bytes(results, operands)
        )
    if name == "conv_general_dilated":
        kernel = operands[1].shape
        channels = kernel[params["dimension_numbers"].rhs_spec[0]]
        return Cost(2.0 * entries * math.prod(kernel) / channels, _bytes(results, operands))
    if name in _FACTORED:
        # A substitution takes `rows` operations per entry of its right-hand sides, the last operand.
        return Cost(_FACTORED[name] * operands[0].shape[-1] * math.prod(operands[-1].shape), _bytes(results, operands))
    if name.startswith("reduce") or name in ("cumsum", "argmax", "argmin", "sort"):
        return Cost(float(sum(math.prod(one.shape) for one in operands)), _bytes(results, operands))
    return Cost(float(entries), _bytes(results))


def _bytes(*groups: list[ShapedArray]) -> float:
    return float(sum(math.prod(a.shape) * a.dtype.itemsize for group in groups for a in group))

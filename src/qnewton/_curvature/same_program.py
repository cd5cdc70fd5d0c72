"""Test of whether a function does the same to a batch of one as to a batch of many.

A proof that examples do not meet within a batch does not cover a model that divides by the number of examples, or draws
as much noise as there are examples: such a model treats a single example differently. The operations and numbers of
both programs are therefore compared one by one.
"""

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend import core as jex
from jax.typing import ArrayLike

from .._core.arrays import NumberArray
from .._core.jaxprs import PLACEMENTS, aval
from .coupling_rules import is_map, understood

# These give arrays another shape and compute nothing; which of them a program has depends on sizes.
_SHAPES = {
    "broadcast_in_dim",
    "expand_dims",
    "reshape",
    "squeeze",
    "transpose",
    "copy",
    "convert_element_type",
} | PLACEMENTS
_INNER = ("jaxpr", "call_jaxpr", "fun_jaxpr", "body_jaxpr", "cond_jaxpr", "branches", "jaxprs")
# Their programs are compared; the sizes of their operands are what these programs work on.
_WALKED = {"scan", "while", "cond", "custom_jvp_call", "custom_vjp_call", "custom_linear_solve"}


def same_program(many: jex.ClosedJaxpr, one: jex.ClosedJaxpr) -> bool:
    """Whether two jaxprs have the same operations with the same numbers, in the same order.

    Args:
        many: of a batch.
        one: of the same function on a batch of one.
    """
    if len(many.consts) != len(one.consts) or not all(map(_same_array, many.consts, one.consts)):
        return False
    return list(_operations(many.jaxpr)) == list(_operations(one.jaxpr))


def _operations(jaxpr: jex.Jaxpr) -> Iterator[tuple[str, tuple[object, ...]]]:
    for equation in jaxpr.eqns:
        numbers = tuple(_number(atom.val) for atom in equation.invars if isinstance(atom, jex.Literal))
        name = equation.primitive.name
        inner = [equation.params[key] for key in _INNER if equation.params.get(key) is not None]
        if not inner:
            if name not in _SHAPES or numbers:
                yield name, numbers + _settings(equation)
            continue
        if name not in ("jit", "pjit", "closed_call", "remat2", "checkpoint"):
            yield name, numbers + _settings(equation)
        elif numbers:
            yield "", numbers
        for part in inner:
            for closed in part if isinstance(part, tuple | list) else [part]:
                if isinstance(closed, jex.ClosedJaxpr):
                    # Constants inside a loop or a branch were seen on their way in, or are the program's own.
                    yield "", tuple(_number(c) for c in closed.consts if np.ndim(c) == 0)
                    yield from _operations(closed.jaxpr)
                elif closed is not None:
                    yield from _operations(closed)


def _settings(equation: jex.JaxprEqn) -> tuple[object, ...]:
    """Return the settings of an operation besides its operands: exponents, passes, sizes that enter its result.

    The sizes of what is summed, cut out or counted are numbers like any other: a sum of ones over the batch is one.
    """
    params, shapes = equation.params, [aval(atom).shape for atom in equation.invars]
    first = shapes[0] if shapes else params.get("shape", ())
    told: list[object] = [params[key] for key in ("y", "k") if isinstance(params.get(key), int | float)]
    if equation.primitive.name == "scan" and not is_map(equation):
        told.append(params["length"])
    if "axes" in params:
        told += [first[axis] for axis in params["axes"] if not isinstance(axis, str)]
    if equation.primitive.name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        told += [first[axis] for axis in contracted]
    if equation.primitive.name not in ("concatenate", "split", "stack"):
        along = [params[key] for key in ("axis", "dimension") if isinstance(params.get(key), int)]
        told += [first[axis] for axis in along if -len(first) <= axis < len(first)]
    if "limit_indices" in params:
        ends = zip(params["start_indices"], params["limit_indices"], params["strides"] or [1] * len(first), strict=True)
        cut = [(axis, *end) for axis, end in enumerate(ends) if end != (0, first[axis], 1)]
        # As shares, so that half of two batches joined is half whatever their size.
        shares = [(axis, max(1, first[axis]), *end) for axis, *end in cut]
        told += [(axis, start / size, stop / size, stride) for axis, size, start, stop, stride in shares]
    if "slice_sizes" in params:
        paired = getattr(params.get("dimension_numbers"), "operand_batching_dims", ())
        sizes = enumerate(params["slice_sizes"])
        # Without the number of the axis: jax drops leading axes of length 1 where it maps.
        told += [(first[axis], size) for axis, size in sizes if size != first[axis] and axis not in paired]
    told += [tuple(pad) for pad in params.get("padding_config", ()) if tuple(pad) != (0, 0, 0)]
    return (*told, *_extents(equation, shapes))


def _extents(equation: jex.JaxprEqn, shapes: list[tuple[int, ...]]) -> list[object]:
    """Return the sizes that an operation sums over and that none of its parameters holds."""
    name, params = equation.primitive.name, equation.params
    if name.startswith("reduce_window"):
        return [repr(params[key]) for key in ("window_dimensions", "window_strides", "padding")]
    if name == "conv_general_dilated":
        batch = params["dimension_numbers"].lhs_spec[0]
        return [shapes[1], [size for axis, size in enumerate(shapes[0]) if axis != batch], repr(params["padding"])]
    if name.startswith("scatter"):
        batching = params["dimension_numbers"].scatter_indices_batching_dims
        return [size for axis, size in enumerate(shapes[1]) if axis not in batching]
    if name == "split":
        sizes = params["sizes"]
        return [len(sizes), *(sizes if len(set(sizes)) > 1 else ())]
    if name == "fft":
        return list(params["fft_lengths"])
    # Where the examples enter what has no rule, nothing is proven anyway; other operands have the model's own sizes.
    return [] if understood(equation) or name in _WALKED else list(shapes)


def _number(value: ArrayLike) -> object:
    # NaN differs from itself, and would from the other program's.
    return value.item() if isinstance(value, np.generic) and value == value else repr(value)


def _same_array(many: NumberArray, one: NumberArray) -> bool:
    if many is one:
        return True
    if isinstance(many, Tracer) or isinstance(one, Tracer) or np.ndim(many) != np.ndim(one):
        return False
    if any(not jnp.issubdtype(array.dtype, np.number) for array in (many, one)):
        return False
    if any(a not in (1, b) for a, b in zip(np.shape(one), np.shape(many), strict=True)):
        return False
    return many.dtype == one.dtype and np.array_equal(many, np.broadcast_to(one, np.shape(many)), equal_nan=True)

"""Refusing models whose examples influence each other, such as batch normalisation in training mode.

All curvature here is a sum over examples of what each contributes alone. The axis that counts the examples is
followed through the model's jaxpr; an operation that mixes along it (a sum, a sort, a contraction) is refused by its
place in the user's code. What the walk does not understand is let through: it proves coupling, never independence.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend import core as jex
from jax.extend import source_info_util
from jax.interpreters.partial_eval import dce_jaxpr
from jaxtyping import Array, PyTree

# The example axis of a variable: a number, `_FREE` where the examples do not enter, `_LOST` where they do somehow.
_FREE, _LOST = -1, -2

_INNER = ("jaxpr", "call_jaxpr", "fun_jaxpr")
_REDUCTIONS = {"reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_and", "reduce_or", "argmax", "argmin"}
_ALONG = {"cumsum": "axis", "cumprod": "axis", "cummax": "axis", "cummin": "axis", "sort": "dimension"}


class _Coupled(Exception):
    def __init__(self, equation: Any):
        self.equation = equation
        self.source = equation.source_info


def refuse_coupling(predict: Callable[[PyTree, PyTree], Array], params: PyTree, inputs: PyTree) -> None:
    """Trace `predict` and refuse it if an example provably influences the output of another.

    Args:
        predict: `(params, inputs) -> outputs` on batches.
        params: arrays or `jax.ShapeDtypeStruct`.
        inputs: of a batch.

    Raises:
        ValueError: naming the operation and where it stands in the model's code.
    """
    closed = jax.make_jaxpr(predict)(params, inputs)
    # Statistics of the batch that do not reach the outputs couple nothing.
    jaxpr, _ = dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars), instantiate=True)
    leaves = len(jax.tree.leaves(params))
    axes = [_FREE if k < leaves else 0 for k in range(len(jaxpr.invars))]
    try:
        _walk(jaxpr, axes)
    except _Coupled as coupled:
        source = coupled.source
        layer = f" in `{source.name_stack}`" if str(source.name_stack) else ""
        raise ValueError(
            f"predict couples the examples of a batch: `{coupled.equation.primitive}` works along their axis{layer} at "
            f"{source_info_util.summarize(source)}. Curvature is a sum over examples, so no example may influence the "
            "output of another. Use layer or group normalisation, or batch normalisation in inference mode"
        ) from None


def _walk(jaxpr: Any, axes: Sequence[int]) -> list[int]:
    """The example axes of the outputs, from those of the inputs."""
    known: dict[Any, int] = dict(zip(jaxpr.invars, axes, strict=True))

    def axis_of(atom: Any) -> int:
        return _FREE if isinstance(atom, jex.Literal) else known.get(atom, _FREE)

    for equation in jaxpr.eqns:
        given = [axis_of(atom) for atom in equation.invars]
        if all(axis == _FREE for axis in given):
            found = [_FREE] * len(equation.outvars)
        elif _LOST in given:
            found = [_LOST] * len(equation.outvars)
        else:
            found = _step(equation, given)
        known.update(zip(equation.outvars, found, strict=True))
    return [axis_of(atom) for atom in jaxpr.outvars]


def _step(equation: Any, given: list[int]) -> list[int]:
    name, params = equation.primitive.name, equation.params
    for key in _INNER:
        inner = params.get(key)
        if inner is not None and name not in ("scan", "while"):
            jaxpr = inner.jaxpr if isinstance(inner, jex.ClosedJaxpr) else inner
            try:
                return _walk(jaxpr, given) if len(jaxpr.invars) == len(given) else [_LOST] * len(equation.outvars)
            except _Coupled as coupled:
                # What jax jits itself (a sort, say) has no place in the user's code; the call of it has.
                if not source_info_util.summarize(coupled.source):
                    coupled.source = equation.source_info
                raise
    if name in _REDUCTIONS or name == "psum":
        (axis,) = given[:1]
        if axis in params["axes"]:
            raise _Coupled(equation)
        return [axis - sum(a < axis for a in params["axes"])]
    if name in _ALONG:
        if given[0] == params[_ALONG[name]]:
            raise _Coupled(equation)
        return given[:1] * len(equation.outvars)
    if name == "dot_general":
        return [_dot(equation, given)]
    if name == "transpose":
        return [params["permutation"].index(given[0])]
    if name == "broadcast_in_dim":
        return [params["broadcast_dimensions"][given[0]]]
    if name in ("reshape", "squeeze", "expand_dims"):
        return [_reshaped(equation, given[0])]
    if name == "conv_general_dilated" and given[1] == _FREE:
        numbers = params["dimension_numbers"]
        return [numbers.out_spec[0] if numbers.lhs_spec[0] == given[0] else _LOST]
    return _elementwise(equation, given)


def _dot(equation: Any, given: list[int]) -> int:
    contracting, batch = equation.params["dimension_numbers"]
    sides = [side for side in (0, 1) if given[side] != _FREE]
    if any(given[side] in contracting[side] for side in sides):
        raise _Coupled(equation)
    if len(sides) == 2:
        paired = [batch[side].index(given[side]) if given[side] in batch[side] else _LOST for side in sides]
        # Every example against every other, as attention across the batch would have it.
        if paired[0] != paired[1] or paired[0] == _LOST:
            raise _Coupled(equation)
        return paired[0]
    (side,) = sides
    if given[side] in batch[side]:
        return batch[side].index(given[side])
    used = [*contracting[side], *batch[side]]
    free = [axis for axis in range(equation.invars[side].aval.ndim) if axis not in used]
    before = len(batch[0])
    if side == 1:
        left = equation.invars[0].aval.ndim - len(contracting[0]) - len(batch[0])
        before += left
    return before + free.index(given[side])


def _reshaped(equation: Any, axis: int) -> int:
    old, new = equation.invars[0].aval.shape, equation.outvars[0].aval.shape
    before = 1
    for size in old[:axis]:
        before *= size
    product = 1
    for position, size in enumerate(new):
        if product == before and size == old[axis]:
            return position
        product *= size
    return _LOST


def _elementwise(equation: Any, given: list[int]) -> list[int]:
    """The same axis, if nothing but equal shapes and scalars meet; otherwise the axis is lost."""
    shapes = {atom.aval.shape for atom in equation.invars if atom.aval.shape}
    outputs = {atom.aval.shape for atom in equation.outvars}
    axes = {axis for axis in given if axis != _FREE}
    mixing = {"gather", "scatter", "dynamic_slice", "rev", "fft", "scan", "while", "cond", "concatenate", "pad"}
    if len(axes) == 1 and shapes == outputs and equation.primitive.name not in mixing:
        return list(axes) * len(equation.outvars)
    return [_LOST] * len(equation.outvars)

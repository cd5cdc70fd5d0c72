"""Picking by position, `logits[arange(n), labels]`, rewritten as picking from each row an entry of its own.

The index that counts the rows distinguishes the positions of the batch, and no proof follows it. The inspected program,
not the one that runs, therefore gets a gather that pairs rows with addresses, as `take_along_axis` has it, and the
counting disappears.
"""

from collections.abc import Mapping
from typing import TypeAlias

from jax.extend import core as jex
from jax.interpreters.partial_eval import dce_jaxpr
from jax.lax import GatherDimensionNumbers

from .._core.jaxprs import Atom, aval

Makers: TypeAlias = Mapping[jex.Var, jex.JaxprEqn]
"""The equation that each variable comes from."""


def paired(jaxpr: jex.Jaxpr) -> jex.Jaxpr:
    """Return the jaxpr with every gather that picks by position paired with its rows, unused equations removed."""
    if not any(equation.primitive.name == "iota" for equation in jaxpr.eqns):
        return jaxpr
    makers = {out: equation for equation in jaxpr.eqns for out in equation.outvars}
    found = {k: _paired(one, makers) for k, one in enumerate(jaxpr.eqns) if one.primitive.name == "gather"}
    if not any(found.values()):
        return jaxpr
    found = [found.get(k) or one for k, one in enumerate(jaxpr.eqns)]
    return dce_jaxpr(jaxpr.replace(eqns=found), [True] * len(jaxpr.outvars), instantiate=True)[0]


def _paired(gather: jex.JaxprEqn, makers: Makers) -> jex.JaxprEqn | None:
    """The same gather with its own rows paired; None where it does not pick one address from each."""
    numbers = gather.params["dimension_numbers"]
    operand, indices = gather.invars
    joined = _maker(indices, makers)
    if joined is None or joined.primitive.name != "concatenate":
        return None
    last = aval(indices).ndim - 1
    columns, axes = joined.invars, range(aval(operand).ndim)
    every = tuple(axes)
    # One column of addresses for each axis of the operand, and one entry for each address.
    if joined.params["dimension"] != last or numbers.start_index_map != every or numbers.collapsed_slice_dims != every:
        return None
    if len(columns) != len(every) or numbers.operand_batching_dims:
        return None
    counted = {k: _counts(columns[k], aval(operand).shape[k], makers) for k in axes}
    own = {k: along for k, along in counted.items() if along is not None}
    picked = tuple(k for k in axes if k not in own)
    if len(picked) != 1 or len(set(own.values())) != len(own) or last in own.values():
        return None
    pairing = GatherDimensionNumbers(numbers.offset_dims, picked, picked, tuple(own), tuple(own.values()))
    return gather.replace(invars=[operand, columns[picked[0]]], params={**gather.params, "dimension_numbers": pairing})


def _counts(atom: Atom, size: int, makers: Makers) -> int | None:
    """Return the axis along which an array is 0, 1, ... and the same along every other; None if there is none."""
    equation = _maker(atom, makers)
    if equation is None:
        return None
    name = equation.primitive.name
    if name == "iota":
        axis = equation.params["dimension"]
        return axis if aval(atom).shape[axis] == size else None
    if name == "broadcast_in_dim":
        axis = _counts(equation.invars[0], size, makers)
        # What is counted keeps its length: one entry would be repeated for all.
        placed = None if axis is None else equation.params["broadcast_dimensions"][axis]
        return placed if placed is not None and aval(atom).shape[placed] == size else None
    if name == "convert_element_type":
        return _counts(equation.invars[0], size, makers) if aval(atom).dtype.kind in "iu" else None
    if name == "select_n" and len(equation.invars) == 3:
        # `where(i < 0, i + n, i)`, the way in which jax lets indices count from the end: none of these is below 0.
        condition, counting = _maker(equation.invars[0], makers), equation.invars[1]
        if condition is None or condition.primitive.name != "lt" or condition.invars[0] is not counting:
            return None
        return _counts(counting, size, makers) if _is_zero(condition.invars[1]) else None
    return None


def _maker(atom: Atom, makers: Makers) -> jex.JaxprEqn | None:
    return None if isinstance(atom, jex.Literal) else makers.get(atom)


def _is_zero(atom: Atom) -> bool:
    return isinstance(atom, jex.Literal) and atom.val == 0

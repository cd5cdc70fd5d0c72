"""Inspection of traced programs: facts about an equation's operands, and the programs that an equation holds."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias, cast

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend import core as jex

Atom: TypeAlias = jex.Var | jex.Literal
"""An operand of an equation."""

PLACEMENTS = frozenset({"reshard", "sharding_constraint", "layout_constraint"})
"""Primitives that say where an array is, and change nothing in it."""
_CALLS = ("jit", "pjit", "closed_call", "core_call", "remat", "checkpoint")
"""Primitives that hold a program whose arguments and results are their own, one by one."""


def aval(atom: Atom) -> ShapedArray:
    """Shape and type of an array in a program; jax's own annotation leaves open that it is an array."""
    return cast(ShapedArray, atom.aval)


def inner(equation: jex.JaxprEqn) -> list[jex.Jaxpr]:
    """The programs that an equation holds: of a call, a loop or branches."""
    held = jax.tree.leaves(equation.params, is_leaf=lambda leaf: hasattr(leaf, "eqns") or hasattr(leaf, "jaxpr"))
    return [found for found in (getattr(value, "jaxpr", value) for value in held) if hasattr(found, "eqns")]


def scan_sizes(params: Mapping[str, Any]) -> tuple[int, int]:
    """Return the numbers of constants and of carries of a `scan`, which are its first operands, in this order.

    They are parameters of their own up to jax 0.10. From jax 0.11 on the operands form three groups instead.

    Args:
        params: of the equation.
    """
    if "ft_in" in params:
        constants, carries, _ = params["ft_in"].unpack()
        return len(constants), len(carries)
    return params["num_consts"], params["num_carry"]


def everywhere(jaxpr: jex.Jaxpr) -> Iterator[jex.JaxprEqn]:
    """All equations, at any depth."""
    for equation in jaxpr.eqns:
        yield equation
        for program in inner(equation):
            yield from everywhere(program)


def reached(jaxpr: jex.Jaxpr, marks: Sequence[bool]) -> list[bool]:
    """Return which results are computed from the marked arguments, as far as the program shows."""
    known = dict(zip(jaxpr.invars, marks, strict=True))

    def marked(atom: Atom) -> bool:
        return not isinstance(atom, jex.Literal) and known.get(atom, False)

    for equation in jaxpr.eqns:
        given = [marked(atom) for atom in equation.invars]
        found = [any(given)] * len(equation.outvars)
        held = equation.params.get("jaxpr") if equation.primitive.name in _CALLS else None
        if any(given) and held is not None:
            found = reached(getattr(held, "jaxpr", held), given)
        known.update(zip(equation.outvars, found, strict=True))
    return [marked(atom) for atom in jaxpr.outvars]


def coarsest_rounding(jaxpr: jex.Jaxpr) -> float:
    """Return the rounding unit of the narrowest float that a program computes with, at any depth; 0 without floats."""
    results = (aval(atom) for equation in everywhere(jaxpr) for atom in equation.outvars)
    dtypes = {of.dtype for of in results if hasattr(of, "dtype")}
    found = [dtype for dtype in dtypes if jnp.issubdtype(dtype, jnp.inexact)]
    return max((float(jnp.finfo(dtype).eps) for dtype in found), default=0.0)

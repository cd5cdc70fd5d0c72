"""Operations of a graph that always equal something simpler."""

from typing import Any

import numpy as np

from .graph import Node, Region

_BASES = (2.0, 10.0)
_FOLDED: dict[str, Any] = {
    **{name: getattr(np, name) for name in ("log", "log1p", "exp", "sqrt", "sign", "square")},
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "neg": np.negative,
    "max": np.maximum,
    "min": np.minimum,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
    "is_finite": np.isfinite,
    "not": np.logical_not,
}
"""Operations that are done here where all numbers are known."""


def simplified(root: Region, name: str, *arguments: Node) -> Node:
    """Return an operation's node, or a simpler one that it always equals."""
    first = arguments[0]
    # The logarithm of a base is kept for its quotients, below.
    kept = name == "log" and first.detail in _BASES
    if name in _FOLDED and not kept and all(argument.kind == "literal" for argument in arguments):
        with np.errstate(all="ignore"):
            return root.node("literal", _FOLDED[name](*(argument.detail for argument in arguments)).item())
    if name == "select":
        _, chosen, other = arguments
        if chosen is other:
            return chosen
        if first.kind == "literal":
            return chosen if first.detail else other
        # Only a derivative, of a count that was rounded: `where(isfinite(x), x - x, 0)`.
        if _is(other, 0.0) and _is_derivative(first, chosen):
            return other
    if name in ("add", "mul", "div") and _is(arguments[1], 0.0 if name == "add" else 1.0):
        return first
    if name in ("add", "mul") and _is(first, 0.0 if name == "add" else 1.0):
        return arguments[1]
    if name in ("and", "or"):
        if first is arguments[1]:
            return first
        for one, other in (arguments, reversed(arguments)):
            if one.kind == "literal":
                return other if one.detail is (name == "and") else one
    # Of `log2` and `log10` numpy's powers are exact, the quotients of logarithms are not.
    for base in _BASES:
        if name == "div" and _is_log(first) and _is_log(arguments[1]) and _is(arguments[1].arguments[0], base):
            return simplified(root, f"log{base:g}", first.arguments[0])
    return root.node("operation", name, arguments)


def _is(node: Node, value: float) -> bool:
    return node.kind == "literal" and not isinstance(node.detail, bool) and node.detail == value


def _is_derivative(held: Node, node: Node) -> bool:
    same = node.detail == "sub" and node.arguments[0] is node.arguments[1]
    return same and held.detail == "is_finite" and held.arguments[0] is node.arguments[0]


def _is_log(node: Node) -> bool:
    return node.kind == "operation" and node.detail == "log"

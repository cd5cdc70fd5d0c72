"""Memory of a traced function, counted from its jaxpr: what no compiler was asked for, and what none knows."""

import math
from collections.abc import Iterator
from typing import Any

import jax.extend.core as jex

# XLA computes these where they are read, so that their results take no memory unless something else reads them too.
_FUSED = frozenset(
    (
        *("abs", "add", "and", "ceil", "clamp", "cos", "div", "eq", "erf", "exp", "exp2", "expm1", "floor", "ge", "gt"),
        *("integer_pow", "is_finite", "le", "log", "log1p", "logistic", "lt", "max", "min", "mul", "ne", "neg", "not"),
        *("or", "pow", "rem", "round", "rsqrt", "select_n", "sign", "sin", "sqrt", "square", "sub", "tanh", "xor"),
        *("broadcast_in_dim", "convert_element_type", "copy", "iota", "reshape", "squeeze", "stop_gradient"),
    )
)
_REDUCTIONS = ("reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_and", "reduce_or", "argmax", "argmin")
_READING = _FUSED.union(_REDUCTIONS)
_LOOPS = frozenset(("while", "scan"))


def live_bytes(closed: jex.ClosedJaxpr) -> int:
    """Bytes of the results that are alive at once, arguments apart, if equations run in the order they are written.

    An estimate, for where a plan is not to be had or too dear: elementwise operations count as part of what reads
    them, and updates in place, copies between layouts, and a better order are not foreseen.
    """
    return _peak(closed.jaxpr)


def library_bytes(closed: jex.ClosedJaxpr) -> int:
    """Bytes that decompositions in LAPACK allocate for themselves, which no plan of the compiler contains.

    For all eigenvectors `?syevd` and `?heevd` take `1 + 6 n + 2 n^2` numbers and `3 + 5 n` integers; for the singular
    vectors of `[m, n]`, `m >= n`, `?gesdd` takes at least `4 n^2 + 7 n` numbers and `8 n` integers (LWORK and LIWORK in
    the routines' own documentation). One runs at a time, so the largest counts.
    """
    return max((_workspace(equation) for equation in _everywhere(closed.jaxpr)), default=0)


def _workspace(equation: Any) -> int:
    name = equation.primitive.name
    if name not in ("eigh", "svd"):
        return 0
    aval = equation.invars[0].aval
    n = min(aval.shape[-2:])
    if name == "eigh":
        return (1 + 6 * n + 2 * n**2) * aval.dtype.itemsize + 4 * (3 + 5 * n)
    return (4 * n**2 + 7 * n) * aval.dtype.itemsize + 4 * 8 * n


def _inner(equation: Any) -> list[Any]:
    """The jaxprs that an equation calls."""
    found = []
    for value in equation.params.values():
        for part in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(part, jex.ClosedJaxpr):
                found.append(part.jaxpr)
            elif isinstance(part, jex.Jaxpr):
                found.append(part)
    return found


def _everywhere(jaxpr: Any) -> Iterator[Any]:
    for equation in jaxpr.eqns:
        yield equation
        for inner in _inner(equation):
            yield from _everywhere(inner)


def _size(variable: Any) -> int:
    aval = variable.aval
    return math.prod(getattr(aval, "shape", ())) * getattr(getattr(aval, "dtype", None), "itemsize", 0)


def _peak(jaxpr: Any) -> int:
    last, fused, needed = _lifetimes(jaxpr)
    live = peak = 0
    dies: dict[int, int] = {}
    for k, equation in enumerate(jaxpr.eqns):
        if k not in needed:
            continue
        born = 0
        for out in equation.outvars:
            if out in last and out not in fused:
                size = _size(out)
                born += size
                dies[last[out]] = dies.get(last[out], 0) + size
        inner = max(map(_peak, _inner(equation)), default=0)
        # What a branch or a call returns is counted within; a loop's body works beside what the loop carries.
        peak = max(peak, live + (born + inner if equation.primitive.name in _LOOPS else max(born, inner)))
        live += born - dies.pop(k, 0)
    return peak


def _lifetimes(jaxpr: Any) -> tuple[dict[Any, int], set[Any], set[int]]:
    """When each result is last read, which ones take no memory, and which equations are computed at all."""
    end = len(jaxpr.eqns)
    last: dict[Any, int] = {v: end for v in jaxpr.outvars if isinstance(v, jex.Var)}
    kept, fused, needed = set(last), set(), set()
    for k in reversed(range(end)):
        equation = jaxpr.eqns[k]
        name = equation.primitive.name
        used = [out for out in equation.outvars if out in last]
        if not used and not equation.effects:
            continue
        needed.add(k)
        until = k
        if name in _FUSED and not kept.intersection(used):
            fused.update(used)
            # Its operands stay until the fused result is read for the last time.
            until = max(last[out] for out in used)
        for operand in equation.invars:
            if isinstance(operand, jex.Var):
                last[operand] = max(last.get(operand, 0), until)
                if name not in _READING:
                    kept.add(operand)
    return last, fused, needed

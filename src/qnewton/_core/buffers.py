"""Memory that no plan of the compiler contains, from a traced function."""

from collections.abc import Iterator
from typing import Any

import jax.extend.core as jex


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

"""Memory of a traced function that no plan of the compiler contains."""

import jax.extend.core as jex

from .jaxprs import aval, everywhere


def library_bytes(closed: jex.ClosedJaxpr) -> int:
    """Return the bytes that LAPACK decompositions allocate themselves, which no plan of the compiler contains.

    For all eigenvectors `?syevd` and `?heevd` take `1 + 6 n + 2 n^2` numbers and `3 + 5 n` integers; for the singular
    vectors of `[m, n]`, `m >= n`, `?gesdd` takes at least `4 n^2 + 7 n` numbers and `8 n` integers (LWORK and LIWORK in
    the routines' own documentation). One runs at a time, so the largest counts.
    """
    return max((_workspace(equation) for equation in everywhere(closed.jaxpr)), default=0)


def _workspace(equation: jex.JaxprEqn) -> int:
    name = equation.primitive.name
    if name not in ("eigh", "svd"):
        return 0
    of = aval(equation.invars[0])
    n = min(of.shape[-2:])
    if name == "eigh":
        return (1 + 6 * n + 2 * n**2) * of.dtype.itemsize + 4 * (3 + 5 * n)
    return (4 * n**2 + 7 * n) * of.dtype.itemsize + 4 * 8 * n

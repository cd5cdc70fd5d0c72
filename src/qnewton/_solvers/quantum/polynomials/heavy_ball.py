"""The inversion polynomial of an operator, applied to a vector by products alone."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from .checks import check_degree, check_kappa

Product = Callable[[Array], Array]


def apply(matvec: Product, b: Array, kappa: float | Float[Array, ""], degree: int | Int[Array, ""]) -> Array:
    """Return `P(A) b`, close to `A^-1 b`, for a Hermitian `A`.

    `P` is the `InversePolynomial` of `kappa` and `degree`.

    What an ideal circuit of singular value transformation leaves, up to the factor `InversePolynomial.maximum`.

    Args:
        matvec: the product with `A`, whose eigenvalues lie in [-1, -1/kappa] and [1/kappa, 1]. Divide by the
            subnormalisation outside: here it is one.
        b: the right-hand side, of any shape that `matvec` keeps, float or complex; its type sets the precision.
        kappa: the condition number, may be traced.
        degree: of the polynomial, odd, may be traced: also the number of products with `A`. A traced degree that is
            even counts as the odd one below it.

    Returns:
        The vector, in the shape and dtype of `b`. Rounding leaves an error of some `eps kappa P.maximum ||b|| / 8`
        (measured for kappa 100 to 10,000, in float32 and float64), which for float32 is the floor on epsilon.

    Raises:
        ValueError: kappa below 1 or an even degree, where they are not traced.
        TypeError: `b` is neither float nor complex.
    """
    return apply_pseudo_inverse(matvec, matvec, b, kappa, degree)


def apply_pseudo_inverse(
    matvec: Product,
    transpose: Product,
    b: Array,
    kappa: float | Float[Array, ""],
    degree: int | Int[Array, ""],
) -> Array:
    """Return `V P(S) U^H b`, close to the least-squares solution `L^+ b`, for `L = U S V^H`.

    For square-root encodings. Singular values that are zero are left out, as the pseudo-inverse leaves them out; the
    others lie in [1/kappa, 1]. A product with `L` or its transpose counts once: `degree` in all.

    `P(x) = x q(x^2)`, and `q(L^H L) L^H b` is the `n`-th iterate of a heavy ball on `||L u - b||^2` with constant
    coefficients (Polyak, USSR Comput. Math. Math. Phys. 4:1, 1964): with `a = 1 / kappa`, the polynomial `q_n` of
    degree `2 n - 1` in `x` satisfies

        q_{n+1} = q_n + ((1 - a) / (1 + a))^2 (q_n - q_{n-1}) + (2 / (1 + a))^2 (1 - x^2 q_n),  q_1 = -q_0 = 1 / a,

    because `L_n(z(0))` of `InversePolynomial` is a geometric sequence. It is iterated in the increments, so that
    float32 keeps the small number `1 - ((1 - a) / (1 + a))^2`.

    Args:
        matvec: the product with `L`, from the solution's shape to that of `b`.
        transpose: the product with its conjugate transpose, back again.
        b: the right-hand side, float or complex.
        kappa: the condition number of `L`, may be traced.
        degree: of the polynomial, odd, may be traced.

    Returns:
        The solution. Errors are as for `apply`.
    """
    b = jnp.asarray(b)
    if not jnp.issubdtype(b.dtype, jnp.inexact):
        raise TypeError(f"b has dtype {b.dtype}: a right-hand side is float or complex")
    if not isinstance(kappa, Tracer):
        check_kappa(kappa)
    if not isinstance(degree, Tracer):
        check_degree(degree)

    kappa = jnp.asarray(kappa, jnp.finfo(b.dtype).dtype)
    a = 1 / kappa
    step = (2 / (1 + a)) ** 2
    friction = step * a
    target = transpose(b)

    def advance(_: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        solution, increment = carry
        increment = increment - friction * increment + step * (target - transpose(matvec(solution)))
        return solution + increment, increment

    # With a traced bound this is a while loop: it compiles once for all degrees.
    first = kappa * target
    return jax.lax.fori_loop(0, (jnp.asarray(degree) - 1) // 2, advance, (first, 2 * first))[0]

"""A random sketch as a preconditioner."""

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float, Inexact

from ..._core.decompositions import svd
from ..._core.kinds import check_scalars, plain
from ..._core.powers_of_two import norm
from ..flat import dtype_of, product, split_shift
from .base import AbstractPreconditioner


class NystromState(eqx.Module):
    """Orthonormal `vectors` `[n, rank]`, and `P^-1 - I` on each of them."""

    vectors: Inexact[Array, "n rank"]
    gains: Float[Array, " rank"]


class Nystrom(AbstractPreconditioner):
    """Preconditioner that flattens the largest eigenvalues of a semidefinite block (Frangella, Tropp and Udell 2021).

    The block's randomised Nystrom approximation `U diag(l) U^T` (algorithm 2.1) gives, with shift `mu`,
    `P^-1 = (l_rank + mu) U (diag(l) + mu)^-1 U^T + (I - U U^T)` (equation 5.3). Its set-up takes `rank` products with
    the block and nothing else of it. A block that is not semidefinite can break the sketch; then `P = I`.

    Attributes:
        rank: columns of the sketch, at least 1; at most the rows of the block count.
        seed: of the sketch. It is fixed, so that a run gives the same steps twice.
    """

    rank: int = eqx.field(static=True, converter=plain)
    seed: int = eqx.field(static=True, converter=plain, default=0)

    def __check_init__(self):
        check_scalars(self)
        if self.rank < 1:
            raise ValueError(f"rank is {self.rank}: the sketch needs at least one column")

    @property
    def name(self) -> str:
        return f"Nystrom({self.rank})"

    def init(self, operator: lx.AbstractLinearOperator) -> NystromState:
        """Sketch the block inside the operator."""
        base, shift = split_shift(operator)
        n, dtype = base.in_size(), dtype_of(base)
        rank = min(self.rank, n)
        test = jnp.linalg.qr(jax.random.normal(jax.random.key(self.seed), (n, rank), dtype))[0]
        sketch = jax.vmap(product(base), in_axes=1, out_axes=1)(test)
        # The stability shift, eps ||Y||_F in the paper; the root of n keeps the factor below safe in single precision.
        nudge = jnp.sqrt(n) * jnp.finfo(dtype).eps * norm(sketch.ravel())
        sketch = sketch + nudge * test
        core = test.T.conj() @ sketch
        factor = jnp.linalg.cholesky((core + core.T.conj()) / 2)
        half = solve_triangular(factor, sketch.T.conj(), lower=True).T.conj()
        vectors, singular, _ = svd(half)
        values = jnp.maximum(singular**2 - nudge, 0)
        shifted = values + jnp.maximum(shift.real, 0)
        gains = jnp.where(shifted > 0, shifted[-1] / shifted - 1, 0)
        # Where the smallest one vanishes, every eigenvalue of P^-1 on the sketch would: the block has no shift, and
        # directions outside of the sketch have no scale to compare with.
        whole = jnp.all(jnp.isfinite(vectors)) & jnp.all(jnp.isfinite(gains)) & (shifted[-1] > 0)
        return NystromState(jnp.where(whole, vectors, 0), jnp.where(whole, gains, 0))

    def apply(self, state: NystromState, vector: Inexact[Array, " n"]) -> Inexact[Array, " n"]:
        return vector + state.vectors @ (state.gains * (state.vectors.T.conj() @ vector))

    def flops(self, n: int) -> tuple[float, float]:
        # Products with a dense block, one orthogonalisation and one SVD of [n, rank]; then two thin products.
        rank = min(self.rank, n)
        return 2.0 * n**2 * rank + 10.0 * n * rank**2, 4.0 * n * rank

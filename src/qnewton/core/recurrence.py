"""How conjugate gradients and minimal residuals will converge, from a Lanczos iteration that was run already."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class Recurrence(eqx.Module):
    """The tridiagonal matrix of a Lanczos iteration.

    It holds all of the spectrum that an iteration of so many steps can see (its eigenvalues are the Ritz values), and
    therefore what CG and MINRES would do with the iteration's first vector for a right-hand side, to the digit.

    Attributes:
        diagonal: `[most]`.
        beside: `[most]`, the entry that couples each row to the next, the last one included; 0 from a breakdown on.
        steps: how many rows there are.
    """

    diagonal: Float[Array, " most"]
    beside: Float[Array, " most"]
    steps: Int[Array, ""]

    def log_residuals(self, *, minimal: bool) -> Float[Array, " most"]:
        """Logarithm of `||r_j|| / ||r_0||` after each step; minus infinity from a breakdown on, NaN beyond `steps`.

        Of CG from the pivots `d_j` of the matrix, `||r_j|| = ||r_{j-1}|| beta_j / |d_j|`; of MINRES by
        `||r_j||^-2 = sum_{i <= j} ||r_i^CG||^-2` (Greenbaum 1997, section 5.4), which holds for every symmetric matrix.

        Args:
            minimal: MINRES instead of CG.
        """
        tiny = jnp.finfo(self.diagonal.dtype).tiny

        def further(carry: tuple[Array, Array, Array], row: tuple[Array, Array]) -> tuple[tuple, Array]:
            coupling, log_cg, log_sum = carry
            entry, beside = row
            pivot = entry - coupling
            # A pivot of zero is a step on which CG stands still at infinity, and MINRES does not move.
            pivot = jnp.where(jnp.abs(pivot) > tiny, pivot, tiny)
            log_cg = log_cg + jnp.log(beside) - jnp.log(jnp.abs(pivot))
            log_sum = jnp.logaddexp(log_sum, -2 * log_cg)
            return (beside**2 / pivot, log_cg, log_sum), -log_sum / 2 if minimal else log_cg

        zero = jnp.zeros((), self.diagonal.dtype)
        _, logs = jax.lax.scan(further, (zero, zero, zero), (self.diagonal, self.beside))
        rows = jnp.arange(self.diagonal.shape[0])
        # What stands behind a breakdown is no iteration any more.
        broken = jnp.cumsum(self.beside <= 0) > 0
        return jnp.where(rows < self.steps, jnp.where(broken, -jnp.inf, logs), jnp.nan)

    def steps_to(self, log_rtol: float, slowest: Float[Array, ""], *, minimal: bool) -> Float[Array, ""]:
        """Steps after which the residual has fallen to a part of the first.

        Beyond what the iteration saw, the residual goes on falling as fast as over the second half of it, or as the
        condition number guarantees.

        Args:
            log_rtol: logarithm of the part, negative.
            slowest: decrease of its logarithm per step that is sure in the long run, positive.
            minimal: MINRES instead of CG.
        """
        logs = self.log_residuals(minimal=minimal)
        rows = jnp.arange(logs.shape[0])
        there = logs <= log_rtol
        # Of CG the residual goes up and down; the one of MINRES tells the trend of both.
        smooth = self.log_residuals(minimal=True)
        last, half = self.steps - 1, (self.steps - 1) // 2
        trend = (smooth[half] - smooth[last]) / jnp.maximum(last - half, 1)
        rate = jnp.maximum(jnp.where(jnp.isfinite(trend), trend, 0), slowest)
        beyond = self.steps + (logs[last] - log_rtol) / rate
        found = jnp.argmax(there) + 1
        return jnp.where(jnp.any(there & (rows < self.steps)), found.astype(logs.dtype), beyond)

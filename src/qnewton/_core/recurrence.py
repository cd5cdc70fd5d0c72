"""Predicted convergence of conjugate gradients and minimal residuals, from an existing Lanczos iteration."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class Recurrence(eqx.Module):
    """Residuals of conjugate gradients and minimal residuals for the first vector of a Lanczos iteration.

    They are computed once for an estimate, and not again for every candidate that is predicted from it.

    Attributes:
        log_cg: logarithm of CG's `||r_j|| / ||r_0||` after each step `[most]`; minus infinity from a breakdown on, NaN
            beyond `steps`.
        log_minres: likewise of MINRES.
        steps: of the iteration.
    """

    log_cg: Float[Array, " most"]
    log_minres: Float[Array, " most"]
    steps: Int[Array, ""]

    @classmethod
    def of(cls, diagonal: Float[Array, " most"], beside: Float[Array, " most"], steps: Int[Array, ""]) -> "Recurrence":
        """Return the residuals from the tridiagonal matrix.

        It holds all of the spectrum that an iteration of so many steps can see (its eigenvalues are the Ritz values),
        and therefore what both methods would do with the iteration's first vector for a right-hand side, to the digit:
        CG from the pivots `d_j` of the matrix, `||r_j|| = ||r_{j-1}|| beta_j / |d_j|`; MINRES by
        `||r_j||^-2 = sum_{i <= j} ||r_i^CG||^-2` (Greenbaum 1997, section 5.4), which holds for every symmetric matrix.

        Args:
            diagonal: `[most]`.
            beside: `[most]`, the entry that couples each row to the next, the last one included; 0 from a breakdown on.
            steps: how many rows there are.
        """
        tiny = jnp.finfo(diagonal.dtype).tiny

        def further(carry: tuple[Array, Array, Array], row: tuple[Array, Array]) -> tuple[tuple, tuple[Array, Array]]:
            coupling, log_cg, log_sum = carry
            entry, beside = row
            pivot = entry - coupling
            # A pivot of zero is a step on which CG stands still at infinity, and MINRES does not move.
            pivot = jnp.where(jnp.abs(pivot) > tiny, pivot, tiny)
            log_cg = log_cg + jnp.log(beside) - jnp.log(jnp.abs(pivot))
            log_sum = jnp.logaddexp(log_sum, -2 * log_cg)
            return (beside**2 / pivot, log_cg, log_sum), (log_cg, -log_sum / 2)

        zero = jnp.zeros((), diagonal.dtype)
        _, logs = jax.lax.scan(further, (zero, zero, zero), (diagonal, beside))
        rows = jnp.arange(diagonal.shape[0])
        # What stands behind a breakdown is no iteration any more.
        broken = jnp.cumsum(beside <= 0) > 0
        log_cg, log_minres = (jnp.where(rows < steps, jnp.where(broken, -jnp.inf, log), jnp.nan) for log in logs)
        return cls(log_cg, log_minres, steps)

    def steps_to(self, log_rtol: float, slowest: Float[Array, ""], *, minimal: bool) -> Float[Array, ""]:
        """Return the number of steps after which the residual has fallen to a given part of the first.

        Beyond what the iteration saw, the residual goes on falling as fast as over the second half of it, or as the
        condition number guarantees.

        Args:
            log_rtol: logarithm of the part, negative.
            slowest: decrease of its logarithm per step that is sure in the long run, positive.
            minimal: MINRES instead of CG.
        """
        logs = self.log_minres if minimal else self.log_cg
        rows = jnp.arange(logs.shape[0])
        # Of CG the residual goes up and down; the one of MINRES tells the trend of both.
        last, half = self.steps - 1, (self.steps - 1) // 2
        trend = (self.log_minres[half] - self.log_minres[last]) / jnp.maximum(last - half, 1)
        rate = jnp.maximum(jnp.where(jnp.isfinite(trend), trend, 0), slowest)
        beyond = self.steps + (logs[last] - log_rtol) / rate
        first = jnp.min(jnp.where((logs <= log_rtol) & (rows < self.steps), rows, logs.shape[0]))
        return jnp.where(first < self.steps, (first + 1).astype(logs.dtype), beyond)

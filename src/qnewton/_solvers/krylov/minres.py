"""Preconditioned minimal residuals."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, Inexact, Int

from ..._core.arrays import Number, namespace
from ..._core.kinds import plain
from ..._core.powers_of_two import root_of_product
from ..._core.records import ClassicalWorkload, Encoding, SystemEstimate
from ..flat import check_symmetric
from ..preconditioners import AbstractPreconditioner, Identity
from .base import (
    BREAKDOWN,
    RUNNING,
    SINGULAR,
    AbstractKrylov,
    Best,
    KrylovSystem,
    norm_of,
)
from .steps import definite_minres_steps, expected_steps, minres_steps


class _MINRESStep(eqx.Module):
    x: Inexact[Array, " n"]
    residual: Inexact[Array, " n"]
    # The Lanczos recursion: two vectors as the operator leaves them, the latest one preconditioned, and their lengths.
    before: Inexact[Array, " n"]
    latest: Inexact[Array, " n"]
    preconditioned: Inexact[Array, " n"]
    beta_before: Float[Array, ""]
    beta: Float[Array, ""]
    # The QR factors of its tridiagonal matrix, updated by one rotation per step.
    cosine: Float[Array, ""]
    sine: Float[Array, ""]
    dbar: Float[Array, ""]
    epsilon: Float[Array, ""]
    phibar: Float[Array, ""]
    direction_before: Inexact[Array, " n"]
    direction: Inexact[Array, " n"]
    size: Float[Array, ""]
    norm: Float[Array, ""]
    best: Best
    count: Int[Array, ""]
    status: Int[Array, ""]


class MINRES(AbstractKrylov):
    """Minimal residuals for symmetric operators, definite or not (Paige and Saunders 1975), preconditioned.

    Stops where `||r||_2 <= rtol ||b||_2`. The iteration itself only knows the norm that the preconditioner defines;
    the residual vector comes from `r_k = s_k^2 r_{k-1} - c_k phi_{k+1} u_{k+1}`, with the rotation `(c_k, s_k)` of step
    `k` and the next Lanczos vector `u_{k+1}` before preconditioning: one vector more, and no product. It can fall far
    below the true residual, whose rounding errors grow with the square of kappa (Sleijpen, van der Vorst and
    Modersitzki 2000): the iteration then starts anew from the true one. One product per iteration, and one at each end.

    Singular systems are solved where they are consistent. Where they are not, the residual stops falling at the
    least-squares solution, and the result is `RESULTS.singular`.

    Attributes:
        rtol: relative residual at which to stop, in (0, 1).
        max_steps: iterations at most; None: 10 times the rows. Running out is `RESULTS.max_steps_reached`.
        preconditioner: of the iteration, positive definite; the linear-solve option `preconditioner`, an operator,
            goes before it.
    """

    rtol: float = eqx.field(static=True, converter=plain, default=1e-3)
    max_steps: int | None = eqx.field(static=True, converter=plain, default=None)
    preconditioner: AbstractPreconditioner = Identity()
    needs_definite: ClassVar[bool] = False

    def admit(self, operator: lx.AbstractLinearOperator) -> tuple[lx.AbstractLinearOperator, bool]:
        check_symmetric(operator, self._kind)
        return operator, False

    def iterate(self, problem: KrylovSystem) -> tuple[Best, Int[Array, ""], Int[Array, ""]]:
        residual = problem.residual
        preconditioned = problem.precondition(residual)
        norm = norm_of(residual)
        beta, square = root_of_product(residual, preconditioned)
        zero, nothing = jnp.zeros_like(beta), jnp.zeros_like(residual)
        broken = jnp.where(jnp.isfinite(norm) & jnp.isfinite(square), BREAKDOWN, SINGULAR)
        sound = (square > 0) & jnp.isfinite(square) | (norm == 0)
        first = _MINRESStep(
            x=problem.start,
            residual=residual,
            before=nothing,
            latest=residual,
            preconditioned=preconditioned,
            beta_before=jnp.ones_like(beta),
            beta=beta,
            cosine=zero - 1,
            sine=zero,
            dbar=zero,
            epsilon=zero,
            phibar=beta,
            direction_before=nothing,
            direction=nothing,
            size=zero,
            norm=norm,
            best=Best(problem.start, norm),
            count=jnp.zeros((), jnp.int32),
            status=jnp.where(sound, RUNNING, broken).astype(jnp.int32),
        )

        def proceed(step: _MINRESStep) -> Array:
            return (step.status == RUNNING) & (step.norm > problem.target) & (step.count < problem.max_steps)

        last = jax.lax.while_loop(proceed, lambda step: _advance(problem, step), first)
        return last.best, last.count, last.status

    def steps(self, estimate: SystemEstimate) -> Number:
        kappa = estimate.condition_number
        definite = estimate.definite
        xp = namespace(kappa)
        bound = xp.where(definite, definite_minres_steps(kappa, self.rtol), minres_steps(kappa, self.rtol))
        return expected_steps(
            estimate, self.rtol, bound, xp.where(definite, 2 / xp.sqrt(kappa), 1 / kappa), minimal=True
        )

    def workload(self, estimate: SystemEstimate, encoding: Encoding) -> ClassicalWorkload:
        """Return the workload of the products that the estimate's Ritz values predict, at most `max_steps`.

        Without Ritz values, they are as many as the condition number allows (`krylov.steps`). The preconditioner gets
        no credit: observed counts correct that (`Turn.factors`).
        """
        return self._workload("minres", estimate)


def _advance(problem: KrylovSystem, step: _MINRESStep) -> _MINRESStep:
    eps = jnp.finfo(step.norm.dtype).eps
    v = step.preconditioned / step.beta
    # beta_before is meant for the second step on; `before` is zero in the first.
    image = problem.apply(v) - step.beta / step.beta_before * step.before
    alpha = jnp.vdot(v, image).real
    latest = image - alpha / step.beta * step.latest
    preconditioned = problem.precondition(latest)
    # Of the operator's scale, of which the square may be no number.
    beta, square = root_of_product(latest, preconditioned)
    size = jnp.maximum(step.size, jnp.abs(alpha) + beta)
    # Once the Krylov space is exhausted, as for an identity or at the rank, the next vector is only rounding.
    exhausted = beta <= 10 * eps * size
    beta = jnp.where(exhausted, 0, beta)

    delta = step.cosine * step.dbar + step.sine * alpha
    gbar = step.sine * step.dbar - step.cosine * alpha
    epsilon, dbar = step.sine * beta, -step.cosine * beta
    # ||A r|| / ||r|| before this step (Choi, Paige and Saunders 2011): zero at a least-squares solution.
    stuck = jnp.hypot(gbar, dbar) <= 10 * eps * size
    gamma = jnp.hypot(gbar, beta)
    cosine, sine = gbar / gamma, beta / gamma
    phi, phibar = cosine * step.phibar, sine * step.phibar
    direction = (v - step.epsilon * step.direction_before - delta * step.direction) / gamma
    x = step.x + phi * direction
    unit = jnp.where(exhausted, 0, latest / beta)
    residual = sine**2 * step.residual - cosine * phibar * unit
    norm = norm_of(residual)

    finite = jnp.isfinite(square) & jnp.isfinite(alpha)
    positive = (square >= 0) | exhausted
    sound = finite & positive & ~stuck & jnp.isfinite(norm)
    left = norm > problem.target
    status = jnp.where(
        ~finite | stuck,
        SINGULAR,
        jnp.where(~positive | ~jnp.isfinite(norm) | (exhausted & left), BREAKDOWN, RUNNING),
    )
    return _MINRESStep(
        x=x,
        residual=residual,
        before=step.latest,
        latest=latest,
        preconditioned=preconditioned,
        beta_before=step.beta,
        beta=beta,
        cosine=cosine,
        sine=sine,
        dbar=dbar,
        epsilon=epsilon,
        phibar=phibar,
        direction_before=step.direction,
        direction=direction,
        size=size,
        norm=norm,
        best=step.best.or_better(x, norm, sound),
        count=step.count + 1,
        status=status.astype(jnp.int32),
    )

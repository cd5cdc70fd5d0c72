"""Preconditioned conjugate gradients."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, Inexact, Int

from ..._core.arrays import Number, namespace
from ..._core.kinds import plain
from ..._core.powers_of_two import unit_of
from ..._core.records import ClassicalWorkload, Encoding, SystemEstimate
from ..flat import made_positive
from ..preconditioners import AbstractPreconditioner, Identity
from .base import BREAKDOWN, RUNNING, SINGULAR, AbstractKrylov, Best, KrylovSystem, norm_of
from .steps import cg_steps, expected_steps


class _CGStep(eqx.Module):
    x: Inexact[Array, " n"]
    residual: Inexact[Array, " n"]
    direction: Inexact[Array, " n"]
    gamma: Float[Array, ""]
    unit: Float[Array, ""]
    norm: Float[Array, ""]
    best: Best
    count: Int[Array, ""]
    status: Int[Array, ""]


class CG(AbstractKrylov):
    """Conjugate gradients for definite operators (Hestenes and Stiefel 1952), preconditioned.

    Stops where `||r||_2 <= rtol ||b||_2`, the plain norm with every preconditioner. One product per iteration, and one
    at the end: the residual of the recursion falls on where the true one stays at about `eps ||A|| ||x||`; at kappa 4e3
    in single precision its 1e-6 was a true 1.5e-4. Where `p.Ap <= 0` shows that the operator is not positive definite,
    it stops with `RESULTS.breakdown`. Of an operator that is tagged negative semidefinite the negated system is solved.

    Attributes:
        rtol: relative residual at which to stop, in (0, 1).
        max_steps: iterations at most; None: 10 times the rows. Running out is `RESULTS.max_steps_reached`.
        preconditioner: of the iteration; the linear-solve option `preconditioner`, an operator, goes before it.
    """

    rtol: float = eqx.field(static=True, converter=plain, default=1e-3)
    max_steps: int | None = eqx.field(static=True, converter=plain, default=None)
    preconditioner: AbstractPreconditioner = Identity()
    needs_definite: ClassVar[bool] = True

    def admit(self, operator: lx.AbstractLinearOperator) -> tuple[lx.AbstractLinearOperator, bool]:
        return made_positive(operator, self._kind, "MINRES")

    def iterate(self, problem: KrylovSystem) -> tuple[Best, Int[Array, ""], Int[Array, ""]]:
        norm = norm_of(problem.residual)
        zero = jnp.zeros((), jnp.int32)
        first = _CGStep(
            x=problem.start,
            residual=problem.residual,
            direction=jnp.zeros_like(problem.residual),
            gamma=jnp.ones_like(norm),
            unit=jnp.ones_like(norm),
            norm=norm,
            best=Best(problem.start, norm),
            count=zero,
            status=jnp.where(jnp.isfinite(norm), RUNNING, SINGULAR).astype(jnp.int32),
        )

        def proceed(step: _CGStep) -> Array:
            return (step.status == RUNNING) & (step.norm > problem.target) & (step.count < problem.max_steps)

        last = jax.lax.while_loop(proceed, lambda step: _advance(problem, step), first)
        return last.best, last.count, last.status

    def steps(self, estimate: SystemEstimate) -> Number:
        kappa = estimate.condition_number
        return expected_steps(
            estimate, self.rtol, cg_steps(kappa, self.rtol), 2 / namespace(kappa).sqrt(kappa), minimal=False
        )

    def workload(self, estimate: SystemEstimate, encoding: Encoding) -> ClassicalWorkload:
        """Return the workload of the products that the estimate's Ritz values predict, at most `max_steps`.

        Without Ritz values, they are as many as the condition number allows (`krylov.steps`). The preconditioner gets
        no credit: observed counts correct that (`Turn.factors`).
        """
        return self._workload("cg", estimate)


def _advance(problem: KrylovSystem, step: _CGStep) -> _CGStep:
    # In powers of two as units, of the preconditioner once and of the operator in every step: inner products stay in
    # range whatever the scales of both, and no digit changes.
    z = problem.precondition(step.residual)
    unit = jnp.where(step.count == 0, unit_of(z), step.unit)
    z = z / unit
    gamma = jnp.vdot(step.residual, z).real
    # The first direction is zero, so this is z there.
    direction = z + gamma / step.gamma * step.direction
    image = problem.apply(direction)
    size = unit_of(image)
    image = image / size
    curvature = jnp.vdot(direction, image).real
    alpha = gamma / curvature
    x, residual = step.x + alpha / size * direction, step.residual - alpha * image
    norm = norm_of(residual)
    finite = jnp.isfinite(curvature) & jnp.isfinite(norm)
    sound = finite & (gamma > 0) & (curvature > 0)
    # A step along a direction of negative curvature is not taken.
    status = jnp.where(sound, RUNNING, jnp.where(jnp.isfinite(curvature), BREAKDOWN, SINGULAR))
    return _CGStep(
        x=x,
        residual=residual,
        direction=direction,
        gamma=gamma,
        unit=unit,
        norm=norm,
        best=step.best.or_better(x, norm, sound),
        count=step.count + 1,
        status=status.astype(jnp.int32),
    )

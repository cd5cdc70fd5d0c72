"""The outer correction: a conditioned solve refined to the exact one by conjugate gradients, with a certificate."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._core.kinds import check_scalars, plain
from .._core.records import System
from .._core.traces import inner

Solve = Callable[[Float[Array, " n"]], Float[Array, " n"]]


class Correction(eqx.Module):
    """Conjugate gradients on the system before pruning and repair, preconditioned by the conditioned solve.

    Each step takes one solve of the conditioned system (for a quantum solver: one read-out) and one product with the
    exact one. The first only finds the best length along the conditioned step, so `max_steps=1` is a one-shot step of
    optimal length. The iteration ends when the certificate holds: with `q` the model decrease attained, `r` the
    residual and `lambda` a proven lower bound on the smallest eigenvalue of the exact system, the best decrease is at
    most `q + |r|^2 / (2 lambda)`. Where no such bound is positive nothing can be certified, and all steps are taken.

    The recursion is Polak and Ribiere's, which forgives a preconditioner that is not the same in every step.

    Attributes:
        decrease: fraction of the best decrease of the damped model to be proven, in (0, 1).
        max_steps: at least 1.
    """

    decrease: float = eqx.field(static=True, converter=plain, default=0.99)
    max_steps: int = eqx.field(static=True, converter=plain, default=20)

    def __check_init__(self):
        check_scalars(self)
        if not 0 < self.decrease < 1:
            raise ValueError(
                f"decrease is {self.decrease}: the fraction of the best model decrease to be proven must lie in (0, 1)"
            )
        if not (isinstance(self.max_steps, int) and self.max_steps >= 1):
            raise ValueError(f"max_steps is {self.max_steps}: it must be an integer of at least 1")


class _Iterate(eqx.Module):
    x: Float[Array, " n"]
    residual: Float[Array, " n"]
    direction: Float[Array, " n"]
    gamma: Float[Array, ""]
    fraction: Float[Array, ""]
    count: Int[Array, ""]
    sound: Bool[Array, ""]


def proven_decrease(
    system: System, gradient: Float[Array, " n"], step: Float[Array, " n"], residual: Float[Array, " n"]
) -> Float[Array, ""]:
    """Return the fraction, in [0, 1], of the exact model's best decrease that a step provably attains.

    Args:
        system: conditioned.
        gradient: in the system's coordinates, of a scale near 1, since squares are taken.
        step: in the system's coordinates.
        residual: `gradient - A step` with the exact `A`, in the system's coordinates.
    """
    # g.x - x.A x / 2 with A x = g - r.
    attained = inner(gradient + residual, step) / 2
    missed = _missed(residual, system.unrepaired.eigenvalue_floor)
    # Both bounds hold. In the user's coordinates the floor is the damping itself, which a change of basis blurs.
    missed = jnp.minimum(missed, _missed(system.coordinates.out_of(residual), system.user_floor))
    fraction = attained / (attained + missed)
    # At a gradient of zero nothing can be gained, and nothing is missed.
    fraction = jnp.where((attained == 0) & (missed == 0), 1, fraction)
    return jnp.where((attained >= 0) & jnp.isfinite(fraction), fraction, 0).astype(residual.dtype)


def corrected(
    correction: Correction, system: System, gradient: Float[Array, " n"], first: Float[Array, " n"], solve: Solve
) -> tuple[Float[Array, " n"], Int[Array, ""]]:
    """Return the corrected step and the number of solves.

    Args:
        correction: when to stop.
        system: conditioned.
        gradient: right-hand side, in the system's coordinates, of a scale near 1.
        first: the conditioned system's solution for it.
        solve: the conditioned system's solution for any right-hand side.

    Returns:
        The step in the system's coordinates; zero where `first` is no direction of descent and positive curvature.
    """
    apply = system.unrepaired.operator.mv

    def along(state: _Iterate, z: Float[Array, " n"], direction: Float[Array, " n"]) -> _Iterate:
        image = apply(direction)
        curvature, slope = jnp.vdot(direction, image), jnp.vdot(state.residual, direction)
        # NaN fails every comparison.
        sound = (curvature > 0) & (slope > 0)
        length = jnp.where(sound, slope / jnp.where(curvature > 0, curvature, 1), 0)
        moved = jnp.where(sound, length * direction, 0)
        x, residual = state.x + moved, jnp.where(sound, state.residual - length * image, state.residual)
        fraction = proven_decrease(system, gradient, x, residual)
        return _Iterate(x, residual, direction, jnp.vdot(state.residual, z), fraction, state.count + 1, sound)

    def proceed(carry: tuple[_Iterate, Float[Array, " n"]]) -> Array:
        state, _ = carry
        return state.sound & (state.fraction < correction.decrease) & (state.count < correction.max_steps)

    def advance(
        carry: tuple[_Iterate, Float[Array, " n"]],
    ) -> tuple[_Iterate, Float[Array, " n"]]:
        state, before = carry
        z = solve(state.residual)
        beta = jnp.vdot(z, state.residual - before) / jnp.where(state.gamma == 0, 1, state.gamma)
        return along(state, z, z + beta * state.direction), state.residual

    zero = jnp.zeros((), gradient.dtype)
    start = _Iterate(
        jnp.zeros_like(gradient), gradient, jnp.zeros_like(gradient), zero, zero, jnp.int32(0), jnp.ones((), bool)
    )
    last, _ = jax.lax.while_loop(proceed, advance, (along(start, first, first), gradient))
    return last.x, last.count


def _missed(residual: Float[Array, " n"], floor: Float[Array, ""] | None) -> Float[Array, ""]:
    """Return a bound on the shortfall of a step with this residual from the best decrease."""
    if floor is None:
        return jnp.asarray(jnp.inf, residual.dtype)
    bound = jnp.vdot(residual, residual) / (2 * jnp.where(floor > 0, floor, 1))
    return jnp.where(floor > 0, bound, jnp.inf)

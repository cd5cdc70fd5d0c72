"""Iteration counts of conjugate gradients and minimal residuals: the one cost model of each.

All counts are for a relative tolerance in the 2-norm, `||r_k|| <= tolerance ||b||`. Formulas serve numpy and JAX.

In exact arithmetic CG ends after at most n steps. In floating point it does not: at n = 256 and a condition number of
1e6 it takes some 1,600 in double precision. What is computed is close to exact CG on a larger matrix whose eigenvalues
lie in tiny intervals around those of the given one (Greenbaum, Linear Algebra Appl. 113 (1989) 7-63; Meurant and
Strakos, Acta Numerica 15 (2006) 471-542). So a bound by the condition number alone still holds, with one that is larger
by a few units of rounding, as long as the tolerance is above `kappa` units of rounding; one by the number of rows does
not hold.
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._core.arrays import Number, NumberArray, floating
from ..._core.costs import Cost
from ..._core.records import ClassicalWorkload, SystemEstimate


def cg_steps(condition_number: Number, tolerance: Number) -> NumberArray:
    """Return `sqrt(kappa) / 2 ln(2 sqrt(kappa) / tolerance)`, the Chebyshev bound of CG.

    `||e_k||_A <= 2 ((sqrt(kappa) - 1) / (sqrt(kappa) + 1))^k ||e_0||_A` (Saad 2003, theorem 6.29) in the norm of the
    matrix. In the 2-norm the residual and the error, each relative to the first one, may be `sqrt(kappa)` times that.
    """
    xp, kappa, tolerance = floating(condition_number, tolerance)
    root = xp.sqrt(kappa)
    return root / 2 * xp.log(2 * root / tolerance)


def definite_minres_steps(condition_number: Number, tolerance: Number) -> NumberArray:
    """Return `sqrt(kappa) / 2 ln(2 / tolerance)`, for MINRES, with the least residual, on a positive spectrum."""
    xp, kappa, tolerance = floating(condition_number, tolerance)
    return xp.sqrt(kappa) / 2 * xp.log(2 / tolerance)


def minres_steps(condition_number: Number, tolerance: Number) -> NumberArray:
    """Return `kappa ln(2 / tolerance)`, for two intervals of equal length around zero (Greenbaum 1997, section 3.1)."""
    xp, kappa, tolerance = floating(condition_number, tolerance)
    return kappa * xp.log(2 / tolerance)


def expected_steps(
    estimate: SystemEstimate, tolerance: float, bound: Number, pace: Float[Array, ""], *, minimal: bool
) -> Number:
    """Return the steps predicted from the estimate's Lanczos iteration, no more than the bound.

    The iteration's first vector is random, and represents the right-hand side. Without an iteration only the bound is
    known.

    Args:
        estimate: of the system.
        tolerance: relative, of the residual.
        bound: steps at most.
        pace: decrease of the residual's logarithm per step that is sure in the long run.
        minimal: MINRES instead of CG.
    """
    if estimate.recurrence is None:
        return bound
    return jnp.fmin(estimate.recurrence.steps_to(math.log(tolerance), pace, minimal=minimal), bound)


def krylov_workload(
    kernel: str,
    n: Number,
    itemsize: int,
    product: Cost,
    steps: Number,
    preconditioner: tuple[float, float] = (0.0, 0.0),
) -> ClassicalWorkload:
    """Return the workload of one product, five inner products or updates, and the preconditioner in each step.

    Args:
        kernel: whose calibration it is predicted with.
        n: rows.
        itemsize: bytes of a number.
        product: one, with the operator.
        steps: at least 1.
        preconditioner: its operations once, and in each step.
    """
    once, each = preconditioner
    return ClassicalWorkload(
        kernel=kernel,
        flops=once,
        bytes=n * itemsize,
        steps=steps,
        step_flops=product.flops + (10.0 * n + each),
        step_bytes=product.bytes + 12.0 * n * itemsize,
        setup_flops=once,
    )

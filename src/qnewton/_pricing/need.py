"""The accuracy that a training step needs, and the resulting tolerance of a solver.

A Gauss-Newton step with the relative error e in the energy norm, `|y - x|_A = e |x|_A`, keeps at least `1 - e^2` of the
decrease that its quadratic model predicts. Solvers count their errors otherwise; each formula here is the largest error
in their way of counting that keeps e. With kappa the condition number of A:

    relative residual r                e^2 <= kappa r^2          ours: `r.A^-1 r <= |r|^2 / lambda_min`
    relative 2-norm error d            e^2 <= kappa d^2          ours: `d.A d <= lambda_max |d|^2`
    residual of a dual system          e^2 <= r^2 / q            ours: `r.(K + m)^-1 K r <= |r|^2`
    K + m, norm of K (K + m)           q = b.K (K + m)^-1 b / |b|^2
    2-norm error, equal in all         E e^2 = R d^2,            ours: `E d.A d = (tr A / n) E |d|^2`
    directions                         R = (tr A / n) |x|^2 / (x.A x)

The step of a dual system is `-R^T u`, so the norm that counts is that of `K (K + m)`: an error of 0.3 in the norm of
`K + m` may leave nothing of the decrease. Before the right-hand side is at hand `1 / kappa^2` stands for q. The last
line is for read-out alone: its errors have no direction of their own. Those of a polynomial lie where the spectrum puts
them, and count at their worst.
"""

import numpy as np

from .._core.arrays import Number, NumberArray, floating, quiet

NEED = 0.3
"""Relative error in the energy norm that a step bears: 9 % of the decrease.

K-FAC takes up to 4 % more steps with it, and dual steps that are bent along the geodesic 1.7 times as many
(docs/one-newton.md)."""
DUAL_NEED = 0.1
"""The same of dual systems: geodesic acceleration follows the second derivative along the step, errors included. 0.3
takes 1.7 times the steps of exact solves, 0.1 takes 6 % more (docs/one-newton.md)."""
LARGEST = 0.5
"""No solver is asked for less: a state that is further off is hardly a solution, whatever the norm."""


@quiet
def residual_for(need: Number, log_condition_number: Number, power: Number = 1) -> NumberArray:
    """Return the largest relative residual, `need / kappa^(power / 2)`; `power` 2 for dual systems (see the module).

    Args:
        need: relative error in the norm that counts, in (0, 1).
        log_condition_number: natural logarithm of kappa.
        power: 1, or 2.
    """
    xp, need, log_kappa = floating(need, log_condition_number)
    return xp.minimum(need * xp.exp(-log_kappa * power / 2), LARGEST)


def state_error_for(need: Number, log_condition_number: Number, power: Number = 1) -> NumberArray:
    """Largest relative 2-norm error in the worst direction: as large as the residual may be.

    Args:
        need: as of `residual_for`, as is the other.
        log_condition_number: likewise.
        power: likewise.
    """
    return residual_for(need, log_condition_number, power)


@quiet
def readout_error_for(need: Number, mean_eigenvalue: Number, square_length: Number, energy: Number) -> NumberArray:
    """Return the 2-norm error of a read-out, averaged over its directions: `need / sqrt(R)`.

    Args:
        need: as of `residual_for`.
        mean_eigenvalue: `tr A / n`.
        square_length: `|x|^2` of the solution, or of the last one.
        energy: `x.A x` of the same vector.
    """
    xp, need, mean, square, energy = floating(need, mean_eigenvalue, square_length, energy)
    return xp.minimum(need * xp.sqrt(energy / (mean * square)), LARGEST)


@quiet
def steps_factor(stops_at: Number | None, wanted: Number, log_condition_number: Number) -> NumberArray:
    """Return the factor on CG's steps for another residual: the ratio of logarithms in its Chebyshev bound.

    Args:
        stops_at: relative residual that its steps were counted for; None: as wanted.
        wanted: relative residual.
        log_condition_number: natural logarithm of kappa.
    """
    xp, wanted, log_kappa = floating(wanted, log_condition_number)
    if stops_at is None:
        return xp.ones_like(wanted)
    # `ln(2 sqrt(kappa) / tolerance)`, as `cg_steps` has it.
    largest = np.log(2.0) + log_kappa / 2
    return (largest - xp.log(wanted)) / (largest - np.log(stops_at))

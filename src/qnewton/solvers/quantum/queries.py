"""Published query counts of quantum linear solver algorithms: one pure function per theorem and version.

Each takes the matrix's `Encoding` and a precision, and gives a `QuantumWorkload`.
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from ...core.records import Encoding, QuantumWorkload

_JENNINGS_SMALLEST_KAPPA = math.sqrt(12)
JENNINGS_LARGEST_PRECISION = 0.24


def jennings2023v1(encoding: Encoding, precision: float) -> QuantumWorkload:
    """Expected queries of the randomised adiabatic solver, arXiv 2305.11352 **v1**, Theorem 1.

    With `L = ln(2 kappa + 3)`, `alpha` the subnormalisation, `e` Euler's number and `epsilon` the precision:

        Q* = (1741 alpha e / 500) sqrt(kappa^2 + 1) [(133/125 + 4 / (25 kappa^(1/3))) pi L + 1]
             + (351/50) L^2 [ln(451 L^2 / epsilon) + 1] + alpha kappa ln(32 / epsilon)
        success probability >= 0.39 - 0.204 epsilon,   Q = Q* / (0.39 - 0.204 epsilon)

    Holds for `kappa >= sqrt(12)` and `epsilon <= 0.24`. Later versions of the paper prove a different bound. Evidence:
    four independent third-party transcriptions agree (the released Q-Newton code applies `alpha` a second time, which
    is an error); the paper's text itself was not read, and 0.204 stands as 0.201 in one of the four.

    Args:
        encoding: condition number kappa and subnormalisation, scalars.
        precision: epsilon, error of the normalised solution state, in (0, 0.24].

    Returns:
        The workload. kappa below sqrt(12) is raised to it and reported as `clamped`; a condition number that is not
        finite makes the workload invalid.
    """
    kappa = jnp.maximum(encoding.condition_number, _JENNINGS_SMALLEST_KAPPA)
    alpha = encoding.subnormalisation
    success = 0.39 - 0.204 * precision
    log_kappa = jnp.log(2 * kappa + 3)
    # kappa * sqrt(1 + kappa^-2) is sqrt(kappa^2 + 1) without overflow of the square.
    root = kappa * jnp.sqrt(1 + kappa**-2.0)
    adiabatic = (
        1741 * alpha * math.e / 500 * root * ((133 / 125 + 4 / (25 * jnp.cbrt(kappa))) * math.pi * log_kappa + 1)
    )
    filtering = 351 / 50 * log_kappa**2 * (jnp.log(451 * log_kappa**2 / precision) + 1)
    projection = alpha * kappa * math.log(32 / precision)
    queries: Float[Array, ""] = (adiabatic + filtering + projection) / success
    return QuantumWorkload(
        queries=queries,
        # Two preparations of the right-hand side per query (same theorem).
        state_preparations=2 * queries,
        success_probability=jnp.full_like(queries, success),
        clamped=encoding.condition_number < _JENNINGS_SMALLEST_KAPPA,
        valid=jnp.isfinite(queries) & (precision <= JENNINGS_LARGEST_PRECISION),
        validity=f"needs a finite condition number and precision <= {JENNINGS_LARGEST_PRECISION}",
    )

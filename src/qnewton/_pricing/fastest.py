"""The fastest candidate: the arithmetic of the choice, shared by traced decisions, the ledger and the report."""

from typing import TypeVar

import jax
import numpy as np

Arrays = TypeVar("Arrays", np.ndarray, jax.Array)


def fastest(seconds: Arrays, allowed: Arrays) -> tuple[Arrays, Arrays]:
    """The candidate with the least seconds among those allowed, the first of them on a tie.

    Args:
        seconds: predicted `[..., candidates]`, of numpy or of jax. What is not finite is never chosen.
        allowed: whether the candidate may be chosen `[..., candidates]`.

    Returns:
        Its index `[...]`, 0 where there is none, and whether there is one `[...]`.
    """
    xp = seconds.__array_namespace__()
    costs = xp.where(allowed & xp.isfinite(seconds), seconds, xp.inf)
    return xp.argmin(costs, axis=-1), xp.any(xp.isfinite(costs), axis=-1)

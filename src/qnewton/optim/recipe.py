"""Which complete optimizer suits a problem, by its shape."""

import jax
import optax
from jaxtyping import PyTree

from ..core.trees import check_params
from ..curvature.independence import Independence, independence
from ..curvature.objective import Batch, Objective
from ..solvers import CG
from .dual import dual_newton
from .kfac import kfac
from .newton import newton

MOST_ROWS = 1500
"""Residuals up to which a step of `dual_newton` is affordable: it factors matrices of so many rows."""


def recipe(objective: Objective, params: PyTree, batch: Batch) -> optax.GradientTransformationExtraArgs:
    """`dual_newton` for few residuals, `kfac` for many, each with its defaults.

    Few means: examples times outputs at most the number of parameters, and at most 1,500. Then the residuals can be
    fitted all at once, and Levenberg-Marquardt in the residuals reaches high accuracy in few steps; with more of them a
    step costs their cube. To choose otherwise, call `dual_newton` or `kfac` yourself. Where examples influence each
    other (batch normalisation in training mode, in-batch negatives) K-FAC has no single examples to go by: then it is
    `newton` with conjugate gradients on the whole batch's curvature.

    Args:
        objective: what is minimised.
        params: to be trained; only shapes and dtypes are read.
        batch: `(inputs, targets)` of the size that training will use; only shapes and dtypes are read.

    Returns:
        The transformation; `update` takes `batch=` as that of `newton`.

    Raises:
        ValueError, TypeError: for parameters that are empty or not floating-point.
    """
    check_params(params)
    verdict = independence(objective, params, batch, objective.any_key())
    outputs = jax.eval_shape(lambda p, x: objective.outputs(p, x, objective.any_key()), params, batch[0])
    scalars = sum(leaf.size for leaf in jax.tree.leaves(params))
    if sum(leaf.size for leaf in jax.tree.leaves(outputs)) <= min(scalars, MOST_ROWS):
        return dual_newton(objective)
    if not (verdict.model and verdict.loss) and verdict.kind is not Independence.UNDECIDED:
        return newton(objective, solver=CG(rtol=0.1), residual_tolerance=0.5)
    return kfac(objective, example=batch[0])

"""The family of `newton` that suits a problem, chosen before `init`."""

import optax
from jaxtyping import PyTree

from .._core.kinds import flag
from .._curvature.checks import check_batch
from .._curvature.objective import Batch, Objective, check_objective
from .._devices.mapped import AxisName
from .families import family_for
from .inside_optax import trainable
from .newton import newton_of


def recipe(
    objective: Objective, params: PyTree, batch: Batch, *, minibatch: bool | None = None, axis_name: AxisName = None
) -> optax.GradientTransformationExtraArgs:
    """Return `newton` with the family that suits a problem, chosen now by its shapes and its loss.

    | | |
    |---|---|
    | full batch, few residuals, or a fit of squares with at most 100 parameters | `dual_newton(objective)` |
    | full batch, more of them | `kfac(objective)` |
    | mini-batches | `kfac(objective, step=KLClip(), refresh=10, average=0.8)`; average the parameters to judge it |
    | no curvature in the outputs | `newton` with the Hessian and `SaddleFree`, above 1,500 parameters `fisher_newton` |

    Few means: examples times outputs at most the number of parameters, and at most 1,500. Then the residuals can be
    fitted all at once, and Levenberg-Marquardt in the residuals reaches high accuracy in few steps; with more of them a
    step costs their cube. A fit is for it in any case, since it minds neither the units of the parameters nor how many
    residuals there are. Steps that minimise each batch's own loss so far follow its noise, so they are not for batches
    that are part of the data. Where examples influence each other (batch normalisation in training mode,
    in-batch negatives) K-FAC has no single examples to go by: then it is `newton` with conjugate gradients on the whole
    batch's curvature; so it is where layers hold less than half of the parameters. To choose otherwise, call these
    yourself.

    Args:
        objective: what is minimised.
        params: to be trained; arrays or shapes. Numbers are read only where the program does not show whether examples
            influence each other.
        batch: `(inputs, targets)` of the size that training will use; likewise.
        minibatch: whether that is a part of the data, another one at each step. One batch does not tell, so say it
            where you can. None: `kfac` notices it, and of few residuals only a sum of squares goes to `dual_newton` (a
            classifier with fewer numbers to fit than parameters is hardly ever trained on all of its data at once).
        axis_name: of the mapped axes that batches are spread over, as of `newton`.

    Returns:
        The transformation; `update` takes `batch=` as that of `newton`.

    Raises:
        ValueError, TypeError: for parameters that are empty or not floating-point, or a batch that is empty or whose
            arrays differ in length.
    """
    check_objective(objective, "recipe")
    minibatch = None if minibatch is None else flag(minibatch, "recipe: minibatch")
    check_batch(batch)
    chosen = family_for(*trainable("recipe", objective, params), batch, minibatch)
    return newton_of(objective, chosen.family, chosen.because, batch, minibatch, axis_name=axis_name)

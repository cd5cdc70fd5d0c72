"""Spectra of a model's curvature, block by block."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PyTree

from .._conditioning import AbstractConditioner, condition
from .._core.kinds import check_kind, check_kinds, numbers
from .._core.limits import EXACT_UP_TO
from .._core.placement import automatically
from .._core.settings import own_promotion
from .._core.trees import check_params
from .._core.widths import working_type
from .._curvature import AbstractCurvature, Batch, GaussNewton, Objective, Partition, Point, whole
from .._curvature.checks import check_batch
from .._curvature.objective import check_objective
from .._estimation import BlockSpectrum, block_spectrum


@own_promotion()
def spectrum(
    objective: Objective,
    params: PyTree,
    batch: Batch,
    *,
    curvature: AbstractCurvature | None = None,
    partition: Partition = whole,
    conditioning: Sequence[AbstractConditioner] = (),
    scale: float = 1.0,
    key: Key[Array, ""] | None = None,
    exact_up_to: int = EXACT_UP_TO,
) -> tuple[BlockSpectrum, ...]:
    """Eigenvalues, condition number, effective rank and degree of every curvature block of a model.

    Args:
        objective: as for `newton`.
        params: where the curvature is taken.
        batch: `(inputs, targets)`.
        curvature: default `GaussNewton()`; `Hessian()` for the exact one.
        partition: `whole`, `per_layer`, `per_tensor` or any function of `params` that returns blocks.
        conditioning: applied first, e.g. `(Damp(5e-3),)`; by default the block is as curvature leaves it.
        scale: factor on the damping, as `newton` adapts it.
        key: for models that take one; None takes `jax.random.key(0)` where the model does not run without.
        exact_up_to: rows up to which all eigenvalues are computed; larger blocks are not formed and seen by stochastic
            Lanczos quadrature.

    Returns:
        One spectrum per block, in the partition's order.

    Raises:
        ValueError, TypeError: for parameters that are empty or not floating-point, and blocks that are not finite.
    """
    check_objective(objective, "spectrum")
    check_kinds(conditioning, AbstractConditioner, "spectrum: conditioning", "Damp(5e-3)")
    if curvature is not None:
        check_kind(curvature, AbstractCurvature, "spectrum: curvature", "Hessian()")
    check_params(params)
    check_batch(batch)
    key = objective.any_key() if key is None else key
    curvature = GaussNewton() if curvature is None else curvature
    scale, exact_up_to = numbers("spectrum", scale=scale, exact_up_to=exact_up_to)
    factor = jnp.asarray(scale, working_type(params))

    def all_of(params: PyTree, batch: Batch) -> tuple[BlockSpectrum, ...]:
        spectra = []
        for block in partition(params):
            if block.n <= exact_up_to:
                form = jax.jit(lambda p, b, block=block: curvature.form(objective, p, b, block, key))
                system = form(params, batch)
            else:
                system = curvature.system(Point.of(objective, params, batch, key), block)
            conditioned = condition(conditioning, system, factor)
            spectra.append(block_spectrum(conditioned, block.name, exact_up_to=exact_up_to))
        return tuple(spectra)

    return automatically(all_of, params, batch)

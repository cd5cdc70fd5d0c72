"""Choice of the family of Newton steps that suits a problem, by its shapes."""

from typing import NamedTuple

import jax
from jaxtyping import PyTree

from .._core.layout import Layout
from .._core.placement import automatic_axes
from .._core.settings import own_promotion
from .._core.trees import check_params
from .._curvature.checks import check_batch
from .._curvature.flat import linear_in_outputs, quadratic_in_outputs
from .._curvature.independence import Independence, independence
from .._curvature.objective import Batch, Objective
from .family import NO_CURVATURE, Family
from .inside_optax import HiddenParametersError
from .layer_structure import layers_and_layout, program_of_inputs
from .metrics import is_fit

MOST_ROWS = 1500
"""Residuals up to which a step of `dual_newton` is affordable: it factors matrices of so many rows."""
COVERED = 0.5
"""Least part of the parameters that must belong to recognised layers for K-FAC to see the network."""
LARGEST_FACTOR = 4096
"""Rows of the largest Kronecker factor that a refresh can afford; beyond it lie tables of tokens."""


class Chosen(NamedTuple):
    """A chosen family, and the reason for it.

    Attributes:
        family: that the training keeps.
        because: in words, for the record.
    """

    family: Family
    because: str


@own_promotion()
def family_for(objective: Objective, params: PyTree, example: Batch | None, minibatch: bool | None) -> Chosen:
    """Choose the family that suits a problem.

    Args:
        objective: what is minimised.
        params: arrays or shapes. Numbers are read only where the program does not show whether examples influence each
            other.
        example: a batch of the size that training will use; likewise. None: what the parameters tell has to do.
        minibatch: whether a batch is a part of the data; None where that is not known.

    Raises:
        ValueError, TypeError: for parameters that are empty or not floating-point, or a batch that is empty or whose
            arrays differ in length.
    """
    check_params(params)
    if example is not None:
        check_batch(example)
    with automatic_axes((params, example)) as (params, example):
        if example is None:
            return _by_parameters(objective, params)
        return _by_example(objective, params, example, minibatch)


def _by_example(objective: Objective, params: PyTree, example: Batch, minibatch: bool | None) -> Chosen:
    key = objective.any_key()
    verdict = independence(objective, params, example, key)
    outputs = jax.eval_shape(lambda p, x: objective.outputs(p, x, key), params, example[0])
    rows = sum(leaf.size for leaf in jax.tree.leaves(outputs))
    scalars = sum(leaf.size for leaf in jax.tree.leaves(params))
    if linear_in_outputs(objective, params, example, key):
        if scalars <= MOST_ROWS and not minibatch:
            return Chosen(Family.BLOCKS, NO_CURVATURE)
        return Chosen(Family.FISHER, "the loss has no curvature in the outputs")
    few, squares = rows <= min(scalars, MOST_ROWS), quadratic_in_outputs(objective, params, example, key)
    if squares and is_fit(params) and not minibatch:
        return Chosen(Family.DUAL, "a fit of squares with at most 100 parameters")
    # A classifier with fewer numbers to fit than parameters is hardly ever trained on all of its data at once.
    if few and (squares or minibatch is False) and not minibatch:
        return Chosen(Family.DUAL, f"{rows} residuals, no more than parameters")
    if not (verdict.model and verdict.loss) and verdict.kind is not Independence.UNDECIDED:
        return Chosen(Family.BLOCKS, "the examples influence each other")
    _, layout = layers_and_layout(program_of_inputs(objective, params, example[0]), params)
    return _by_layers(layout, f"{rows} residuals, more than can be fitted at once")


def _by_parameters(objective: Objective, params: PyTree) -> Chosen:
    if is_fit(params):
        return Chosen(Family.DUAL, "at most 100 parameters; without an example nothing else is known")
    try:
        _, layout = layers_and_layout(program_of_inputs(objective, params, None), params)
    except HiddenParametersError:
        raise
    except Exception:
        # What the model itself raises for guessed inputs it raises again, for the user's own, in the first update.
        return Chosen(Family.BLOCKS, "without an example no layers can be looked for")
    return _by_layers(layout, "layers of plain features; without an example nothing else is known")


def _by_layers(layout: Layout, because: str) -> Chosen:
    covered = 1 - sum(size for _, size in layout.rest) / layout.n
    if max((max(shape) for shape in layout.shapes), default=0) > LARGEST_FACTOR:
        return Chosen(Family.FISHER, f"{because}; a layer has more than {LARGEST_FACTOR} inputs or outputs")
    if covered < COVERED:
        return Chosen(Family.BLOCKS, f"{because}; layers hold only {covered:.0%} of the parameters")
    return Chosen(Family.KFAC, because)

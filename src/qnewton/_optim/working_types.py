"""An optimizer of parameters in any float types: what it computes and keeps is in one type, at least single precision."""

from collections.abc import Callable
from typing import Any, Protocol

import optax
from jaxtyping import PyTree

from .._core.trees import check_gradients, check_params, distinct
from .._curvature.objective import Objective
from .._curvature.stored import Widths


class Steps(Protocol):
    """`init` and `update` of a family, for parameters of one type."""

    def init(self, params: PyTree) -> Any:
        """The state before the first step."""

    def update(self, updates: PyTree, state: Any, params: PyTree | None = None, **extra: Any) -> tuple[PyTree, Any]:
        """The step, and the state after it."""


def in_working_types(
    objective: Objective, steps_for: Callable[[Objective], Steps]
) -> optax.GradientTransformationExtraArgs:
    """The transformation that users are given.

    Parameters of 16 bits, or of several types, are handed on in the working type, and the model sees them rounded as
    they are stored. The step comes back in the parameters' types; the state is in the working one from `init` on, where
    no two arrays share a buffer.

    Args:
        objective: as the user wrote it.
        steps_for: the family's steps for an objective of parameters in the working type.
    """

    def init(params: PyTree) -> Any:
        check_params(params)
        widths = Widths.of(params)
        return distinct(steps_for(widths.objective(objective)).init(widths.widened(params)))

    def update(updates: PyTree, state: Any, params: PyTree | None = None, **extra: Any) -> tuple[PyTree, Any]:
        if params is None:
            return steps_for(objective).update(updates, state, params, **extra)
        widths = Widths.of(params)
        if widths.differ and updates is not None:
            check_gradients(updates, params)
            updates = widths.widened(updates)
        steps = steps_for(widths.objective(objective))
        moved, after = steps.update(updates, state, widths.widened(params), **extra)
        return widths.rounded(moved, params), after

    # optax's types know states made of arrays alone; ours hold equinox modules.
    return optax.GradientTransformationExtraArgs(init, update)  # pyright: ignore[reportArgumentType]

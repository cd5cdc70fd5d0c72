"""Optimizers of parameters in any float types, computing in one of them, at least single precision."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import equinox as eqx
import jax.numpy as jnp
import optax
from jax.core import Tracer
from jaxtyping import PyTree

from .._core.settings import debugging, own_promotion, without_signs
from .._core.trees import check_gradients, check_params, distinct
from .._curvature.objective import Objective
from .._curvature.stored import Widths


class Steps(Protocol):
    """`init` and `update` of a family, for parameters of one type."""

    def init(self, params: PyTree) -> Any:
        """The state before the first step."""
        ...

    def update(self, updates: PyTree, state: Any, params: PyTree | None = None, **extra: Any) -> tuple[PyTree, Any]:
        """The step, and the state after it."""
        ...


def in_working_types(
    objective: Objective, steps_for: Callable[[Objective], Steps]
) -> optax.GradientTransformationExtraArgs:
    """Return the transformation that users receive.

    It computes under jax's default promotion, whatever the user has set (`_core.settings`).

    Parameters of 16 bits, or of several types, are converted to the working type, and the model sees them rounded as
    they are stored. The step is returned in the parameters' types. The state is in the working type from `init` on, and
    no two of its arrays share a buffer.

    Args:
        objective: as the user wrote it.
        steps_for: the family's steps for an objective of parameters in the working type.
    """

    @own_promotion()
    def init(params: PyTree) -> Any:
        check_params(params)
        widths = Widths.of(params)
        return distinct(steps_for(widths.objective(objective)).init(widths.widened(params)))

    @own_promotion()
    def update(updates: PyTree, state: Any, params: PyTree | None = None, **extra: Any) -> tuple[PyTree, Any]:
        # Only what a compiled program returns is looked at.
        eager = debugging() and not isinstance(jnp.zeros(()), Tracer)
        return (compiled if eager else reported)(updates, state, params, **extra)

    def taken(updates: PyTree, state: Any, params: PyTree | None, **extra: Any) -> tuple[PyTree, Any]:
        if params is None:
            return steps_for(objective).update(updates, state, params, **extra)
        widths = Widths.of(params)
        if widths.differ and updates is not None:
            check_gradients(updates, params)
            updates = widths.widened(updates)
        if "batch" in extra:
            extra["batch"] = widths.narrowed(extra["batch"])
        steps = steps_for(widths.objective(objective))
        moved, after = steps.update(updates, state, widths.widened(params), **extra)
        return widths.rounded(moved, params), after

    def reported(*given: Any, **extra: Any) -> tuple[PyTree, Any]:
        moved, after = taken(*given, **extra)
        return moved, distinct(_reportable(after))

    compiled = eqx.filter_jit(reported)
    # optax's types know states made of arrays alone; ours hold equinox modules.
    return optax.GradientTransformationExtraArgs(init, update)  # pyright: ignore[reportArgumentType]


def _reportable(state: Any) -> Any:
    """Return the state without values that jax's debugging flags stop at, except for a loss that is not finite."""
    if not debugging():
        return state
    found = without_signs(state)
    return found._replace(info=replace(found.info, loss=state.info.loss))

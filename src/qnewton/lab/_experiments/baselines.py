"""Baselines to compare with Newton's method: optax's first-order methods and L-BFGS, behind one interface.

Their learning rate lives in the state, so that trainings which differ in nothing else share one compiled step.
"""

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from ..._core.trees import check_params
from ..._curvature import Batch, Objective
from .limits import COUNT, Limit, Limited, finite
from .parts import part


class BaselineInfo(eqx.Module):
    """Diagnostics of a step.

    Attributes:
        loss: of the batch before the step.
        learning_rate: as applied.
    """

    loss: Float[Array, ""]
    learning_rate: Float[Array, ""]


class BaselineState(NamedTuple):
    """State of a baseline.

    Attributes:
        count: steps taken.
        learning_rate: before the schedule; may be replaced between two steps.
        inner: optax's.
        info: of the last step; zeros before the first.
    """

    count: Int[Array, ""]  # pyright: ignore[reportIncompatibleMethodOverride]  # optax's name for it
    learning_rate: Float[Array, ""]
    inner: PyTree
    info: BaselineInfo


class AbstractBaseline(Limited, abc.ABC):
    """One of optax's optimizers, with what it has besides a learning rate."""

    @abc.abstractmethod
    def __call__(self, rate: Array | float) -> optax.GradientTransformation:
        """The optimizer at a learning rate."""


@dataclass(frozen=True)
class SGD(AbstractBaseline):
    """Stochastic gradient descent."""

    def __call__(self, rate: Array | float) -> optax.GradientTransformation:
        return optax.sgd(rate)


@dataclass(frozen=True)
class Momentum(AbstractBaseline):
    """Stochastic gradient descent with Nesterov's momentum.

    Attributes:
        momentum: in [0, 1).
    """

    momentum: Annotated[float, Limit(lambda value: 0 <= value < 1, "it must lie in [0, 1)")] = 0.9

    def __call__(self, rate: Array | float) -> optax.GradientTransformation:
        return optax.sgd(rate, momentum=self.momentum, nesterov=True)


@dataclass(frozen=True)
class Adam(AbstractBaseline):
    """Adam."""

    def __call__(self, rate: Array | float) -> optax.GradientTransformation:
        return optax.adam(rate)


@dataclass(frozen=True)
class Adamw(AbstractBaseline):
    """Adam with decoupled weight decay.

    Attributes:
        weight_decay: times the learning rate; finite, at least 0.
    """

    weight_decay: Annotated[float, finite("it is finite and at least 0")] = 1e-4

    def __call__(self, rate: Array | float) -> optax.GradientTransformation:
        return optax.adamw(rate, weight_decay=self.weight_decay)


@dataclass(frozen=True)
class Muon(AbstractBaseline):
    """Matrices by Newton-Schulz iteration; everything else by Adam at the same rate, which is optax's own split."""

    def __call__(self, rate: Array | float) -> optax.GradientTransformation:
        return optax.contrib.muon(rate)


@dataclass(frozen=True)
class Lbfgs(AbstractBaseline):
    """L-BFGS, with optax's default search along the direction, which asks for the strong Wolfe conditions.

    Attributes:
        memory: pairs of steps and gradients that it remembers, at least 1.
    """

    memory: Annotated[int, COUNT] = 20

    def __call__(self, rate: Array | float) -> optax.GradientTransformation:
        return optax.lbfgs(rate, memory_size=self.memory)


RATES: dict[str, float] = {"sgd": 0.1, "momentum": 0.03, "adam": 3e-3, "adamw": 3e-3, "muon": 0.02, "lbfgs": 1.0}
"""Learning rates that nobody has tuned, and baselines to what they belong to; of `lbfgs` the first trial along the
direction, which the search starts from."""


def _initial(
    params: PyTree, learning_rate: float, make: Callable[[Array], optax.GradientTransformation]
) -> BaselineState:
    """Return the state before the first step."""
    check_params(params)
    dtype = jax.tree.leaves(params)[0].dtype
    rate, zero = jnp.asarray(learning_rate, dtype), jnp.zeros((), dtype)
    return BaselineState(jnp.zeros((), jnp.int32), rate, make(rate).init(params), BaselineInfo(zero, zero))


def _rate(state: BaselineState, schedule: optax.Schedule | None) -> Float[Array, ""]:
    """Return the rate of this step."""
    rate = state.learning_rate
    return rate if schedule is None else rate * jnp.asarray(schedule(state.count), rate.dtype)


def _seen(
    loss: Callable[[PyTree], Float[Array, ""]], params: PyTree, gradient: PyTree, value: Array | None, searched: PyTree
) -> tuple[Array, PyTree]:
    """Return loss and gradient here; with a line search's state of the same batch, those at its end."""
    if searched is not None:
        found, gradient = optax.value_and_grad_from_state(loss)(params, state=searched)
        return jnp.asarray(found), gradient
    return loss(params) if value is None else value, gradient


def baseline(
    name: str,
    objective: Objective,
    learning_rate: float | None = None,
    *,
    schedule: optax.Schedule | None = None,
    repeats: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """One of optax's optimizers, as a transformation whose state reports on the step.

    `update(grads, state, params, batch=(inputs, targets), key=None, value=None)` returns the step, with `grads` those
    of `objective(params, batch, key)` and `value` its value, which takes a forward pass where it is not given.

    `sgd`; `momentum`, Nesterov's; `adam`; `adamw`; `muon` (matrices by Muon, all else by Adam at the same rate); and
    `lbfgs` with the zoom line search.

    Args:
        name: one of `RATES`, with parameters or without.
        objective: what is minimised; the line search of `lbfgs` evaluates it.
        learning_rate: positive; None takes that of `RATES`.
        schedule: factor on it by step; None: 1.
        repeats: whether every step sees the same batch. Then `lbfgs` goes on from the loss and the gradient that its
            search ended with; it does not read `grads`, whose computation is dropped under `jit`.

    Returns:
        The transformation; its state is a `BaselineState`.

    Raises:
        ValueError: for an unknown name or setting, with the nearest one; from `init`, for parameters that are empty.
        TypeError: from `init`, for parameters that are not floating-point.
    """
    named = part("optimizer", name, "optimizer")
    make: AbstractBaseline = named.make("optimizer")
    first = RATES[named.word] if learning_rate is None else learning_rate

    def init(params: PyTree) -> BaselineState:
        return _initial(params, first, make)

    def update(
        updates: PyTree,
        state: BaselineState,
        params: PyTree,
        *,
        batch: Batch,
        key: Array | None = None,
        value: Float[Array, ""] | None = None,
    ) -> tuple[PyTree, BaselineState]:
        def loss(at: PyTree) -> Float[Array, ""]:
            return objective(at, batch, key)

        rate = _rate(state, schedule)
        value, updates = _seen(
            loss, params, updates, value, state.inner if isinstance(make, Lbfgs) and repeats else None
        )
        searched = optax.with_extra_args_support(make(rate))
        # Only a line search reads what else is given.
        steps, inner = searched.update(updates, state.inner, params, value=value, grad=updates, value_fn=loss)
        return steps, BaselineState(state.count + 1, state.learning_rate, inner, BaselineInfo(value, rate))

    return optax.GradientTransformationExtraArgs(init, update)  # pyright: ignore[reportArgumentType]

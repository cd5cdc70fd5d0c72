"""Rivals from optax, and the rule that turns any optax transformation into a fused program."""

from collections.abc import Callable
from typing import Any

import jax
import optax

from .contestants import Configuration, Contestant, product
from .fused import Batch, Fused, Hyper, Rule
from .problems import Params, Problem

Make = Callable[..., optax.GradientTransformationExtraArgs]
# A constant rate is a decay over a horizon that no run reaches.
NEVER = 1e9


def decayed(rate: jax.Array, horizon: jax.Array) -> optax.Schedule:
    """Linear decay from `rate` to a hundredth of it over `horizon` steps, and constant from there on."""
    return lambda count: rate * jax.numpy.maximum(1 - count / horizon, 0.01)


def optax_rule(problem: Problem, make: Make) -> Rule:
    """`make(**hyper)` under the gradient of the objective; the batch is handed on to those that take it."""

    def init(params: Params, batch: Batch, hyper: Hyper) -> Any:
        del batch
        return make(**hyper).init(params)

    def step(params: Params, state: Any, batch: Batch, hyper: Hyper) -> tuple[Params, Any]:
        gradients = jax.grad(problem.objective)(params, batch)
        optimizer = optax.with_extra_args_support(make(**hyper))
        updates, state = optimizer.update(gradients, state, params, batch=batch)
        return optax.apply_updates(params, updates), state

    return Rule(init, step)


def lbfgs_rule(problem: Problem, memory: int, guess: str) -> Rule:
    """L-BFGS with optax's zoom line search; a full batch reuses the value and gradient that the search ended with."""
    search = optax.scale_by_zoom_linesearch(max_linesearch_steps=20, initial_guess_strategy=guess)
    optimizer = optax.lbfgs(memory_size=memory, linesearch=search)

    def step(params: Params, state: Any, batch: Batch, hyper: Hyper) -> tuple[Params, Any]:
        del hyper

        def loss(p: Params) -> jax.Array:
            return problem.objective(p, batch)

        if problem.batch_size is None:
            value, gradients = optax.value_and_grad_from_state(loss)(params, state=state)
        else:
            value, gradients = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(gradients, state, params, value=value, grad=gradients, value_fn=loss)
        return optax.apply_updates(params, updates), state

    return Rule(lambda params, batch, hyper: optimizer.init(params), step)


def sgd(rate: Any, momentum: Any, horizon: Any) -> optax.GradientTransformation:
    return optax.sgd(decayed(rate, horizon), momentum=momentum, nesterov=True)


def adam(rate: Any, horizon: Any) -> optax.GradientTransformation:
    return optax.adam(decayed(rate, horizon))


def adamw(rate: Any, horizon: Any) -> optax.GradientTransformation:
    return optax.adamw(decayed(rate, horizon), weight_decay=1e-4)


def muon(rate: Any, horizon: Any) -> optax.GradientTransformation:
    """Muon for the weight matrices, Adam at the same rate for the biases: optax's default split by `ndim == 2`."""
    return optax.contrib.muon(decayed(rate, horizon))


def _first_order(name: str, make: Make, grid: dict[str, tuple[Configuration, ...]]) -> Contestant:
    def build(problem: Problem, static: dict[str, Any]) -> Fused:
        return Fused(problem, optax_rule(problem, lambda **hyper: make(**static, **hyper)), grid[problem.name][0])

    return Contestant(name, "first-order", grid, build)


def _lbfgs() -> Contestant:
    points = product(static={"memory": (10, 50, 100), "guess": ("one", "keep")})

    def build(problem: Problem, static: dict[str, Any]) -> Fused:
        return Fused(problem, lbfgs_rule(problem, **static), points[0])

    names = ("digits", "digits28", "autoencoder", "poisson", "autoencoder_minibatch")
    return Contestant("lbfgs", "quasi-newton", dict.fromkeys(names, points), build)


OPTAX_RIVALS = (
    _first_order(
        "sgd_momentum",
        sgd,
        {
            "digits": product(momentum=(0.9, 0.95), rate=(0.1, 0.2, 0.4), horizon=(NEVER,)),
            "digits28": product(momentum=(0.9, 0.95), rate=(0.02, 0.05, 0.1), horizon=(NEVER,)),
            "autoencoder": product(momentum=(0.9, 0.95), rate=(0.01, 0.02, 0.03), horizon=(NEVER,)),
            "poisson": product(momentum=(0.98, 0.99), rate=(3e-4, 1e-3, 2e-3), horizon=(NEVER,)),
            "autoencoder_minibatch": product(momentum=(0.9, 0.95), rate=(0.01, 0.02, 0.03), horizon=(NEVER,)),
        },
    ),
    _first_order(
        "adam",
        adam,
        {
            "digits": product(rate=(0.01, 0.02, 0.04), horizon=(300.0, NEVER)),
            "digits28": product(rate=(3e-3, 6e-3, 1.2e-2), horizon=(300.0, NEVER)),
            "autoencoder": product(rate=(3e-3, 6e-3, 1.2e-2), horizon=(2000.0, 4000.0)),
            "poisson": product(rate=(5e-3, 1e-2, 2e-2), horizon=(4000.0, 12000.0)),
            "autoencoder_minibatch": product(rate=(1e-3, 2e-3, 4e-3), horizon=(4000.0, NEVER)),
        },
    ),
    _first_order(
        "adamw",
        adamw,
        {
            "digits": product(rate=(0.01, 0.02, 0.04), horizon=(300.0, NEVER)),
            "digits28": product(rate=(3e-3, 6e-3, 1.2e-2), horizon=(300.0, NEVER)),
            "autoencoder": product(rate=(3e-3, 6e-3, 1.2e-2), horizon=(2000.0, 4000.0)),
            "poisson": product(rate=(5e-3, 1e-2, 2e-2), horizon=(4000.0, 12000.0)),
            "autoencoder_minibatch": product(rate=(1e-3, 2e-3, 4e-3), horizon=(4000.0, NEVER)),
        },
    ),
    _first_order(
        "muon",
        muon,
        {
            "digits": product(rate=(0.02, 0.05, 0.1), horizon=(150.0, NEVER)),
            "digits28": product(rate=(0.05, 0.1, 0.2), horizon=(150.0, NEVER)),
            "autoencoder": product(rate=(0.03, 0.05, 0.08), horizon=(800.0, 1500.0)),
            "poisson": product(rate=(1e-2, 2e-2, 5e-2), horizon=(1000.0, 4000.0)),
            "autoencoder_minibatch": product(rate=(0.02, 0.04, 0.08), horizon=(1200.0, NEVER)),
        },
    ),
    _lbfgs(),
)

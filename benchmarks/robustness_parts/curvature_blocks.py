"""Curvature blocks and a Newton step of every kind of model, against dense derivatives of the whole batch's loss."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

import qnewton as qn

from .coupled_models import coupled
from .judge import FLAGGED, RIGHT, SILENT, Outcome, of_exception
from .model_kinds import BATCH, Kind
from .uncoupled_models import uncoupled

OTHERS = "another optimizer's step under jit"
# What is done with a kind, in turns: compiled ways often, since they cost their compilation once.
WAYS = (
    "Gauss-Newton",
    "step",
    "Hessian under jit",
    "Gauss-Newton under jit",
    "Hessian",
    "step under jit",
    "Gauss-Newton under jit",
    OTHERS,
    "step under jit",
    "Hessian under jit",
    "Gauss-Newton under jit",
    "step under jit",
    "Hessian under jit",
)
OPTIMIZERS = (qn.kfac, qn.dual_newton, qn.fisher_newton)
TOLERANCE, SHIFT = 1e-3, 0.1


@functools.cache
def kinds() -> dict[str, Kind]:
    return {**uncoupled(), **coupled()}


def whole_loss(kind: Kind, outputs: Any, targets: Any) -> jax.Array:
    """The mean as the documentation of `Objective` defines it, written anew."""
    values = kind.loss(outputs, targets)
    if isinstance(values, tuple):
        values, weights = values
        return jnp.sum(values * weights) / jnp.sum(weights)
    return jnp.mean(values)


def whole_outputs(kind: Kind, params: Any, inputs: Any, key: Any) -> Any:
    if not kind.keyed or kind.whole_batch:
        found = kind.predict(params, inputs, key=key) if kind.keyed else kind.predict(params, inputs)
        return found[0] if kind.has_state else found
    single = jax.vmap(lambda x, k: kind.predict(params, x[None], key=k)[0])
    return single(inputs, jax.random.split(key, BATCH))


@functools.cache
def oracle(name: str) -> Callable[[Any, Any, Any, Any], tuple[jax.Array, ...]]:
    """Gauss-Newton matrix, Hessian and gradient of the whole batch's loss, dense, by jax on the user's functions."""
    kind = kinds()[name]

    @jax.jit
    def dense(params: Any, inputs: Any, targets: Any, key: Any) -> tuple[jax.Array, ...]:
        point, unravel = ravel_pytree(params)
        _, unravel_outputs = ravel_pytree(whole_outputs(kind, params, inputs, key))

        def outputs(w: jax.Array) -> jax.Array:
            return ravel_pytree(whole_outputs(kind, unravel(w), inputs, key))[0]

        def of_outputs(z: jax.Array) -> jax.Array:
            return whole_loss(kind, unravel_outputs(z), targets)

        # By reverse mode, which every kind has; forward mode a custom_vjp layer lacks.
        jacobian = jax.jacrev(outputs)(point)
        curvature = jax.hessian(of_outputs)(outputs(point))
        gradient = jax.grad(lambda w: of_outputs(outputs(w)))
        return jacobian.T @ curvature @ jacobian, jax.jacrev(gradient)(point), gradient(point)

    return dense


def optimizer(kind: Kind) -> Any:
    objective = kind.objective
    return objective, qn.newton(objective, solver=qn.LU(), conditioning=(qn.Shift(SHIFT),), adaptation=qn.Fixed())


def computed(kind: Kind, way: str) -> Callable[[Any, Any, Any, Any], tuple[jax.Array, jax.Array]]:
    """The block, or the step with whether anything flags it, as a function of arrays."""
    objective, opt = optimizer(kind)
    curvature = qn.Hessian() if "Hessian" in way else qn.GaussNewton()

    def block(params: Any, inputs: Any, targets: Any, key: Any) -> tuple[jax.Array, jax.Array]:
        named = {"key": key} if kind.keyed else {}
        system = curvature.form(objective, params, (inputs, targets), qn.whole(params)[0], **named)
        return system.operator.as_matrix(), flagged_system(system)

    def step(params: Any, inputs: Any, targets: Any, key: Any) -> tuple[jax.Array, jax.Array]:
        batch, named = (inputs, targets), {"key": key} if kind.keyed else {}
        gradient = jax.grad(objective)(params, batch, **named)
        moved, state = opt.update(gradient, opt.init(params), params, batch=batch, **named)
        info = state.info.blocks[0]
        return ravel_pytree(moved)[0], info.status != qn.Status.OK

    return step if "step" in way else block


def other_step(name: str) -> Callable[[Any, Any, Any, Any], tuple[jax.Array, jax.Array]]:
    """One step of an optimizer of single examples: the loss after it over that before, and whether a flag is up."""
    kind = kinds()[name]
    objective = kind.objective
    make = OPTIMIZERS[list(kinds()).index(name) % len(OPTIMIZERS)]

    def step(params: Any, inputs: Any, targets: Any, key: Any) -> tuple[jax.Array, jax.Array]:
        batch, named = (inputs, targets), {"key": key} if kind.keyed else {}
        opt = qn.kfac(objective, example=inputs) if make is qn.kfac else make(objective)
        loss, gradient = jax.value_and_grad(objective)(params, batch, **named)
        moved, state = opt.update(gradient, opt.init(params), params, batch=batch, **named)
        after = objective(jax.tree.map(jnp.add, params, moved), batch, **named)
        return after - loss, jnp.any(state.info.status != qn.Status.OK)

    return step


def flagged_system(system: Any) -> jax.Array:
    """Whether the block's record says that it is not the objective's curvature."""
    status = getattr(system, "status", None)
    return jnp.zeros((), bool) if status is None else jnp.asarray(status) != qn.Status.OK


@functools.cache
def compiled(name: str, way: str) -> Callable:
    return jax.jit(other_step(name) if way == OTHERS else computed(kinds()[name], way))


def draw(seed: int, index: int) -> tuple[str, str, Any]:
    """Kind, way and arrays: kinds take turns, then ways, and the values are random."""
    names = list(kinds())
    name = names[index % len(names)]
    way = WAYS[(index // len(names)) % len(WAYS)]
    return name, way, kinds()[name].draw(np.random.default_rng([seed, 3, index]))


# What a kind raised under jit: of shapes alone, so once is enough.
_RAISED: dict[tuple[str, str], tuple[str, str]] = {}


def run_case(seed: int, index: int) -> Outcome:
    name, way, (params, inputs, targets) = draw(seed, index)
    kind = kinds()[name]
    # What is made of single examples may say so.
    expected = not kind.may_refuse and not (kind.coupled and way == OTHERS)
    label = f"{'coupled' if kind.coupled else 'uncoupled'}: {name} | {way}"

    def outcome(verdict: str, note: str) -> Outcome:
        return Outcome("models", index, label, verdict, expected, note)

    if (name, way) in _RAISED:
        return outcome(*_RAISED[name, way])
    arrays = jax.tree.map(jnp.asarray, (params, inputs, targets))
    key = jax.random.key(index)
    function = compiled(name, way) if "jit" in way else computed(kind, way)
    try:
        value, flagged = function(*arrays, key)
    except Exception as error:
        found = of_exception(error)
        if "jit" in way:
            _RAISED[name, way] = found
        return outcome(*found)
    if bool(flagged):
        return outcome(FLAGGED, "by its status")
    if way == OTHERS:
        optimizer = OPTIMIZERS[index % len(kinds()) % len(OPTIMIZERS)].__name__
        fell = float(value) <= 1e-6 or (optimizer == "fisher_newton" and np.isfinite(value))
        return outcome(RIGHT if fell else SILENT, f"{optimizer}: the loss changed by {float(value):.2g}")
    error = error_of(np.asarray(value, np.float64), name, way, (params, inputs, targets), key)
    return outcome(RIGHT if error <= TOLERANCE else SILENT, f"relative error {error:.2g}")


def error_of(value: np.ndarray, name: str, way: str, arrays: Any, key: Any) -> float:
    """Relative error; infinite where the value is not finite and the oracle's is.

    A block's is per pair of tensors, over the root of the largest diagonal entries of both: a tensor whose curvature is
    small must be right too.
    """
    kind = kinds()[name]
    with jax.enable_x64(kind.wide):
        width = jnp.float64 if kind.wide else jnp.float32

        def widened(leaf: Any) -> jax.Array:
            return jnp.asarray(leaf, width) if jnp.issubdtype(leaf.dtype, jnp.floating) else jnp.asarray(leaf)

        gauss_newton, hessian, gradient = (
            np.asarray(part, np.float64) for part in oracle(name)(*jax.tree.map(widened, arrays), key)
        )
    if "step" in way:
        right = -np.linalg.solve(gauss_newton + SHIFT * np.eye(len(gradient)), gradient)
        # A solve in single precision, by the condition number of what is solved.
        return _infinite(np.linalg.norm(value - right) / np.linalg.norm(right)) / 10
    exact = hessian if "Hessian" in way else gauss_newton
    starts = np.cumsum([0, *(np.size(leaf) for leaf in jax.tree.leaves(arrays[0]))])
    largest = np.maximum.reduceat(np.abs(np.diagonal(gauss_newton)), starts[:-1])
    scale = np.repeat(np.maximum(largest, 1e-3 * np.max(np.abs(exact))), np.diff(starts))
    return _infinite(np.max(np.abs(value - exact) / np.sqrt(np.outer(scale, scale))))


def _infinite(error: Any) -> float:
    return float(error) if np.isfinite(error) else np.inf


def cases(seed: int, count: int, part: int = 0, parts: int = 1) -> Iterator[Outcome]:
    """One part in `parts` of the family's first `count` cases, kind by kind, so that programs can be dropped."""
    names = list(kinds())
    for done, start in enumerate(range(part, len(names), parts)):
        for index in range(start, count, len(names)):
            yield run_case(seed, index)
        oracle.cache_clear()
        compiled.cache_clear()
        if done % 8 == 7:
            # Programs of one operation are shared by the kinds, and the rest takes a gigabyte by now.
            jax.clear_caches()

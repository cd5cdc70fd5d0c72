"""Small trainings: curve fits and networks, the optimizers that run on them, and scipy's optimum of the fits."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.optimize

import qnewton as qn

EXAMPLES = 24


@dataclasses.dataclass(frozen=True)
class Problem:
    """A model and its loss, whose every number may be drawn anew without compiling.

    Targets are a dictionary: `y`, `scale` (a factor on the loss), `offset` (added to it) and `weight`, each with an
    entry per example. Inputs are `x` and, for fits, `unit` per example: parameters are in these units.

    Attributes:
        steps: of a run.
        fit: whether its optimum is known, from scipy.
    """

    predict: Callable
    loss: Callable
    draw: Callable[[np.random.Generator], tuple[Any, Any, Any]]
    steps: int
    fit: bool = False


def _squares(o: Any, t: Any) -> Any:
    return t["scale"] * jnp.sum((o - t["y"]) ** 2, -1) + t["offset"], t["weight"]


def _classes(o: Any, t: Any) -> Any:
    values = optax.softmax_cross_entropy_with_integer_labels(o, t["y"])
    return t["scale"] * values + t["offset"], t["weight"]


def _targets(y: np.ndarray) -> dict[str, np.ndarray]:
    one = np.ones(EXAMPLES, np.float32)
    return {"y": y, "scale": one, "offset": 0 * one, "weight": one}


def saturation(p: Any, x: Any) -> Any:
    """Michaelis and Menten's rate."""
    a, b = p["a"] / x["unit"][:, 0], p["b"] / x["unit"][:, 1]
    return (a * x["x"] / (b + x["x"]))[:, None]


def decay(p: Any, x: Any) -> Any:
    a, b = p["a"] / x["unit"][:, 0], p["b"] / x["unit"][:, 1]
    return (a * jnp.exp(-b * x["x"]))[:, None]


def _fit(function: Callable, low: float, high: float) -> Callable[[np.random.Generator], tuple[Any, Any, Any]]:
    def draw(rng: np.random.Generator) -> tuple[Any, Any, Any]:
        x = np.geomspace(low, high, EXAMPLES).astype(np.float32)
        inputs = {"x": x, "unit": np.ones((EXAMPLES, 2), np.float32)}
        truth = {"a": np.float32(rng.uniform(0.8, 3)), "b": np.float32(rng.uniform(0.3, 1.5))}
        y = np.asarray(function(truth, inputs)) + 0.02 * rng.standard_normal((EXAMPLES, 1))
        start = {name: (value * rng.uniform(0.6, 1.5)).astype(np.float32) for name, value in truth.items()}
        return start, inputs, _targets(y.astype(np.float32))

    return draw


def _network(p: Any, x: Any) -> Any:
    return jnp.tanh(x["x"] @ p["w"] + p["c"]) @ p["v"] + p["d"]


def _drawn_network(outputs: int, classes: bool) -> Callable[[np.random.Generator], tuple[Any, Any, Any]]:
    def draw(rng: np.random.Generator) -> tuple[Any, Any, Any]:
        def normal(*shape: int) -> np.ndarray:
            return rng.standard_normal(shape).astype(np.float32)

        params = {"w": normal(3, 4) / 2, "c": np.zeros(4, np.float32), "v": normal(4, outputs) / 2}
        params["d"] = np.zeros(outputs, np.float32)
        x = normal(EXAMPLES, 3)
        signal = np.sin(x @ normal(3, outputs))
        y = np.argmax(signal, 1).astype(np.int32) if classes else signal + 0.05 * normal(EXAMPLES, outputs)
        return params, {"x": x}, _targets(y)

    return draw


PROBLEMS = {
    "saturation": Problem(saturation, _squares, _fit(saturation, 0.05, 4), 40, fit=True),
    "decay": Problem(decay, _squares, _fit(decay, 0.1, 4), 40, fit=True),
    "regression": Problem(_network, _squares, _drawn_network(1, False), 12),
    "classification": Problem(_network, _classes, _drawn_network(3, True), 12),
}


def fitted_loss(problem: Problem, params: Any, inputs: Any, targets: Any) -> float:
    """The least weighted mean square that MINPACK reaches from this start, in float64."""
    weight = np.sqrt(targets["weight"].astype(float))
    names = list(params)
    wide = {name: np.asarray(value, float) for name, value in inputs.items()}

    @np.errstate(over="ignore")
    def residuals(w: np.ndarray) -> np.ndarray:
        named = dict(zip(names, w, strict=True))
        a, b = (named[name] / wide["unit"][:, k] for k, name in enumerate(("a", "b")))
        x = wide["x"]
        value = a * x / (b + x) if problem.predict is saturation else a * np.exp(-b * x)
        return weight * (value - targets["y"][:, 0])

    start = np.array([float(params[name]) for name in names])
    found = scipy.optimize.least_squares(residuals, start, method="lm", x_scale="jac")
    return float(np.sum(found.fun**2) / np.sum(weight**2))


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """How an optimizer is made, and what may be asked of it.

    Attributes:
        make: `(objective, params, batch)` to the transformation.
        problems: that it runs on.
        scale_free: whether a loss times a power of two should give the same parameters: not where the user, or a
            documented floor, set an absolute number.
        fits: whether it must reach the optimum of a fit whatever the units of the parameters.
        reads_gradient: whether the gradient that it is handed enters its step.
        falls: whether its loss must fall over the run; else moving is enough: one seen, of a rate that is meant for
            mini-batches, rose by 2 % on inputs of 1e30.
    """

    make: Callable[[Any, Any, Any], Any]
    problems: tuple[str, ...]
    scale_free: bool = True
    fits: bool = False
    reads_gradient: bool = True
    falls: bool = True


_ALL, _NETS = tuple(PROBLEMS), ("regression", "classification")


def _newton(**settings: Any) -> Callable[[Any, Any, Any], Any]:
    return lambda objective, params, batch: qn.newton(objective, **settings)


OPTIMIZERS = {
    # Of so few parameters it is `dual_newton`, whose rows give the gradient.
    "newton()": Optimizer(_newton(), ("regression",), fits=True, reads_gradient=False),
    "newton(Cholesky)": Optimizer(_newton(solver=qn.Cholesky()), _ALL, fits=True),
    "newton(LU)": Optimizer(_newton(solver=qn.LU()), ("saturation", "classification"), fits=True),
    "newton(CG)": Optimizer(_newton(solver=qn.CG(rtol=1e-3)), ("decay", "regression")),
    "newton(CG(KFAC))": Optimizer(_newton(solver=qn.CG(rtol=0.1, preconditioner=qn.KFAC())), ("classification",)),
    "newton(MINRES)": Optimizer(_newton(solver=qn.MINRES()), ("saturation", "regression")),
    "newton(Eigh)": Optimizer(_newton(solver=qn.Eigh()), ("classification",)),
    "newton(Dual)": Optimizer(_newton(solver=qn.Dual()), ("regression",)),
    "newton(Refine(LU))": Optimizer(_newton(solver=qn.Refine(qn.LU())), ("classification",)),
    "newton(QLSA)": Optimizer(_newton(solver=qn.QLSA()), ("regression",)),
    "newton(Hessian, SaddleFree)": Optimizer(
        _newton(curvature=qn.Hessian(), solver=qn.SaddleFree()), ("decay", "regression")
    ),
    "newton(EmpiricalFisher)": Optimizer(
        _newton(curvature=qn.EmpiricalFisher(), solver=qn.LU()), ("classification",), scale_free=False
    ),
    "newton(Fixed)": Optimizer(_newton(solver=qn.LU(), conditioning=(qn.Damp(0.5),), adaptation=qn.Fixed()), _NETS),
    "newton(per block)": Optimizer(
        _newton(solver=qn.LU(), partition=qn.per_tensor, adaptation=qn.LevenbergMarquardt(per_block=True)), _NETS
    ),
    "newton(QuadraticModel)": Optimizer(_newton(solver=qn.LU(), step=qn.QuadraticModel()), _NETS),
    "newton(TrustRegion)": Optimizer(_newton(solver=qn.LU(), step=qn.TrustRegion()), ("saturation", "regression")),
    "newton(LineSearch)": Optimizer(_newton(solver=qn.LU(), step=qn.LineSearch()), ("decay", "classification")),
    "newton(ScaleDiagonal)": Optimizer(
        _newton(solver=qn.Cholesky(), conditioning=(qn.ScaleDiagonal(), qn.Damp(0.5))),
        ("saturation", "decay"),
        fits=True,
    ),
    "newton(refresh=3)": Optimizer(_newton(solver=qn.LU(), refresh=3), ("regression",)),
    "kfac": Optimizer(lambda o, p, b: qn.kfac(o, example=b[0]), _ALL),
    "kfac(KLClip)": Optimizer(lambda o, p, b: qn.kfac(o, step=qn.KLClip(), example=b[0]), ("classification",)),
    "kfac(TrustRegion)": Optimizer(lambda o, p, b: qn.kfac(o, step=qn.TrustRegion(), example=b[0]), ("regression",)),
    "dual_newton": Optimizer(lambda o, p, b: qn.dual_newton(o), _ALL, fits=True, reads_gradient=False),
    "fisher_newton": Optimizer(lambda o, p, b: qn.fisher_newton(o), _NETS, falls=False),
    # Of a fit it is `dual_newton`.
    "recipe(fit)": Optimizer(lambda o, p, b: qn.recipe(o, p, b), ("decay",), fits=True, reads_gradient=False),
    "recipe": Optimizer(lambda o, p, b: qn.recipe(o, p, b), ("classification",)),
}


def pairs() -> list[tuple[str, str]]:
    return [(name, problem) for name, optimizer in OPTIMIZERS.items() for problem in optimizer.problems]


def flags_of(info: Any) -> tuple[jax.Array, jax.Array]:
    """Whether a status of the step is not `OK`, and whether it was accepted."""
    blocks = getattr(info, "blocks", None)
    status = jnp.stack([block.status for block in blocks]) if blocks is not None else jnp.atleast_1d(info.status)
    return jnp.any(status != qn.Status.OK), info.accepted


def run(pair: tuple[str, str], params: Any, inputs: Any, targets: Any, fault: Any) -> dict[str, jax.Array]:
    """A training under one `scan`; per step: loss before it, whether it moved, its flags, and what is finite or zero.

    `fault` is added to the gradient of the step whose number is `at`.
    """
    name, problem_name = pair
    problem = PROBLEMS[problem_name]
    objective = qn.Objective(problem.predict, problem.loss)
    batch = (inputs, targets)
    opt = OPTIMIZERS[name].make(objective, params, batch)

    def step(carry: Any, number: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
        params, state = carry
        loss, gradient = jax.value_and_grad(objective)(params, batch)
        gradient = jax.tree.map(lambda g, f: g + jnp.where(number == fault["at"], f, 0), gradient, fault["gradient"])
        moved, state = opt.update(gradient, state, params, batch=batch)
        after = optax.apply_updates(params, moved)
        bad, accepted = flags_of(state.info)
        pairs = list(zip(jax.tree.leaves(params), jax.tree.leaves(after), strict=True))
        changed = jnp.any(jnp.stack([jnp.any((a != b) & ~(jnp.isnan(a) & jnp.isnan(b))) for a, b in pairs]))
        finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(after)]))
        still = jnp.all(jnp.stack([jnp.all(leaf == 0) for leaf in jax.tree.leaves(gradient)]))
        told = {"bad": bad, "accepted": accepted, "finite": finite, "still": still}
        return (after, state), {"loss": loss, "moved": changed, **told}

    (params, _), seen = jax.lax.scan(step, (params, opt.init(params)), jnp.arange(problem.steps))
    return {**seen, "final": objective(params, batch)}

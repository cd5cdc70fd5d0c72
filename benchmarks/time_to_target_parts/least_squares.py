"""The library Levenberg-Marquardts: `optimistix.LevenbergMarquardt` and `scipy.optimize.least_squares`."""

import contextlib
import importlib.util
import time
from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np

from .contestants import Configuration, Contestant, Program, Training, product
from .fused import Batch, Fused, Hyper, Rule
from .problems import Params, Problem


def residuals(problem: Problem, params: Params, batch: Batch) -> jax.Array:
    """All residuals; half the sum of their squares is the number of examples times the objective."""
    inputs, targets = batch
    return problem.objective.predict(params, inputs) - targets


def optimistix_rule(problem: Problem, jacobian: str, solver: str, iterations: int | None = None) -> Rule:
    """optimistix's solver, stepped through its own `init` and `step`; a step is an accepted or a refused trial."""
    import equinox as eqx
    import lineax as lx
    import optimistix as ox

    budget = {"rtol": 1e-6, "atol": 1e-12, "max_steps": iterations}
    linear_solvers = {
        "QR": lx.QR,
        "normal CG": lambda: lx.Normal(lx.CG(**budget)),
        "LSMR": lambda: lx.LSMR(**budget),
    }
    method = ox.LevenbergMarquardt(rtol=1e-14, atol=1e-14, linear_solver=linear_solvers[solver]())
    options, tags = {"jac": jacobian}, frozenset()

    def function(params: Params, batch: Batch) -> tuple[jax.Array, None]:
        return residuals(problem, params, batch), None

    def blank(params: Params, batch: Batch) -> Any:
        shape = jax.eval_shape(lambda: function(params, batch)[0])
        return method.init(function, params, batch, options, shape, None, tags)

    def init(params: Params, batch: Batch, hyper: Hyper) -> Any:
        del hyper
        return eqx.filter(blank(params, batch), eqx.is_array)

    def step(params: Params, state: Any, batch: Batch, hyper: Hyper) -> tuple[Params, Any]:
        del hyper
        # The state holds jaxprs, which a loop cannot carry: its arrays are put back into a blank one.
        state = eqx.combine(state, eqx.filter(blank(params, batch), eqx.is_array, inverse=True))
        params, state, _ = method.step(function, params, batch, options, state, tags)
        return params, eqx.filter(state, eqx.is_array)

    return Rule(init, step)


def _optimistix(problem: Problem, static: dict[str, Any]) -> Fused:
    return Fused(problem, optimistix_rule(problem, **static), Configuration())


class Scipy(Program):
    """scipy's trust-region methods on a compiled residual and Jacobian.

    The Jacobian is dense, example by example, where it fits; otherwise a linear operator.
    """

    def __init__(self, problem: Problem, static: dict[str, Any]):
        self.problem, self.static = problem, dict(static)
        self._dense = self.static.pop("jacobian", "dense") == "dense"
        template = problem.init(0)
        flat, self.unravel = jax.flatten_util.ravel_pytree(template)
        batch = problem.batch

        def function(w: jax.Array) -> jax.Array:
            return residuals(problem, self.unravel(w), batch).reshape(-1)

        def dense(w: jax.Array) -> jax.Array:
            def single(w: jax.Array, example: Batch) -> jax.Array:
                one = jax.tree.map(lambda a: a[None], example)
                return residuals(problem, self.unravel(w), one).reshape(-1)

            return jax.vmap(jax.jacrev(single), (None, 0))(w, batch).reshape(-1, w.size)

        began = time.perf_counter()
        self.function = jax.jit(function).lower(flat).compile()
        shape = jax.eval_shape(function, flat)
        if self._dense:
            self.jacobian = jax.jit(dense).lower(flat).compile()
        else:
            self.forward = jax.jit(lambda w, v: jax.jvp(function, (w,), (v,))[1]).lower(flat, flat).compile()
            self.backward = jax.jit(lambda w, u: jax.vjp(function, w)[1](u)[0]).lower(flat, shape).compile()
        self.compile_seconds = time.perf_counter() - began
        self.rows, self.dtype = shape.size, flat.dtype

    def residual(self, w: np.ndarray) -> np.ndarray:
        return np.array(self.function(w.astype(self.dtype)), np.float64)

    def derivative(self, w: np.ndarray) -> Any:
        from scipy.sparse.linalg import LinearOperator

        w = w.astype(self.dtype)
        if self._dense:
            return np.array(self.jacobian(w), np.float64)

        def forward(v: np.ndarray) -> np.ndarray:
            return np.array(self.forward(w, v.reshape(-1).astype(self.dtype)))

        def backward(u: np.ndarray) -> np.ndarray:
            return np.array(self.backward(w, u.reshape(-1).astype(self.dtype)))

        return LinearOperator((self.rows, len(w)), matvec=forward, rmatvec=backward, dtype=self.dtype)

    def begin(self, seed: int, configuration: Configuration, limit_seconds: float) -> Training:
        del configuration
        return _ScipyTraining(self, seed, limit_seconds)


class _ScipyTraining(Training):
    """scipy is not stepped but calls back, so the whole run is made first, and its iterates handed out afterwards."""

    def __init__(self, program: Scipy, seed: int, limit_seconds: float):
        from scipy.optimize import least_squares

        problem = program.problem
        losses = [target.value for target in problem.targets if target.quantity == "loss"]
        scale = float(problem.evaluate(problem.init(seed))["loss"])
        start, _ = jax.flatten_util.ravel_pytree(problem.init(seed))
        first = np.asarray(start, np.float64)
        scale /= 0.5 * float(np.sum(program.residual(first) ** 2))
        self._unravel, self._dtype, self._trace = program.unravel, program.dtype, []
        clock = time.perf_counter()

        def watch(intermediate_result: Any) -> None:
            seconds = time.perf_counter() - clock
            self._trace.append((seconds, intermediate_result.x.copy()))
            if seconds > limit_seconds or scale * intermediate_result.cost <= min(losses):
                raise StopIteration

        def guarded(function: Any) -> Any:
            # An iteration may take many inner ones: the limit must hold inside it, too.
            def call(w: np.ndarray) -> Any:
                if time.perf_counter() - clock > 1.5 * limit_seconds:
                    raise TimeoutError
                return function(w)

            return call

        settings = {"ftol": 1e-15, "xtol": 1e-15, "gtol": 1e-15, "max_nfev": 10**6, **program.static}
        with contextlib.suppress(TimeoutError):
            least_squares(guarded(program.residual), first, jac=guarded(program.derivative), callback=watch, **settings)
        self._trace.append((time.perf_counter() - clock, None))

    def advance(self) -> None:
        self.seconds, self._present = self._trace[self.steps]
        self.steps += 1
        self.over = self._present is None

    def candidates(self) -> list[Params]:
        if self._present is None:
            return []
        return [self._unravel(jnp.asarray(self._present, self._dtype))]


LEAST_SQUARES = (
    Contestant(
        "optimistix_lm",
        "least-squares",
        {
            # Its default first. Products with the Jacobian, and no factorisation, turned out much faster here.
            "poisson": product(static={"solver": ("QR",), "jacobian": ("fwd", "bwd")})
            + product(static={"solver": ("LSMR", "normal CG"), "jacobian": ("fwd",), "iterations": (100, 300)}),
            # 91,968 residuals by 37,896 parameters: only what needs no matrix.
            "autoencoder": product(
                static={"solver": ("LSMR", "normal CG"), "jacobian": ("fwd",), "iterations": (5, 15, 50)}
            ),
        },
        _optimistix,
        missing=None if importlib.util.find_spec("optimistix") else "not installed",
        reason="full-batch least squares only",
    ),
    Contestant(
        "scipy_least_squares",
        "least-squares",
        {
            "poisson": product(static={"method": ("trf", "dogbox"), "tr_solver": ("exact", "lsmr")})
            + product(static={"method": ("trf",), "x_scale": ("jac",), "tr_solver": ("exact", "lsmr")}),
            "autoencoder": product(
                static={
                    "jacobian": ("operator",),
                    "method": ("trf", "dogbox"),
                    "tr_solver": ("lsmr",),
                    "tr_options": ({"maxiter": 5}, {"maxiter": 15}, {"maxiter": 50}),
                }
            ),
        },
        Scipy,
        reason="full-batch least squares only",
    ),
)

"""How many steps a training takes when every solve of its systems errs by a given share: what precision a step bears.

The error is injected: a solver inverts each system and adds a random error whose length, in the norm that counts, is
exactly `error` times that of the solution. The norms:

`kfac`         the energy norm of the Kronecker product, `|V|^2 = tr(V^T A V G)`. With `A = L L^T`, `w = L^-1 v` and Q a
               random orthogonal matrix the solver returns `L^-T (w + error Q w)` for the larger factor, the same Q for
               all its right-hand sides, and the other factor's solves are exact. In the coordinates in which `A kron G`
               is the identity that adds Q times the solution, whatever G is: the relative error is `error` exactly.
`dual_newton`  the norm of `K (K + m)`, which is the energy norm of the step `-R^T u` under `R^T R + m`. The solver
               sees `K + m` alone and takes its smallest eigenvalue for m, since K is nearly singular (`least_over_m`
               is the largest ratio of K's smallest eigenvalue to m, looked at on the whole batch every tenth step).
               Both dampings and the geodesic's solve err, each in a direction of its own, which lies
               `poisson`        as a residual does that is the same in all directions: what it makes of the step is
                                spread over the eigenvectors of K above m;
               `poisson_evenly` evenly, in that norm, over the eigenvectors above 1e-10 of the largest eigenvalue,
                                those below m included, where the model sees little and errors are long.
               Every step sees the whole batch in `poisson_whole`; in `poisson_straight` it is besides not bent by the
               geodesic acceleration. Both have the errors of `poisson`.

Directions are drawn anew for every right-hand side, so they are as for a read-out; a polynomial or a truncated
iteration errs systematically. That is what `emulated` is for: `kfac` on digits with the exact state of an inversion
polynomial for every factor of every layer, in double precision, without and with read-out noise. Every column is read
out alone; a circuit would solve the product at once. `largest_kappa` is of the worst factor and of the worst product.

Medians of the seeds; a training that did not get there within its limit counts as infinitely long (null).

    python benchmarks/precision_study.py [--seeds 3] [--errors 0 0.03 0.1 0.3 0.5 0.7 1] [--only digits poisson]

Progress goes to stderr; the last line of stdout is one JSON object.
"""

import argparse
import json
import math
import statistics
import sys
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optax
import scipy.linalg  # noqa: F401  # jax factorises through it, and threadpoolctl sees only what is loaded
import threadpoolctl
from jax.custom_batching import custom_vmap
from jax.scipy.linalg import solve_triangular
from time_to_target_parts.problems import FLOAT64, PROBLEMS, Problem, Target

import qnewton as qn
from qnewton._solvers.quantum.emulated.keys import key_for

LIMITS = {"digits": 100, "autoencoder": 700, "poisson": 150}
RESOLVED = 1e-10
# Of `dual_newton`, and whether errors lie evenly.
DUAL = {
    "poisson": ({}, False),
    "poisson_evenly": ({}, True),
    "poisson_whole": ({"sample": None}, False),
    "poisson_straight": ({"sample": None, "acceleration": None}, False),
}

ALL = ["digits", "autoencoder", *DUAL, "emulated"]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class _Study(qn.solvers.AbstractSolver):
    """A classical solver for definite matrices, which pricing takes for Cholesky."""

    capabilities: ClassVar[qn.solvers.Capabilities] = qn.solvers.Capabilities(needs_symmetric=True, needs_definite=True)

    @property
    def measured_as(self) -> qn.solvers.AbstractSolver:
        return qn.Cholesky()

    def workload(self, estimate: Any, encoding: Any) -> Any:
        return qn.Cholesky().workload(estimate, encoding)

    def transpose(self, state: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return state, options

    conj = transpose

    def assume_full_rank(self) -> bool:
        return True


class InEnergy(_Study):
    """Errs by `error` in the energy norm; of a Kronecker product in the product's, by its larger factor alone."""

    error: float = eqx.field(static=True)
    name: ClassVar[str] = "InEnergy"

    def init(self, operator: lx.AbstractLinearOperator, options: dict[str, Any]) -> jax.Array:
        return jnp.linalg.cholesky(operator.as_matrix())

    def compute(self, state: jax.Array, vector: jax.Array, options: dict[str, Any]) -> Any:
        @custom_vmap
        def alone(root: jax.Array, b: jax.Array) -> jax.Array:
            return self._solved(root, b[:, None])[:, 0]

        @alone.def_vmap
        def together(size: int, batched: list[bool], root: jax.Array, b: jax.Array) -> tuple[jax.Array, bool]:
            assert batched == [False, True], "a factor has one root and many right-hand sides"
            return self._solved(root, b.T).T, True

        return alone(state, vector), lx.RESULTS.successful, {}

    def _solved(self, root: jax.Array, b: jax.Array) -> jax.Array:
        white = solve_triangular(root, b, lower=True)
        n, columns = b.shape
        if self.error and n >= columns:
            # Uniform over the rotations: QR of a Gaussian matrix, but for signs, which `white` loses nothing by.
            turn, _ = jnp.linalg.qr(jax.random.normal(key_for(0, white.ravel()), (n, n), b.dtype))
            white = white + self.error * turn @ white
        return solve_triangular(root, white, lower=True, trans="T")


class InStep(_Study):
    """Errs by `error` in the norm of `K (K + m)`, of systems `K + m` whose smallest eigenvalue is m."""

    error: float = eqx.field(static=True)
    evenly: bool = eqx.field(static=True, default=False)
    name: ClassVar[str] = "InStep"

    def init(self, operator: lx.AbstractLinearOperator, options: dict[str, Any]) -> tuple[jax.Array, jax.Array]:
        values, basis = jnp.linalg.eigh(operator.as_matrix())
        return values, basis

    def compute(self, state: tuple[jax.Array, jax.Array], vector: jax.Array, options: dict[str, Any]) -> Any:
        values, basis = state
        found = (basis.T @ vector) / values
        gram = values - values[0]
        kept = gram > RESOLVED * gram[-1]
        squares = jnp.where(kept, gram * values, 0)
        key = jax.random.fold_in(key_for(0, vector), jax.lax.bitcast_convert_type(values[0], jnp.uint32)[0])
        units = jnp.sqrt(jnp.where(kept, squares, 1)) if self.evenly else values
        wrong = jnp.where(kept, jax.random.normal(key, found.shape, found.dtype) / units, 0)
        found = found + self.error * wrong * jnp.sqrt(jnp.sum(squares * found**2) / jnp.sum(squares * wrong**2))
        return basis @ found, lx.RESULTS.successful, {}


class Polynomial(_Study):
    """The exact state of an inversion polynomial, read out; which pricing takes for Cholesky all the same."""

    precision: float = eqx.field(static=True)
    shots: int | None = eqx.field(static=True)
    name: ClassVar[str] = "Polynomial"

    @property
    def emulated(self) -> qn.EmulatedQSVT:
        reading = qn.emulation.Infinite() if self.shots is None else qn.emulation.Shots(self.shots)
        return qn.EmulatedQSVT(precision=self.precision, measurement=reading)

    def init(self, operator: lx.AbstractLinearOperator, options: dict[str, Any]) -> Any:
        # Without an estimate it is built for the matrix's own condition number.
        return self.emulated.init(operator, {})

    def compute(self, state: Any, vector: jax.Array, options: dict[str, Any]) -> Any:
        return self.emulated.compute(state, vector, {})


class Trainings:
    """Trainings of one problem by one optimizer, compiled once."""

    def __init__(self, problem: Problem, optimizer: Any, limit: int):
        self.problem, self.optimizer, self.limit = problem, optimizer, limit

        def step(params: Any, state: Any, batch: Any) -> Any:
            gradients = jax.grad(problem.objective)(params, batch)
            updates, state = optimizer.update(gradients, state, params, batch=batch)
            params = optax.apply_updates(params, updates)
            return params, state, problem.evaluate(params)

        self.step: Callable = jax.jit(step)

    def steps(self, params: Any, watch: Callable[[Any, Any], None] = lambda params, state: None) -> list[int | None]:
        """To each target, from these parameters.

        Args:
            params: to start from.
            watch: is shown parameters and state after each step.
        """
        state, found = self.optimizer.init(params), dict.fromkeys(judged(self.problem))
        for taken in range(1, self.limit + 1):
            params, state, measured = self.step(params, state, self.problem.batch)
            watch(params, state)
            measured = {name: float(value) for name, value in measured.items()}
            for target in found:
                if found[target] is None and target.met(measured):
                    found[target] = taken
            if None not in found.values():
                break
        return list(found.values())


def judged(problem: Problem) -> list[Target]:
    return [target for target in problem.targets if target.judged]


def summary(problem: Problem, runs: list[list[int | None]]) -> dict[str, Any]:
    """Of each target the median over the seeds, and every seed's steps."""
    found = {}
    for target, each in zip(judged(problem), zip(*runs, strict=True), strict=True):
        middle = statistics.median(math.inf if one is None else one for one in each)
        found[target.name] = {"median_steps": None if math.isinf(middle) else middle, "steps": list(each)}
    return found


def injected(name: str, errors: list[float], seeds: int) -> dict[str, Any]:
    found, dual = {}, DUAL.get(name)
    name_of_problem = name if dual is None else "poisson"
    with jax.enable_x64(name_of_problem in FLOAT64):
        problem = PROBLEMS[name_of_problem]()
        least = None if dual is None else Least(problem)
        for error in errors:
            if dual is not None:
                arguments, evenly = dual
                optimizer = qn.dual_newton(problem.objective, solver=InStep(error, evenly), **arguments)
            else:
                optimizer = qn.kfac(problem.objective, solver=InEnergy(error))
            trainings = Trainings(problem, optimizer, LIMITS[name_of_problem])
            watch = {} if least is None else {"watch": least}
            runs = [trainings.steps(problem.init(seed), **watch) for seed in range(1, seeds + 1)]
            found[f"{error:g}"] = summary(problem, runs)
            say(f"{name}, injected {error:g}: {found[f'{error:g}']}")
    return found if least is None else found | {"least_over_m": float(f"{least.ratio:.2g}")}


class Least:
    """Watches how far the smallest eigenvalue of `K + m` is from m."""

    def __init__(self, problem: Problem):
        self.ratio, self.problem = 0.0, problem

        def smallest(params: Any) -> jax.Array:
            rows = jax.jacrev(lambda p: problem.objective.predict(p, problem.batch[0]))(params)
            matrix = jnp.concatenate([leaf.reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(rows)], axis=1)
            # The loss is a mean over the examples.
            return jnp.linalg.eigvalsh(matrix @ matrix.T / len(matrix))[0]

        self.smallest = jax.jit(smallest)

    def __call__(self, params: Any, state: Any) -> None:
        if int(state.count) % 10 == 0:
            # Rounding may leave it below zero.
            self.ratio = max(self.ratio, abs(float(self.smallest(params))) / float(state.info.damping))


def emulated(precisions: list[float], shots: list[int | None], seeds: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with jax.enable_x64(True):
        problem = doubled(PROBLEMS["digits"]())
        for precision in precisions:
            for number in shots:
                kappas: list[tuple[float, float]] = []
                optimizer = qn.kfac(problem.objective, solver=Polynomial(precision, number))
                trainings = Trainings(problem, optimizer, LIMITS["digits"])
                watch = lambda params, state, kappas=kappas: kappas.append(largest_kappa(state))  # noqa: E731
                runs = [trainings.steps(double(problem.init(seed)), watch) for seed in range(1, seeds + 1)]
                largest = [float(f"{max(each):.3g}") for each in zip(*kappas, strict=True)]
                entry = summary(problem, runs) | {"largest_kappa": largest}
                found[f"epsilon {precision:g}, {'no read-out noise' if number is None else f'{number} shots'}"] = entry
                say(f"digits, emulated, epsilon {precision:g}, shots {number}: {entry}")
    return found


def double(tree: Any) -> Any:
    def one(leaf: jax.Array) -> jax.Array:
        return leaf.astype(jnp.float64) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(one, tree)


def doubled(problem: Problem) -> Problem:
    """The same in double precision, in which a polynomial resolves larger condition numbers."""
    fields = {name: getattr(problem, name) for name in problem.__dataclass_fields__}
    return Problem(**fields | {"batch": double(problem.batch)})


def largest_kappa(state: Any) -> tuple[float, float]:
    """Of all damped factors, and of all layers."""
    factors, root, found = state.factors, float(state.damping) ** 0.5, []
    for a, g in zip(factors.inputs, factors.outputs, strict=True):
        a, g = np.asarray(a), np.asarray(g)
        share = math.sqrt(np.trace(a) / len(a) / (np.trace(g) / len(g)))
        pair = ((a, share * root), (g, root / share))
        found.append([float(np.linalg.cond(matrix + shift * np.eye(len(matrix)))) for matrix, shift in pair])
    return max(max(pair) for pair in found), max(math.prod(pair) for pair in found)


def solved(solver: Any, matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """For the columns of `right`, as `kfac` has them solved."""
    state = solver.init(lx.MatrixLinearOperator(jnp.asarray(matrix), lx.positive_semidefinite_tag), {})
    if right.ndim == 1:
        return np.asarray(solver.compute(state, jnp.asarray(right), {})[0])
    each = jax.vmap(lambda b: solver.compute(state, b, {})[0], in_axes=1, out_axes=1)
    return np.asarray(each(jnp.asarray(right)))


def checked(errors: list[float]) -> dict[str, float]:
    """Largest deviation of the injected error from what it is meant to be, on random systems."""
    rng, off = np.random.default_rng(0), {"InEnergy": 0.0, "InStep": 0.0}
    with jax.enable_x64(True):
        for error in errors:
            a, g = (np.cov(rng.standard_normal((n, 3 * n))) + 1e-3 * np.eye(n) for n in (12, 5))
            v = rng.standard_normal((12, 5))
            right = np.linalg.solve(a, v) @ np.linalg.inv(g)
            wrong = solved(InEnergy(error), g, solved(InEnergy(error), a, v).T).T - right
            share = math.sqrt(np.trace(wrong.T @ a @ wrong @ g) / np.trace(right.T @ a @ right @ g))
            off["InEnergy"] = max(off["InEnergy"], abs(share - error))
            rows, m, b = rng.standard_normal((9, 6)), 1e-2, rng.standard_normal(9)
            k, damped = rows @ rows.T, rows @ rows.T + m * np.eye(9)
            right = np.linalg.solve(damped, b)
            for evenly in (False, True):
                wrong = solved(InStep(error, evenly), damped, b) - right
                share = math.sqrt((wrong @ k @ damped @ wrong) / (right @ k @ damped @ right))
                off["InStep"] = max(off["InStep"], abs(share - error))
    return {name: float(f"{value:.2g}") for name, value in off.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--errors", type=float, nargs="+", default=[0.0, 0.03, 0.1, 0.3, 0.5, 0.7, 1.0])
    parser.add_argument("--only", nargs="+", choices=ALL)
    options = parser.parse_args()
    asked = options.only or ALL
    result: dict[str, Any] = {"seeds": list(range(1, options.seeds + 1)), "steps": "measured", "errors": "injected"}
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        result["off_by"] = checked(options.errors)
        say(f"injected errors are off by at most {result['off_by']}")
        for name in ("digits", "autoencoder", *DUAL):
            if name in asked:
                result[name] = injected(name, options.errors, options.seeds)
        if "emulated" in asked:
            result["digits_emulated"] = emulated([1e-2, 0.1, 0.5], [None, 100_000, 1000], options.seeds)
    print(json.dumps(result))


if __name__ == "__main__":
    main()

"""The trainings that are timed: an autoencoder and a transformer layer, both by `kfac`, in phases of one step."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import qnewton as qn
from qnewton._core.trees import ravel
from qnewton._curvature.factors import estimate_factors
from qnewton._curvature.loss_scale import LossScale
from qnewton._curvature.point import Point
from qnewton._devices.crew import with_crew
from qnewton._devices.meshes import crew_on
from qnewton._optim.kronecker_solves import LayerSystems
from qnewton._optim.layer_structure import layers_and_layout
from qnewton._scheduling.families import default_scheduler

REFRESH = 5
"""Steps that one set-up serves, all of which the whole step's figure holds."""


@dataclass(frozen=True)
class Task:
    """A model, its batch and its first parameters, all of numpy."""

    predict: Callable[..., Any]
    loss: Callable[..., Any]
    params: Any
    batch: Any

    @property
    def objective(self) -> qn.Objective:
        return qn.Objective(self.predict, self.loss)


def autoencoder() -> Task:
    """784-500-250-30-250-500-784, tanh, 512 examples."""
    random, widths = np.random.default_rng(0), (784, 500, 250, 30, 250, 500, 784)
    params = [
        {"w": (random.normal(size=(i, o)) / np.sqrt(i)).astype("f"), "b": np.zeros(o, "f")}
        for i, o in itertools.pairwise(widths)
    ]
    x = random.uniform(size=(512, 784)).astype("f")

    def predict(params: Any, x: Any) -> Any:
        for layer in params[:-1]:
            x = jnp.tanh(x @ layer["w"] + layer["b"])
        return x @ params[-1]["w"] + params[-1]["b"]

    return Task(predict, _squares, params, (x, x))


def transformer() -> Task:
    """One layer of width 256, four heads, 1,024 hidden, on 64 sequences of 32."""
    random, d, heads, hidden = np.random.default_rng(0), 256, 4, 1024
    shapes = {"q": (d, d), "k": (d, d), "v": (d, d), "o": (d, d), "up": (d, hidden), "down": (hidden, d)}
    params = {name: (random.normal(size=s) / np.sqrt(s[0])).astype("f") for name, s in shapes.items()}
    x, y = (random.normal(size=(64, 32, d)).astype("f") for _ in range(2))

    def normal(x: Any) -> Any:
        x = x - jnp.mean(x, axis=-1, keepdims=True)
        return x / jnp.sqrt(jnp.mean(x**2, axis=-1, keepdims=True) + 1e-5)

    def predict(params: Any, x: Any) -> Any:
        given = normal(x)
        q, k, v = ((given @ params[name]).reshape(*x.shape[:-1], heads, -1) for name in ("q", "k", "v"))
        weights = jax.nn.softmax(jnp.einsum("nthc,nshc->nhts", q, k) / np.sqrt(d // heads), axis=-1)
        x = x + jnp.einsum("nhts,nshc->nthc", weights, v).reshape(x.shape) @ params["o"]
        return x + jax.nn.gelu(normal(x) @ params["up"]) @ params["down"]

    return Task(predict, _squares, params, (x, y))


def _squares(outputs: Any, targets: Any) -> Any:
    return jnp.mean((outputs - targets) ** 2, axis=tuple(range(1, outputs.ndim)))


TASKS = {"autoencoder": autoencoder, "transformer": transformer}


class Phases:
    """Compiled parts of one step on a mesh, each a function without arguments that waits for its result."""

    def __init__(self, task: Task, mesh: Mesh):
        self._mesh, self._objective = mesh, task.objective
        params, batch = self._laid(task.params, P()), self._laid(task.batch, P("d"))
        optimizer = qn.kfac(self._objective, refresh=REFRESH, example=task.batch[0])
        state = optimizer.init(params)

        def together(function: Callable[..., Any]) -> Callable[..., Any]:
            def run(*given: Any) -> Any:
                with with_crew(crew_on(given)):
                    return function(*given)

            return jax.jit(run)

        def systems(layout: Any) -> LayerSystems:
            return LayerSystems.of(layout, default_scheduler(), REFRESH, jnp.dtype("float32"))

        def curvature(params: Any, batch: Any) -> Any:
            point = Point.of(self._objective, params, batch).singly("K-FAC")
            layers, layout = layers_and_layout(point.program, params)
            unknown = LossScale.unknown(jnp.dtype("float32"))
            return estimate_factors(point, layers, layout, unknown, 1, jax.random.key(0))[0]

        def factorisation(factors: Any, gradient: Any) -> Any:
            chosen = systems(factors.layout)
            solves, packed = chosen.set_up(factors, jnp.float32(0.1))
            return chosen.solve(solves, gradient)[0], packed.owners

        def step(params: Any, state: Any, batch: Any) -> Any:
            value, gradient = jax.value_and_grad(self._objective)(params, batch)
            updates, state = optimizer.update(gradient, state, params, batch=batch, value=value)
            return optax.apply_updates(params, updates), state

        def counting() -> int:
            """Matrices that are factorised here in one set-up, counted where it happens."""
            made, plain = [], jax.lax.linalg.cholesky

            def counted(matrix: Any, **options: Any) -> Any:
                jax.debug.callback(lambda: made.append(1))
                return plain(matrix, **options)

            jax.lax.linalg.cholesky = counted
            try:
                jax.block_until_ready(together(set_up)(factors, gradient))
                jax.effects_barrier()
            finally:
                jax.lax.linalg.cholesky = plain
            return len(made)

        self.counting, set_up = counting, factorisation
        curvature, factorisation, step = together(curvature), together(factorisation), jax.jit(step)
        factors = jax.block_until_ready(curvature(params, batch))
        gradient = ravel(jax.tree.leaves(jax.jit(jax.grad(self._objective))(params, batch)))
        self.owners = np.asarray(factorisation(factors, gradient)[1].addressable_data(0)).tolist()

        def steps() -> Any:
            now: tuple[Any, Any] = params, state
            for _ in range(REFRESH):
                now = step(now[0], now[1], batch)
            return now

        self.runs: dict[str, Callable[[], Any]] = {
            "curvature": lambda: curvature(params, batch),
            "block solves": lambda: factorisation(factors, gradient),
            "step": steps,
        }
        for run in self.runs.values():
            jax.block_until_ready(run())

    def _laid(self, tree: Any, spec: P) -> Any:
        laid = NamedSharding(self._mesh, spec)
        return jax.tree.map(lambda leaf: jax.make_array_from_callback(leaf.shape, laid, lambda part: leaf[part]), tree)

"""A small network twice: in jax for `newton`, and in numpy float64 with complex steps as the oracle."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxtyping import PyTree

import qnewton as q
from qnewton._hardware import KernelTimes

# Leaves in the order of jax.tree.leaves: keys sorted.
SHAPES = {("hidden", "bias"): (3,), ("hidden", "weight"): (2, 3), ("out", "weight"): (3, 2)}
PARTITIONS: dict[str, list[list[int]]] = {
    "per_tensor": [[0], [1], [2]],
    "per_layer": [[0, 1], [2]],
    "whole": [[0, 1, 2]],
}


@dataclass(frozen=True)
class Oracle:
    """`mean_n |tanh(x W + b) V - t|^2 / 2`: 2-3-2, 15 parameters, in numpy."""

    vector: np.ndarray
    inputs: np.ndarray
    targets: np.ndarray

    def outputs(self, w: np.ndarray) -> np.ndarray:
        bias, weight, out = w[:3], w[3:9].reshape(2, 3), w[9:].reshape(3, 2)
        return np.tanh(self.inputs @ weight + bias) @ out

    def loss(self, w: np.ndarray) -> float:
        return float((np.sum((self.outputs(w) - self.targets) ** 2) / 2 / len(self.inputs)).real)

    def jacobian(self, w: np.ndarray) -> np.ndarray:
        """`[examples, outputs, parameters]`, by complex steps: no cancellation, so exact to rounding."""
        step = 1e-30
        columns = [np.imag(self.outputs(w + 1j * step * e)) / step for e in np.eye(len(w))]
        return np.stack(columns, axis=-1)

    def gradient(self, w: np.ndarray) -> np.ndarray:
        residual = self.outputs(w) - self.targets
        return np.einsum("no,nop->p", residual, self.jacobian(w)) / len(self.inputs)

    def curvature(self, kind: str, w: np.ndarray) -> np.ndarray:
        if kind == "gauss-newton":
            jacobian = self.jacobian(w)
            return np.einsum("nop,noq->pq", jacobian, jacobian) / len(self.inputs)
        step = 1e-5
        rows = [(self.gradient(w + step * e) - self.gradient(w - step * e)) / (2 * step) for e in np.eye(len(w))]
        return (np.stack(rows) + np.stack(rows).T) / 2

    def blocks(self, partition: str) -> list[np.ndarray]:
        """Positions in the vector of each block's parameters."""
        ends = [(0, 3), (3, 9), (9, 15)]
        return [np.concatenate([np.arange(*ends[leaf]) for leaf in leaves]) for leaves in PARTITIONS[partition]]


@dataclass(frozen=True)
class Problem:
    """The same in jax."""

    objective: q.Objective
    params: PyTree
    batch: tuple[Any, Any]
    oracle: Oracle

    def vector(self, tree: PyTree) -> np.ndarray:
        return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)]).astype(np.float64)


def predict(params: PyTree, x: Any) -> Any:
    return jnp.tanh(x @ params["hidden"]["weight"] + params["hidden"]["bias"]) @ params["out"]["weight"]


def squares(outputs: Any, targets: Any) -> Any:
    return jnp.sum((outputs - targets) ** 2, axis=-1) / 2


@pytest.fixture
def problem_of() -> Callable[..., Problem]:
    """`problem_of(dtype)`: parameters, a batch of 8 and the oracle at the same numbers."""

    def make(dtype: Any = "float32") -> Problem:
        rng = np.random.default_rng(7)
        # Numbers of single precision, so that both sides see the same ones.
        vector, inputs, targets = (
            rng.standard_normal(shape).astype(np.float32).astype(np.float64) for shape in ((15,), (8, 2), (8, 2))
        )
        leaves, start = {}, 0
        for path, shape in SHAPES.items():
            leaves[path] = jnp.asarray(vector[start : start + np.prod(shape)].reshape(shape), dtype)
            start += int(np.prod(shape))
        params = {
            "hidden": {"bias": leaves["hidden", "bias"], "weight": leaves["hidden", "weight"]},
            "out": {"weight": leaves["out", "weight"]},
        }
        batch = jnp.asarray(inputs, dtype), jnp.asarray(targets, dtype)
        return Problem(q.Objective(predict, squares), params, batch, Oracle(vector, inputs, targets))

    return make


@pytest.fixture
def hybrid_of() -> Callable[..., q.Hybrid]:
    """`hybrid_of(dtype, solvers)`: a scheduler whose machine is made by hand, so that nothing is measured."""

    def make(dtype: Any = "float32", solvers: Any = None) -> q.Hybrid:
        kernels = (("cholesky", KernelTimes(5e-4, 0.0, 0.0)), ("lu", KernelTimes(1e-3, 0.0, 0.0)))
        machine = q.ClassicalMachine("made by hand", str(jnp.dtype(dtype)), kernels)
        return q.Hybrid((q.Cholesky(), q.LU()) if solvers is None else solvers, classical=machine)

    return make


@pytest.fixture
def step_of() -> Callable[..., Any]:
    """`step_of(optimizer, objective)`: the user's own jitted step, and how often it was traced."""

    def make(optimizer: optax.GradientTransformationExtraArgs, objective: q.Objective) -> tuple[Any, list[int]]:
        traces: list[int] = []

        @jax.jit
        def step(params: PyTree, state: Any, batch: Any) -> tuple[PyTree, Any, PyTree]:
            traces.append(1)
            updates, state = optimizer.update(jax.grad(objective)(params, batch), state, params, batch=batch)
            return optax.apply_updates(params, updates), state, updates

        return step, traces

    return make


@pytest.fixture
def x64() -> Iterator[None]:
    """Double precision for one test."""
    with jax.enable_x64(True):
        yield

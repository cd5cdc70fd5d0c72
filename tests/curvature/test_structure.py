"""Ways to use a parameter, each of which must give the dense block whether or not a curvature recognises it.

Curvatures may take a short cut where a model uses its parameters linearly (`x W + b`). These models look alike to a
careless eye: weights moved, shared, fed to themselves, biases that broadcast along the wrong axis or are added late. A
new trap is one function here; its parameters form one block, with the leaves in reverse order.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from qnewton.curvature import AbstractCurvature, Block, GaussNewton, Hessian, Objective

Params = dict[str, Array]
Predict = Callable[[Params, Array], Array]

BATCH = 5
TRAPS: dict[str, tuple[Predict, dict[str, tuple[int, ...]]]] = {}


def trap(**shapes: tuple[int, ...]) -> Callable[[Predict], Predict]:
    """Registers a model `(params, x [batch, 3]) -> [batch, 2]` with the shapes of its parameters."""

    def register(predict: Predict) -> Predict:
        TRAPS[predict.__name__] = predict, shapes
        return predict

    return register


@trap(w=(2, 3), b=(2,))
def weight_on_the_left(p: Params, x: Array) -> Array:
    return jnp.tanh(p["w"] @ x.T + p["b"][:, None]).T


@trap(w=(6,))
def weight_reshaped_and_reversed(p: Params, x: Array) -> Array:
    return jnp.tanh(x @ p["w"].reshape(2, 3)[::-1, ::-1].T)


@trap(w=(3, 2))
def one_weight_for_two_inputs(p: Params, x: Array) -> Array:
    return jnp.tanh(x @ p["w"]) * jnp.sin(jnp.cos(x) @ p["w"])


@trap(w=(3, 3), v=(3, 2))
def weight_that_feeds_itself(p: Params, x: Array) -> Array:
    return jnp.tanh(jnp.tanh(x @ p["w"]) @ p["w"]) @ p["v"]


@trap(w=(3, 2))
def linear_use_beside_a_penalty(p: Params, x: Array) -> Array:
    return jnp.tanh(x @ p["w"]) + jnp.sum(p["w"] ** 4)


@trap(w=(3, 2), b=(2,))
def bias_beside_another_use_of_the_product(p: Params, x: Array) -> Array:
    z = x @ p["w"]
    return jnp.tanh(z + p["b"]) + z**3


@trap(w=(3, 4), b=(2, 2))
def bias_on_the_transposed_product(p: Params, x: Array) -> Array:
    z = jnp.swapaxes((x @ p["w"]).reshape(-1, 2, 2), 1, 2) + p["b"]
    return jnp.tanh(z) @ jnp.array([1.0, 2.0])


def positions(x: Array) -> Array:
    """Two positions of six features per example."""
    return jnp.stack(
        [jnp.concatenate([x, x**2 / 2], axis=1), jnp.concatenate([jnp.sin(x), jnp.cos(x)], axis=1)], axis=1
    )


@trap(w=(2, 6))
def weight_on_the_left_of_several_positions(p: Params, x: Array) -> Array:
    z = jnp.tensordot(p["w"], positions(x), axes=([1], [2]))
    return jnp.prod(jnp.tanh(z) + 2, axis=2).T


@trap(w=(6, 2), b=(2, 2))
def bias_of_its_own_at_each_position(p: Params, x: Array) -> Array:
    return jnp.prod(jnp.tanh(positions(x) @ p["w"] + p["b"]) + 2, axis=1)


@trap(w=(6, 2), b=(2,))
def positions_transposed_before_the_bias(p: Params, x: Array) -> Array:
    """As many positions as outputs, so that mixing them up keeps the shapes."""
    z = jnp.swapaxes(positions(x) @ p["w"], 1, 2) + p["b"]
    return jnp.prod(jnp.tanh(z) + 2, axis=1)


@trap(w=(3, 3), v=(3, 2))
def inside_a_loop(p: Params, x: Array) -> Array:
    hidden, _ = jax.lax.scan(lambda h, _: (jnp.tanh(h @ p["w"]), None), x, None, length=3)
    return hidden @ p["v"]


# The check ---------------------------------------------------------------------------------------------------------


def problem(name: str) -> tuple[Objective, Params, tuple[Array, Array]]:
    predict, shapes = TRAPS[name]
    rng = np.random.default_rng(7)
    params = {key: jnp.asarray(rng.standard_normal(shape)) for key, shape in shapes.items()}
    batch = jnp.asarray(rng.standard_normal((BATCH, 3))), jnp.asarray(rng.standard_normal((BATCH, 2)))

    def pseudo_huber(outputs: Array, targets: Array) -> Array:
        return jnp.sum(jnp.sqrt(1 + (outputs - targets) ** 2), axis=-1)

    return Objective(predict, pseudo_huber), params, batch


def exact(objective: Objective, params: Params, batch: tuple[Array, Array]) -> Array:
    vector, unravel = ravel_pytree(params)
    return jax.hessian(lambda w: objective(unravel(w), batch))(vector)


def gauss_newton(objective: Objective, params: Params, batch: tuple[Array, Array]) -> Array:
    vector, unravel = ravel_pytree(params)

    def outputs(w: Array) -> Array:
        return objective.predict(unravel(w), batch[0])

    jacobian = jax.jacfwd(outputs)(vector)
    curvature = jax.vmap(jax.hessian(lambda z, y: objective.loss(z[None], y[None])[0]))(outputs(vector), batch[1])
    return jnp.einsum("bcp,bcd,bdq->pq", jacobian, curvature, jacobian) / BATCH


CURVATURES: dict[str, tuple[AbstractCurvature, Callable[..., Array]]] = {
    "hessian": (Hessian(), exact),
    # Small chunks, so that the last one is smaller.
    "gauss_newton": (GaussNewton(chunk_bytes=200), gauss_newton),
}


def block_of(params: PyTree) -> Block:
    leaves = jax.tree.leaves(params)
    return Block("all", tuple(range(len(leaves)))[::-1], sum(leaf.size for leaf in leaves))


@functools.cache
def formed(curvature: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Actual and expected block of every model, all compiled together."""
    subject, dense = CURVATURES[curvature]

    # Unoptimised, since the algebra is on trial here and not the compiler.
    @functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def run(problems: dict[str, tuple[Params, tuple[Array, Array]]]) -> dict[str, tuple[Array, Array]]:
        results = {}
        for name, (params, batch) in problems.items():
            objective = problem(name)[0]
            results[name] = (
                subject.form(objective, params, batch, block_of(params)).matrix,
                dense(objective, params, batch),
            )
        return results

    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, run({name: problem(name)[1:] for name in TRAPS}))


@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("name", TRAPS)
def test_every_use_of_a_parameter_gives_the_dense_block(name: str, curvature: str) -> None:
    actual, expected = formed(curvature)[name]
    sizes = [int(np.prod(shape)) for _, shape in sorted(TRAPS[name][1].items())]
    ends = np.cumsum(sizes)
    rows = np.concatenate([np.arange(end - size, end) for end, size in zip(ends, sizes, strict=True)][::-1])
    expected = expected[np.ix_(rows, rows)]
    scale = np.max(np.abs(expected))
    assert scale > 1e-3
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12 * scale)

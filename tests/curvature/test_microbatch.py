"""Parts of a batch add up to the batch."""

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

import qnewton as qn
from qnewton._curvature import Point

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((7, 3)), RNG.integers(0, 2, 7)
WEIGHTS = RNG.uniform(0.1, 2, 7)
PARAMS = {"v": RNG.standard_normal((4, 2)), "w": RNG.standard_normal((3, 4))}


def predict(params, x):
    return jnp.tanh(x @ params["w"]) @ params["v"]


def weighted(z, targets):
    label, weight = targets
    return -jnp.take_along_axis(jax.nn.log_softmax(z), label[:, None], axis=1)[:, 0], weight


@pytest.mark.parametrize(
    "inner", [qn.GaussNewton(), qn.Hessian(), qn.EmpiricalFisher()], ids=lambda c: type(c).__name__
)
@pytest.mark.parametrize("size", [1, 3, 7, 50])
def test_products_with_parts_are_products_with_the_whole(inner, size) -> None:
    with jax.enable_x64(True):
        params = jax.tree.map(jnp.asarray, PARAMS)
        batch = jnp.asarray(X), (jnp.asarray(Y), jnp.asarray(WEIGHTS))
        objective, (block,) = qn.Objective(predict, weighted, l2=0.1), qn.whole(params)

        @jax.jit
        def both(params, v):
            point = Point.of(objective, params, batch)
            parts = qn.Microbatched(inner, size).system(point, block)
            return (
                parts.operator.mv(v),
                lx.diagonal(parts.operator),
                inner.form(objective, params, batch, block).matrix,
            )

        vector = RNG.standard_normal(block.n)
        product, diagonal, expected = both(params, jnp.asarray(vector))
        np.testing.assert_allclose(product, expected @ vector, rtol=1e-12)
        np.testing.assert_allclose(diagonal, np.diag(expected), rtol=1e-11)


def test_no_intermediate_holds_the_whole_batch_of_activations() -> None:
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), PARAMS)
    batch = jnp.asarray(np.tile(X, (10, 1)), jnp.float32), (jnp.asarray(np.tile(Y, 10)), jnp.ones(70))
    objective, (block,) = qn.Objective(predict, weighted), qn.whole(params)

    def product(size):
        curvature = qn.Microbatched(qn.GaussNewton(), size)
        return jax.jit(lambda p, v: curvature.operator(Point.of(objective, p, batch), block).mv(v))

    vector = jnp.ones(block.n)
    planned = {size: product(size).lower(params, vector).compile().memory_analysis() for size in (2, 70)}
    if (small := planned[2]) is None or (large := planned[70]) is None:
        pytest.skip("this backend does not say how much memory a program takes")
    assert small.temp_size_in_bytes < large.temp_size_in_bytes / 2


def test_bad_size() -> None:
    with pytest.raises(ValueError, match="size is 0"):
        qn.Microbatched(qn.GaussNewton(), 0)

"""Square roots of the curvature in the outputs, of examples whose softmax has saturated among others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

from qnewton._curvature.factors import probe
from qnewton._curvature.objective import Objective
from qnewton._curvature.point import Point
from qnewton._curvature.roots import batched_root, factors, solved


def largest(curvature: Float[Array, "batch c c"]) -> Float[Array, ""]:
    return jnp.max(jnp.trace(curvature, axis1=1, axis2=2))


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_factors_and_solutions_are_those_of_lapack_written_out_or_not(size):
    rng = np.random.default_rng(size)
    half = rng.standard_normal((30, size, size + 1))
    matrices, right = half @ half.transpose(0, 2, 1), rng.standard_normal((30, size))
    exact = np.linalg.cholesky(matrices)
    found = factors(jnp.asarray(matrices, jnp.float32))
    np.testing.assert_allclose(found, exact, atol=2e-4)
    np.testing.assert_array_equal(np.asarray(found), np.tril(found))
    solution = solved(jnp.asarray(exact, jnp.float32), jnp.asarray(right, jnp.float32))
    np.testing.assert_allclose(solution, np.linalg.solve(exact, right[..., None])[..., 0], rtol=2e-3, atol=2e-4)
    # Neither indefinite nor singular matrices have a factor, and no other one loses its own.
    spoilt = matrices.copy()
    spoilt[3], spoilt[5] = -matrices[3], 0
    finite = np.isfinite(np.asarray(factors(jnp.asarray(spoilt, jnp.float32)))).all(axis=(1, 2))
    assert np.flatnonzero(~finite).tolist() == [3, 5]


def test_a_saturated_softmax_has_a_root_although_rounding_made_it_indefinite():
    rng = np.random.default_rng(0)
    # From even odds to a certainty of 1 - 1e-9, which single precision does not tell from 1.
    logits = rng.standard_normal((200, 10)) + np.linspace(0, 24, 200)[:, None] * np.eye(10)[rng.integers(0, 10, 200)]

    def loss(z: Float[Array, " c"]) -> Float[Array, ""]:
        return jax.nn.logsumexp(z) - z[0]

    curvature = jax.vmap(jax.hessian(loss))(jnp.asarray(logits, jnp.float32))
    assert np.linalg.eigvalsh(np.float64(curvature)).min() < 0, "there was nothing to repair"
    root = np.float64(batched_root(curvature))
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    odds /= odds.sum(axis=1, keepdims=True)
    exact = np.einsum("na,ab->nab", odds, np.eye(10)) - np.einsum("na,nb->nab", odds, odds)
    np.testing.assert_allclose(np.einsum("nab,ncb->nac", root, root), exact, atol=2e-5)


def test_what_is_indefinite_beyond_rounding_stays_nan():
    matrices = jnp.asarray([np.eye(2), np.diag([1.0, -1e-3])], jnp.float32)
    finite = np.isfinite(np.asarray(batched_root(matrices)))
    np.testing.assert_array_equal(finite.all(axis=(1, 2)), [True, False])


def test_a_batch_of_which_every_softmax_has_saturated_has_a_root():
    # All traces are below 3e-3, and the rounding is that of probabilities near 1.
    logits = np.random.default_rng(1).standard_normal((40, 4)) + np.linspace(9, 16, 40)[:, None] * np.eye(4)[0]

    def loss(z: Float[Array, " c"]) -> Float[Array, ""]:
        return jax.nn.logsumexp(z) - z[0]

    curvature = jax.vmap(jax.hessian(loss))(jnp.asarray(logits, jnp.float32))
    assert not np.isfinite(np.asarray(batched_root(curvature))).all(), "there was nothing to repair"
    root = np.float64(batched_root(curvature, jnp.asarray([largest(curvature), 3 / 4])))
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    odds /= odds.sum(axis=1, keepdims=True)
    exact = np.einsum("na,ab->nab", odds, np.eye(4)) - np.einsum("na,nb->nab", odds, odds)
    np.testing.assert_allclose(np.einsum("nab,ncb->nac", root, root), exact, atol=4e-6)
    concave = jnp.asarray([np.eye(2), np.diag([1.0, -1e-3])], jnp.float32)
    assert np.isnan(np.asarray(batched_root(concave, jnp.asarray([2.0, 2.0])))[1]).any()


def test_far_out_in_the_tails_of_a_loss_of_one_output_its_rounding_is_no_concavity():
    targets = np.linspace(3, 40, 60)

    def loss(z: Float[Array, " c"], target: Float[Array, ""]) -> Float[Array, ""]:
        return jnp.sqrt(1e-6 + (z[0] - target) ** 2)

    curvature = jax.vmap(jax.hessian(loss))(jnp.zeros((60, 1)), jnp.asarray(targets, jnp.float32))
    assert not np.isfinite(np.asarray(batched_root(curvature))).all(), "there was nothing to repair"
    # The slope there is 1.
    root = np.asarray(batched_root(curvature, jnp.asarray([largest(curvature), 1.0])), np.float64)
    np.testing.assert_allclose(root[:, 0, 0] ** 2, 1e-6 / (1e-6 + targets**2) ** 1.5, atol=2e-6)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_loss_that_sums_over_positions_needs_no_matrix_for_an_example(weighted):
    rng = np.random.default_rng(0)
    inputs, targets = (jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in ((5, 6, 3), (5, 6, 4)))

    def loss(outputs, targets):
        values = jnp.cosh(outputs - targets)
        return (values / 6, jnp.full_like(values, 0.5)) if weighted else jnp.mean(values, axis=(1, 2))

    objective = Objective(lambda params, x: x @ params, loss)

    def signals(params):
        point = Point.of(objective, params, (inputs, targets))
        outputs = point.outputs_of_all()
        return probe(point, outputs, jnp.ones((1, *outputs.shape)))[0]

    params = jnp.ones((3, 4))
    program = jax.make_jaxpr(signals)(params)
    largest_array = max(v.aval.size for eqn in program.eqns for v in eqn.outvars)
    assert largest_array < 5 * 24 * 24
    # The second derivative of cosh(z) / (count of its divisor).
    share = 0.5 / 6 if weighted else 1 / 24
    exact = np.sqrt(share * np.cosh(np.asarray(inputs @ params - targets))).reshape(5, 24)
    np.testing.assert_allclose(signals(params)[0], exact, rtol=1e-5)

"""Square roots of the curvature in the outputs, of examples whose softmax has saturated among others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

from qnewton._curvature.factors import probe
from qnewton._curvature.objective import Objective
from qnewton._curvature.output_curvature import OutputCurvature
from qnewton._curvature.point import Point
from qnewton._curvature.roots import batched_root, factors, positive_root, solved


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


@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_positive_part_of_the_diagonal_stands_for_what_is_indefinite(size):
    """Definite ones keep their root, and what is not finite anywhere stays so."""
    definite, concave = (
        np.eye(size) + 0.5,
        np.diag(np.r_[np.ones(size - 1), -1.0]) + np.eye(size, k=1) + np.eye(size, k=-1),
    )
    spoilt = definite.copy()
    spoilt[-1, 0] = np.nan
    matrices = jnp.asarray([definite, concave, spoilt], jnp.float32)
    definite_alone = batched_root(matrices[:1])
    # The size of the rounding is that of the largest, so those that are finite are taken by themselves.
    root = np.asarray(positive_root(matrices[:2]))
    np.testing.assert_allclose(root[0], definite_alone[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(root[1], np.diag(np.sqrt(np.maximum(np.diag(concave), 0))), atol=1e-2)
    assert (np.diag(root[1]) > 0).all()
    assert np.isnan(np.asarray(positive_root(matrices[2:]))).any()


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


TARGETS = np.random.default_rng(3).integers(0, 4, 20)
WITH_ONE_SUM = {
    "softmax": (12, lambda z, y: jax.nn.logsumexp(z) - z[y]),
    "log-softmax": (12, lambda z, y: -0.3 * jax.nn.log_softmax(z)[y]),
    "positions": (4, lambda z, y: jnp.mean(jax.nn.logsumexp(z.reshape(3, 4), axis=1) - z.reshape(3, 4)[:, y])),
    "square of a sum": (12, lambda z, y: jnp.sum(z) ** 2 + jnp.sum(jnp.cosh(z - y))),
    "length": (12, lambda z, y: jnp.sqrt(1 + jnp.sum((z - y) ** 2))),
    "separate": (1, lambda z, y: jnp.sum(jnp.cosh(z - y))),
}
OTHERS = {
    "two sums": lambda z, y: jax.nn.logsumexp(z) + jax.nn.logsumexp(-z),
    "of other positions": lambda z, y: jnp.sum(jax.nn.logsumexp(z.reshape(4, 3).T, axis=1)),
    "of squared odds": lambda z, y: jnp.sum((jax.nn.softmax(z) - y) ** 2),
    "neighbours": lambda z, y: jnp.sum((z[1:] - z[:-1]) ** 2),
}


def product_of(loss, outputs):
    return jax.linearize(jax.grad(lambda z: jnp.sum(jax.vmap(loss)(z, TARGETS))), outputs)[1]


@pytest.mark.parametrize("name", WITH_ONE_SUM)
def test_a_loss_with_one_sum_has_the_cholesky_factor_of_its_hessian_without_that_matrix(name):
    width, loss = WITH_ONE_SUM[name]
    rng = np.random.default_rng(0)
    outputs, signs = rng.standard_normal((20, 12)), rng.choice([-1.0, 1.0], (2, 20, 12))

    @jax.jit
    def found(z, e):
        curvature = OutputCurvature.of(product_of(loss, z), z)
        assert curvature is not None
        assert curvature.width == width
        return curvature.diagonal, curvature.reach, curvature.rooted(e), jax.vmap(jax.hessian(loss))(z, TARGETS)

    diagonal, reach, rooted, hessian = (np.float64(one) for one in found(jnp.float32(outputs), jnp.float32(signs)))
    np.testing.assert_allclose(diagonal, np.einsum("nii->ni", hessian), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(reach, np.abs(hessian).sum(axis=2), rtol=1e-5, atol=1e-6)
    delta = 0 if width == 1 else 8 * 12 * np.finfo(np.float32).eps * np.einsum("nii->n", hessian).max()
    exact = np.einsum("nij,pnj->pni", np.linalg.cholesky(hessian + delta * np.eye(12)), signs)
    np.testing.assert_allclose(rooted, exact, atol=3e-4 * np.abs(exact).max())


@pytest.mark.parametrize("name", OTHERS)
def test_a_loss_with_other_sums_is_not_taken_for_one(name):
    outputs = jnp.ones((20, 12))
    assert OutputCurvature.of(product_of(OTHERS[name], outputs), outputs) is None


def test_an_example_whose_hessian_is_indefinite_has_the_root_of_its_diagonal():
    def loss(z, y):
        return jnp.where(y > 1, -1.0, 1.0) * jnp.sqrt(1 + jnp.sum(z**2))

    outputs = jnp.asarray(np.random.default_rng(0).standard_normal((20, 12)), jnp.float32)
    curvature = OutputCurvature.of(product_of(loss, outputs), outputs)
    assert curvature is not None
    signals = np.asarray(curvature.rooted(jnp.ones((1, 20, 12)))[0])
    assert np.isfinite(signals).all()
    np.testing.assert_array_equal((signals == 0).all(axis=1), TARGETS > 1)

"""Curvature of objectives whose examples influence each other, against dense derivatives of the whole batch.

A case is one row of `COUPLED`: a model, a loss and the verdict on them. The oracle is `J^T H J` and `jax.hessian` of
the objective in float64, with none of our code.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

import qnewton as qn
from qnewton._core.operators import Path, path_of
from qnewton._curvature.flat import linear_in_outputs, quadratic_in_outputs
from qnewton._curvature.point import Point

BATCH = 6
PARAMS = {"v": jax.random.normal(jax.random.key(1), (5, 3)), "w": jax.random.normal(jax.random.key(0), (4, 5))}
INPUTS = jax.random.normal(jax.random.key(2), (BATCH, 4))
CLASSES = jnp.array([0, 0, 0, 0, 1, 2])
NOISE = jax.random.normal(jax.random.key(3), (BATCH, 4))
cross_entropy = optax.softmax_cross_entropy_with_integer_labels

Predict = Callable[[PyTree, Any], Any]


def dense(p: PyTree, x: Array) -> Array:
    return jnp.tanh(x @ p["w"]) @ p["v"]


def batch_norm(p: PyTree, x: Array) -> Array:
    h = x @ p["w"] + p["w"][0]
    return jnp.tanh((h - jnp.mean(h, axis=0)) / jnp.std(h, axis=0)) @ p["v"]


def ghost_batch_norm(p: PyTree, x: Array) -> Array:
    h = (x @ p["w"]).reshape(2, BATCH // 2, 5)
    return (h - jnp.mean(h, axis=1, keepdims=True)).reshape(BATCH, 5) @ p["v"]


def silent_branch(p: PyTree, x: Array) -> Array:
    """A residual branch that couples, behind a gain that starts at zero: outputs alone do not show it."""
    return dense(p, x) + p["gain"] * jnp.mean(x @ p["w"][:, :3], axis=0)


def own_noise(p: PyTree, x: Array) -> Array:
    mask = jax.random.bernoulli(jax.random.key(0), jnp.float32(0.5), (x.shape[0], 5))
    return (jnp.tanh(x @ p["w"]) * mask) @ p["v"]


@jax.custom_jvp
def centred_slope(h: Array) -> Array:
    """The identity, with a derivative rule that couples the examples."""
    return h


@centred_slope.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return primals[0], tangents[0] - jnp.mean(tangents[0], axis=0)


def small_and_coupled(p: PyTree, x: Array) -> Array:
    """Centred by a leaf of little influence, with a root of it, which no perturbation may turn negative."""
    own = jnp.sqrt(p["small"]) * x[:, :3]
    return 1e4 * dense(p, x) + own - jnp.mean(own, axis=0)


def contrastive(z: Array, y: Array) -> Array:
    return cross_entropy(z @ z.T, jnp.arange(z.shape[0]))


def balanced(z: Array, y: Array) -> Array:
    return cross_entropy(z, y) / jnp.bincount(y, length=3)[y]


def masked_mean(z: Array, y: Array) -> Array:
    return cross_entropy(z, y) * (y > 0) / jnp.sum(y > 0)


def ranking(z: Array, y: Array) -> Array:
    margins = jax.nn.softplus(1 - (z[:, None, 0] - z[None, :, 0]) * jnp.sign(y[:, None] - y[None, :]))
    return jnp.mean(margins, axis=1)


def over_the_spread(z: Array, y: Array) -> Array:
    """Divided by the spread of the classes, which a batch of one example does not have."""
    return cross_entropy(z, y) / jnp.var(y.astype(z.dtype))


def ones_over_their_sum(z: Array, y: Array) -> Array:
    mask = jnp.ones(z.shape[0])
    return cross_entropy(z, y) * mask / jnp.sum(mask)


SMALL = PARAMS | {"small": jnp.array([1e-3, 1.0, 1e-3])}
GAIN = PARAMS | {"gain": jnp.zeros(())}
MODEL, LOSS, BOTH = qn.curvature.Independence.MODEL, qn.curvature.Independence.LOSS, qn.curvature.Independence.BOTH
ALONE = qn.curvature.Independence.ALONE_FAILS
COUPLED: dict[str, tuple[PyTree, Predict, Callable, qn.curvature.Independence]] = {
    "batch-norm-after-a-bias": (PARAMS, batch_norm, cross_entropy, MODEL),
    "ghost-batch-norm": (PARAMS, ghost_batch_norm, cross_entropy, ALONE),
    "silent-branch": (GAIN, silent_branch, cross_entropy, MODEL),
    "noise-of-the-batch": (PARAMS, own_noise, cross_entropy, MODEL),
    "an-array-for-each-example": (PARAMS, lambda p, x: dense(p, x + NOISE), cross_entropy, ALONE),
    "divided-by-the-batch": (PARAMS, lambda p, x: dense(p, x) / x.shape[0], cross_entropy, MODEL),
    "to-the-power-of-the-batch": (PARAMS, lambda p, x: dense(p, x) ** x.shape[0], cross_entropy, MODEL),
    "a-leaf-of-little-influence": (SMALL, small_and_coupled, lambda z, y: jnp.sum(z**2, axis=-1), MODEL),
    "ones-over-their-sum": (PARAMS, dense, ones_over_their_sum, LOSS),
    "a-scalar-of-the-batch": (PARAMS, lambda p, x: dense(p, x) / jnp.max(jnp.arange(1, 1 + x.shape[0])), ranking, BOTH),
    "rolled": (PARAMS, lambda p, x: dense(p, x) + jnp.roll(dense(p, x), 1, axis=0), cross_entropy, MODEL),
    "in-batch-negatives": (PARAMS, dense, contrastive, LOSS),
    "class-balanced": (PARAMS, dense, balanced, LOSS),
    "mask-over-its-sum": (PARAMS, dense, masked_mean, LOSS),
    "ranking": (PARAMS, dense, ranking, LOSS),
    "over-the-spread": (PARAMS, dense, over_the_spread, LOSS),
    "a-weight-for-each-example": (PARAMS, dense, lambda z, y: cross_entropy(z, y) * (1 + NOISE[:, 0] ** 2), ALONE),
    "model-and-loss": (PARAMS, batch_norm, contrastive, BOTH),
}


def in_float64(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda a: a.astype(jnp.float64) if jnp.issubdtype(a.dtype, jnp.floating) else a, tree)


def oracles(params: PyTree, predict: Predict, loss: Callable) -> tuple[np.ndarray, np.ndarray]:
    """`J^T H J` and the Hessian, dense, of the mean loss over the whole batch."""
    with jax.enable_x64(True):
        w, unravel = ravel_pytree(in_float64(params))
        x = in_float64(INPUTS)

        def outputs(w: Array) -> Array:
            return predict(unravel(w), x).reshape(-1)

        def of_outputs(z: Array) -> Array:
            return jnp.mean(loss(z.reshape(BATCH, -1), CLASSES))

        jacobian = jax.jacobian(outputs)(w)
        gauss_newton = jacobian.T @ jax.hessian(of_outputs)(outputs(w)) @ jacobian
        return np.asarray(gauss_newton), np.asarray(jax.hessian(lambda w: of_outputs(outputs(w)))(w))


@pytest.mark.parametrize(("params", "predict", "loss", "kind"), COUPLED.values(), ids=COUPLED)
def test_coupled_objectives_have_the_curvature_of_the_whole_batch(
    params: PyTree, predict: Predict, loss: Callable, kind: qn.curvature.Independence
) -> None:
    objective, batch, (block,) = qn.Objective(predict, loss), (INPUTS, CLASSES), qn.whole(params)
    verdict = qn.independence(objective, params, batch)
    assert verdict.kind is kind
    assert verdict.where
    vector = jnp.linspace(-1, 1, block.n)

    def products(params: PyTree) -> tuple[Array, Array, Array]:
        point = Point.of(objective, params, batch)
        gauss_newton, hessian = qn.GaussNewton().operator(point, block), qn.Hessian().operator(point, block)
        assert path_of(gauss_newton) is Path.BATCH
        return gauss_newton.as_matrix(), gauss_newton.mv(vector), hessian.as_matrix()

    for name, found in (("with numbers", products(params)), ("traced", jax.jit(products)(params))):
        for expected, matrix in zip(oracles(params, predict, loss), (found[0], found[2]), strict=True):
            scale = np.abs(expected).max()
            np.testing.assert_allclose(matrix, expected, atol=1e-5 * scale, err_msg=name)
        np.testing.assert_allclose(found[1], found[0] @ vector, atol=1e-4 * np.abs(found[1]).max())


def test_numbers_decide_where_the_proof_fails() -> None:
    """A stop-gradiented maximum and a guard: the outputs of one example do not depend on the others."""

    def guarded(p: PyTree, x: Array) -> Array:
        h = dense(p, x)
        m = jax.lax.stop_gradient(jnp.max(h))
        return jnp.where(jnp.all(jnp.isfinite(h)), h - m - jnp.log(jnp.sum(jnp.exp(h - m), -1, keepdims=True)), 0)

    objective, batch = qn.Objective(guarded, cross_entropy), (INPUTS, CLASSES)
    assert qn.independence(objective, PARAMS, batch).kind is qn.curvature.Independence.SEEN
    (block,) = qn.whole(PARAMS)
    expected, _ = oracles(PARAMS, guarded, cross_entropy)
    matrix = qn.GaussNewton().form(objective, PARAMS, batch, block).operator.as_matrix()
    np.testing.assert_allclose(matrix, expected, atol=1e-5 * np.abs(expected).max())
    qn.kfac(objective).update(jax.grad(objective)(PARAMS, batch), qn.kfac(objective).init(PARAMS), PARAMS, batch=batch)


def test_a_loss_without_proof_is_presumed_under_jit_and_compared() -> None:
    """Labels picked from all entries in a row; and one that couples for these targets alone."""

    def picked(z: Array, y: Array) -> Array:
        return -jax.nn.log_softmax(z).reshape(-1)[jnp.arange(z.shape[0]) * z.shape[1] + y]

    def couples_above_one(z: Array, y: Array) -> Array:
        return picked(z, y) * (1 + jnp.sum(y > 1))

    expected, _ = oracles(PARAMS, dense, picked)
    for loss, status in ((picked, qn.Status.OK), (couples_above_one, qn.Status.COUPLED)):
        objective, optimizer = qn.Objective(dense, loss), qn.newton(qn.Objective(dense, loss), solver=qn.Cholesky())
        (block,) = qn.whole(PARAMS)

        @jax.jit
        def both(p: PyTree, b: Any, o: Any = objective, optimizer: Any = optimizer, block: Any = block) -> tuple:
            matrix = qn.GaussNewton().form(o, p, b, block).operator.as_matrix()
            return matrix, optimizer.update(jax.grad(o)(p, b), optimizer.init(p), p, batch=b)[1].info.blocks[0]

        matrix, info = both(PARAMS, (INPUTS, CLASSES))
        assert (int(info.status), int(info.independence)) == (status, qn.curvature.Independence.PRESUMED)
        if status is qn.Status.OK:
            np.testing.assert_allclose(matrix, expected, atol=1e-5 * np.abs(expected).max())
        else:
            assert bool(jnp.all(jnp.isnan(matrix)))


def test_a_statistic_of_the_batch_counts_where_it_takes_effect() -> None:
    """Clipped by the norm of the whole batch here, and not so a little aside; and the other way round."""

    def clipped(share: float) -> Predict:
        limit = share * float(jnp.linalg.norm(INPUTS @ PARAMS["w"]))
        return lambda p, x: (h := x @ p["w"]) * jnp.minimum(1, limit / jnp.linalg.norm(h)) @ p["v"]

    for share, kind in ((0.99, MODEL), (1.05, qn.curvature.Independence.SEEN)):
        objective = qn.Objective(clipped(share), cross_entropy)
        assert qn.independence(objective, PARAMS, (INPUTS, CLASSES)).kind is kind


def test_a_statistic_of_the_batch_counts_where_only_derivatives_show_it() -> None:
    """At the very limit of a clip from above, and of one from below: a little aside one of them is out of effect."""
    length = float(jnp.linalg.norm(INPUTS @ PARAMS["w"]))

    def clipped(at_most: bool) -> Predict:
        bound, limit = (jnp.minimum, length * (1 - 1e-6)) if at_most else (jnp.maximum, length * (1 + 1e-6))
        return lambda p, x: (h := x @ p["w"]) * bound(1, limit / jnp.linalg.norm(h)) @ p["v"]

    for at_most in (True, False):
        objective = qn.Objective(clipped(at_most), cross_entropy)
        assert qn.independence(objective, PARAMS, (INPUTS, CLASSES)).kind is MODEL


def test_what_is_infinite_in_the_batch_and_alone_is_no_coupling() -> None:
    """Logits of minus infinity under a mask, and a global maximum so that the proof fails."""

    def masked(p: PyTree, x: Array) -> Array:
        h = dense(p, x)
        return jnp.where(jnp.arange(3) == 2, -jnp.inf, h - 0 * jnp.max(h))

    def loss(z: Array, y: Array) -> Array:
        return cross_entropy(z, jnp.minimum(y, 1))

    objective = qn.Objective(masked, loss)
    assert qn.independence(objective, PARAMS, (INPUTS, CLASSES)).kind is qn.curvature.Independence.SEEN


def test_a_derivative_rule_of_ones_own_is_compared() -> None:
    objective = qn.Objective(lambda p, x: dense(p, centred_slope(x @ p["w"][:, :4])), cross_entropy)
    assert qn.independence(objective, PARAMS, (INPUTS, CLASSES)).kind is qn.curvature.Independence.MODEL


def test_no_eigenvalue_floor_for_a_coupled_loss_that_is_not_convex() -> None:
    """In-batch negatives have negative eigenvalues; class weights leave a cross-entropy convex."""
    batch, (block,) = (INPUTS, CLASSES), qn.whole(PARAMS)

    def floor(loss: Callable) -> float:
        point = Point.of(qn.Objective(dense, loss), PARAMS, batch)
        found = qn.GaussNewton().floor(point, block)
        assert found is not None
        return float(found)

    assert np.linalg.eigvalsh(oracles(PARAMS, dense, contrastive)[0])[0] < -1e-3
    assert floor(contrastive) == -np.inf
    assert np.linalg.eigvalsh(oracles(PARAMS, dense, balanced)[0])[0] > -1e-12
    assert floor(balanced) == 0


def test_what_is_made_of_single_examples_says_so_by_name() -> None:
    objective, batch = qn.Objective(batch_norm, cross_entropy), (INPUTS, CLASSES)
    gradients = jax.grad(objective)(PARAMS, batch)
    (block,) = qn.whole(PARAMS)
    place = r"is made of single examples, and here the model couples.*reduce_sum.*test_independence\.py.*GaussNewton"
    with pytest.raises(ValueError, match="The empirical Fisher matrix " + place):
        qn.EmpiricalFisher().form(objective, PARAMS, batch, block)
    with pytest.raises(ValueError, match="Microbatched curvature " + place):
        qn.Microbatched(qn.GaussNewton(), 2).form(objective, PARAMS, batch, block)
    for name, optimizer in (("K-FAC", qn.kfac(objective)), ("fisher_newton", qn.fisher_newton(objective))):
        with pytest.raises(ValueError, match=f"{name} {place}"):
            optimizer.update(gradients, optimizer.init(PARAMS), PARAMS, batch=batch)


def test_under_jit_a_use_of_single_examples_tells_by_its_status() -> None:
    for predict, expected in (
        (batch_norm, qn.Status.COUPLED),
        (lambda p, x: dense(p, x) - 0 * jnp.max(x), qn.Status.OK),
    ):
        objective, batch = qn.Objective(predict, cross_entropy), (INPUTS, CLASSES)
        for optimizer in (qn.kfac(objective), qn.fisher_newton(objective)):
            state = optimizer.init(PARAMS)
            updates, state = jax.jit(
                lambda p, b, s, o=optimizer, f=objective: o.update(jax.grad(f)(p, b), s, p, batch=b)
            )(PARAMS, batch, state)
            assert set(np.asarray(state.info.status).tolist()) == {int(expected)}
            assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(updates))


@pytest.mark.parametrize(
    ("predict", "loss"),
    [(batch_norm, cross_entropy), (batch_norm, balanced), (ghost_batch_norm, cross_entropy)],
    ids=["coupled-model", "coupled-both", "model-that-does-not-run-alone"],
)
def test_coupled_objectives_train(predict: Predict, loss: Callable) -> None:
    objective, batch = qn.Objective(predict, loss), (INPUTS, CLASSES)
    for optimizer in (
        qn.newton(objective, solver=qn.Cholesky(), partition=qn.per_tensor),
        qn.newton(objective, solver=qn.CG(rtol=1e-3)),
        qn.dual_newton(objective),
        qn.recipe(objective, PARAMS, batch),
    ):

        @jax.jit
        def step(p: PyTree, s: Any, b: Any, optimizer: Any = optimizer) -> tuple[PyTree, Any]:
            updates, s = optimizer.update(jax.grad(objective)(p, b), s, p, batch=b)
            return optax.apply_updates(p, updates), s

        params, state = PARAMS, optimizer.init(PARAMS)
        for _ in range(6):
            params, state = step(params, state, batch)
        assert objective(params, batch) < 0.5 * objective(PARAMS, batch)


def test_outputs_may_be_any_pytree() -> None:
    """Policy and value, with classes beside them: the same block as of the two outputs side by side."""

    def policy_and_value(p: PyTree, x: Array) -> dict[str, Array]:
        h = jnp.tanh(x @ p["w"])
        logits = h @ p["v"]
        # More than a float32 holds.
        labels = 2**25 + 1 + jnp.argmax(logits, axis=-1)
        return {"logits": logits, "class": labels, "value": h[:, 0]}

    def loss(z: dict[str, Array], y: Array) -> Array:
        exact = z["class"] - 2**25 - 1 == jnp.argmax(z["logits"], axis=-1)
        return jnp.where(exact, cross_entropy(z["logits"], y) + (z["value"] - 1) ** 2, 0)

    def joined(p: PyTree, x: Array) -> Array:
        z = policy_and_value(p, x)
        return jnp.concatenate([z["logits"], z["value"][:, None]], axis=1)

    def joined_loss(z: Array, y: Array) -> Array:
        return cross_entropy(z[:, :3], y) + (z[:, 3] - 1) ** 2

    objective, batch, (block,) = qn.Objective(policy_and_value, loss), (INPUTS, CLASSES), qn.whole(PARAMS)
    assert qn.independence(objective, PARAMS, batch).kind is qn.curvature.Independence.PROVEN
    expected, hessian = oracles(PARAMS, joined, joined_loss)
    for curvature, dense_matrix in ((qn.GaussNewton(), expected), (qn.Hessian(), hessian)):
        matrix = curvature.form(objective, PARAMS, batch, block).operator.as_matrix()
        np.testing.assert_allclose(matrix, dense_matrix, atol=1e-5 * np.abs(dense_matrix).max())
    for optimizer in (qn.kfac(objective), qn.dual_newton(objective)):
        params, state = PARAMS, optimizer.init(PARAMS)
        for _ in range(3):
            updates, state = optimizer.update(jax.grad(objective)(params, batch), state, params, batch=batch)
            params = optax.apply_updates(params, updates)
        assert objective(params, batch) < 0.9 * objective(PARAMS, batch)


def test_complex_outputs_are_their_two_parts() -> None:
    """A loss of the modulus, in which real and imaginary part enter together, and a model that couples examples."""

    def parts(p: PyTree, x: Array) -> Array:
        h = jnp.tanh(x @ p["w"])
        return (h - 0.5 * h.mean(0)) @ p["v"]

    def predict(p: PyTree, x: Array) -> Array:
        z = parts(p, x)
        return jax.lax.complex(z[:, :2], z[:, 1:])

    def loss(z: Array, y: Array) -> Array:
        return jnp.sum(jnp.log(1 + jnp.abs(z - 1j) ** 2), axis=1)

    def joined(p: PyTree, x: Array) -> Array:
        z = parts(p, x)
        return jnp.concatenate([z[:, :2], z[:, 1:]], axis=1)

    def joined_loss(z: Array, y: Array) -> Array:
        return jnp.sum(jnp.log(1 + z[:, :2] ** 2 + (z[:, 2:] - 1) ** 2), axis=1)

    objective, batch, (block,) = qn.Objective(predict, loss), (INPUTS, CLASSES), qn.whole(PARAMS)
    assert qn.independence(objective, PARAMS, batch).kind is qn.curvature.Independence.MODEL
    expected, hessian = oracles(PARAMS, joined, joined_loss)
    for curvature, dense_matrix in ((qn.GaussNewton(), expected), (qn.Hessian(), hessian)):
        form = jax.jit(lambda p, b, curvature=curvature: curvature.form(objective, p, b, block).operator.as_matrix())
        np.testing.assert_allclose(form(PARAMS, batch), dense_matrix, atol=1e-5 * np.abs(dense_matrix).max())
    optimizer, gradient = qn.dual_newton(objective), jax.grad(objective)
    state = optimizer.init(PARAMS)
    jax.eval_shape(lambda b: optimizer.update(gradient(PARAMS, b), state, PARAMS, batch=b), batch)
    assert not linear_in_outputs(objective, PARAMS, batch)
    squares = qn.Objective(predict, lambda z, y: jnp.sum(z.real**2 + (z.imag - 1) ** 2, axis=1))
    assert quadratic_in_outputs(squares, PARAMS, batch)


def test_inputs_may_hold_scalars_keys_and_shared_arrays() -> None:
    table = jnp.linspace(0.5, 1.5, 4)

    def predict(p: PyTree, x: PyTree) -> Array:
        noise = jax.random.normal(x["key"], (4,))
        return dense(p, x["x"] * x["table"].value * x["temperature"] + noise)

    inputs = {"x": INPUTS, "temperature": jnp.array(0.5), "key": jax.random.key(7), "table": qn.Shared(table)}
    objective, (block,) = qn.Objective(predict, cross_entropy), qn.whole(PARAMS)
    assert qn.independence(objective, PARAMS, (inputs, CLASSES)).kind is qn.curvature.Independence.PROVEN
    matrix = qn.GaussNewton().form(objective, PARAMS, (inputs, CLASSES), block).operator.as_matrix()
    noise = jax.random.normal(jax.random.key(7), (4,))
    expected, _ = oracles(PARAMS, lambda p, x: dense(p, x * table * 0.5 + noise), cross_entropy)
    np.testing.assert_allclose(matrix, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    "predict",
    [
        lambda p, x: dense(p, x[:, None].squeeze()),
        lambda p, x: (jnp.tanh(x @ p["w"]) @ p["v"][:, :1]).squeeze(),
    ],
    ids=["inside", "of-the-outputs"],
)
def test_a_squeeze_that_drops_a_batch_of_one_is_computed_from_the_whole_batch(predict: Predict) -> None:
    def loss(z: Array, y: Array) -> Array:
        return (z.reshape(BATCH, -1)[:, 0] - y) ** 2

    objective, batch, (block,) = qn.Objective(predict, loss), (INPUTS, CLASSES), qn.whole(PARAMS)
    verdict = qn.independence(objective, PARAMS, batch)
    assert verdict.kind is qn.curvature.Independence.ALONE_FAILS
    expected, _ = oracles(PARAMS, predict, loss)
    matrix = qn.GaussNewton().form(objective, PARAMS, batch, block).operator.as_matrix()
    np.testing.assert_allclose(matrix, expected, atol=1e-5 * np.abs(expected).max())
    with pytest.raises(ValueError, match=r"K-FAC is made of single examples.*name the axis that it means"):
        qn.kfac(objective).update(PARAMS, qn.kfac(objective, example=INPUTS).init(PARAMS), PARAMS, batch=batch)


class Norm(nn.Module):
    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = nn.max_pool(nn.Conv(2, (3, 3))(x), (2, 2), (2, 2))
        x = nn.relu(nn.BatchNorm(use_running_average=False)(x))
        return nn.Dense(3)(x.reshape((x.shape[0], -1)))


def test_running_means_pass_through() -> None:
    """flax's batch normalisation after convolution, bias and pooling, its statistics in and out."""
    images = jax.random.normal(jax.random.key(4), (BATCH, 6, 6, 1))
    variables = Norm().init(jax.random.key(0), images)
    params, statistics = variables["params"], variables["batch_stats"]

    def predict(p: PyTree, x: PyTree) -> tuple[Array, PyTree]:
        image, running = x
        outputs, new = Norm().apply({"params": p, "batch_stats": running.value}, image, mutable=["batch_stats"])
        return outputs, new["batch_stats"]

    objective = qn.Objective(predict, cross_entropy, has_state=True)
    batch = (images, qn.Shared(statistics)), CLASSES
    (value, after), gradients = jax.value_and_grad(objective.value_and_state, has_aux=True)(params, batch)
    plain = jax.grad(objective)(params, batch)
    for one, other in zip(jax.tree.leaves(gradients), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(value, objective(params, batch), rtol=1e-6)
    outputs, new = Norm().apply(variables, images, mutable=["batch_stats"])
    for one, other in zip(jax.tree.leaves(after), jax.tree.leaves(new["batch_stats"]), strict=True):
        np.testing.assert_array_equal(one, other)

    w, unravel = ravel_pytree(params)
    jacobian = jax.jacobian(lambda w: predict(unravel(w), batch[0])[0].reshape(-1))(w)
    curvature = jax.hessian(lambda z: jnp.mean(cross_entropy(z.reshape(BATCH, 3), CLASSES)))(outputs.reshape(-1))
    expected = jacobian.T @ curvature @ jacobian
    (block,) = qn.whole(params)
    matrix = qn.GaussNewton().form(objective, params, batch, block).operator.as_matrix()
    np.testing.assert_allclose(matrix, expected, atol=1e-5 * np.abs(expected).max())
    optimizer = qn.newton(objective, solver=qn.Cholesky())
    state, trained = optimizer.init(params), params

    @jax.jit
    def step(params: PyTree, state: Any) -> tuple[PyTree, Any]:
        gradients = jax.grad(objective)(params, batch)
        updates, state = optimizer.update(gradients, state, params, batch=batch)
        return optax.apply_updates(params, updates), state

    # The loss hardly minds the size of normalised weights, so the first steps are long, and one may be refused.
    for _ in range(3):
        trained, state = step(trained, state)
    assert objective(trained, batch) < 0.9 * value
    with pytest.raises(ValueError, match=r"has_state=True"):
        qn.Objective(lambda p, x: predict(p, x)[0], cross_entropy).value_and_state(params, batch)


@jax.custom_vjp
def linear(w: Array, x: Array) -> Array:
    return x @ w


linear.defvjp(lambda w, x: (x @ w, (w, x)), lambda kept, g: (kept[1].T @ g, g @ kept[0].T))


def test_derivative_rules_for_reverse_mode_alone_serve_every_way() -> None:
    def predict(p: PyTree, x: Array) -> Array:
        return linear(p["v"], jnp.tanh(linear(p["w"], x)))

    objective, batch, (block,) = qn.Objective(predict, cross_entropy), (INPUTS, CLASSES), qn.whole(PARAMS)
    expected, _ = oracles(PARAMS, dense, cross_entropy)
    point, vector = Point.of(objective, PARAMS, batch), jnp.linspace(-1, 1, block.n)
    operator = qn.GaussNewton().operator(point, block)
    np.testing.assert_allclose(operator.as_matrix(), expected, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_allclose(operator.mv(vector), expected @ vector, atol=1e-4)
    gradients = jax.grad(objective)(PARAMS, batch)
    for optimizer in (
        qn.newton(objective, solver=qn.CG()),
        qn.kfac(objective),
        qn.dual_newton(objective),
        qn.fisher_newton(objective),
    ):
        updates, _ = optimizer.update(gradients, optimizer.init(PARAMS), PARAMS, batch=batch)
        assert objective(optax.apply_updates(PARAMS, updates), batch) < objective(PARAMS, batch)


def test_the_models_own_exceptions_arrive_unchanged() -> None:
    def mistyped(p: PyTree, x: Array) -> Array:
        return x @ p["w"] + None  # pyright: ignore[reportOptionalOperand]

    def undefined(p: PyTree, x: Array) -> Array:
        return undefined_name(x @ p["w"])  # pyright: ignore[reportUndefinedVariable]

    for predict, error, text in ((mistyped, TypeError, "NoneType"), (undefined, NameError, "undefined_name")):
        objective = qn.Objective(predict, cross_entropy)
        for call in (
            lambda o=objective: qn.kfac(o).init(PARAMS),
            lambda o=objective: qn.kfac(o, example=INPUTS).init(PARAMS),
            lambda o=objective: qn.recipe(o, PARAMS, (INPUTS, CLASSES)),
            lambda o=objective: qn.independence(o, PARAMS, (INPUTS, CLASSES)),
            lambda o=objective: qn.spectrum(o, PARAMS, (INPUTS, CLASSES)),
        ):
            with pytest.raises(error, match=text):
                call()


def test_whether_a_model_takes_a_key_is_read_from_its_signature() -> None:
    def keyed(p: PyTree, x: Array, *, key: Array) -> Array:
        return dense(p, x) * jax.random.bernoulli(key, 0.5, (3,))

    objective, batch = qn.Objective(keyed, cross_entropy), (INPUTS, CLASSES)
    assert objective.needs_key
    assert not qn.Objective(dense, cross_entropy).takes_key
    qn.recipe(objective, PARAMS, batch)
    qn.kfac(objective).init(PARAMS)
    assert qn.spectrum(objective, PARAMS, batch, partition=qn.per_tensor)[0].n == 15
    # A key that the model does not take is not handed to it.
    plain = qn.Objective(dense, cross_entropy)
    np.testing.assert_array_equal(plain(PARAMS, batch, jax.random.key(1)), plain(PARAMS, batch))

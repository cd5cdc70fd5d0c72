"""Gauss-Newton blocks claim semidefiniteness only where the loss shows it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import qnewton as qn


def predict(w, x):
    return x @ w


def softmax(z, y):
    return optax.softmax_cross_entropy_with_integer_labels(z, y)


def squares(z, y):
    return jnp.sum((z - y[:, None]) ** 2, axis=-1)


def cosine(z, y):
    return jnp.sum(-jnp.cos(z - y[:, None]), axis=-1)


def floor_of(loss, scale=1.0, **options):
    x, y = jnp.linspace(-2, 2, 15).reshape(5, 3), jnp.arange(5) % 4
    w = scale * jnp.sin(jnp.arange(12.0)).reshape(3, 4)
    (block,) = qn.whole(w)
    form = jax.jit(lambda w: qn.GaussNewton(**options).form(qn.Objective(predict, loss), w, (x, y), block))
    return form(w)


@pytest.mark.parametrize("scale", [1.0, 10.0, 1000.0])
@pytest.mark.parametrize("loss", [softmax, squares])
def test_a_convex_loss_is_seen(loss, scale):
    assert float(floor_of(loss, scale).eigenvalue_floor) == 0


def test_a_loss_that_is_not_convex_gets_no_certificate():
    system = floor_of(cosine, 3.0)
    assert np.linalg.eigvalsh(np.asarray(system.matrix, np.float64))[0] < -1e-2
    assert float(system.eigenvalue_floor) == -np.inf
    damped = qn.Damp(1e-3)(system, jnp.ones(()))
    estimate = qn.estimators.Certified()(damped)
    assert not bool(estimate.definite)
    assert np.isinf(float(estimate.condition_number))


def test_the_unit_of_the_loss_makes_it_neither_convex_nor_the_contrary():
    assert float(floor_of(lambda z, y: 1e-9 * cosine(z, y), 3.0).eigenvalue_floor) == -np.inf
    # Saturated, so that the curvature is mostly rounding.
    for unit in (1e-9, 1e6):
        assert float(floor_of(lambda z, y, unit=unit: unit * softmax(z, y), 10.0).eigenvalue_floor) == 0


def test_a_claim_is_taken_at_its_word():
    assert float(floor_of(cosine, convex_loss=True).eigenvalue_floor) == 0
    assert floor_of(softmax, convex_loss=False).eigenvalue_floor is None

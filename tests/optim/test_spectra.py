"""`qn.spectrum` of a model against dense derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qnewton as qn
from qnewton.testing import dense_hessian_block


def model():
    keys = jax.random.split(jax.random.key(0), 4)
    params = {"w": jax.random.normal(keys[0], (4, 5)), "v": jax.random.normal(keys[1], (5, 3)) / 2}
    batch = jax.random.normal(keys[2], (30, 4)), jax.random.normal(keys[3], (30, 3))
    objective = qn.Objective(lambda p, x: jnp.tanh(x @ p["w"]) @ p["v"], lambda y, t: jnp.sum((y - t) ** 2, axis=-1))
    return objective, params, batch


def test_eigenvalues_are_those_of_the_dense_hessian():
    with jax.enable_x64(True):
        objective, params, batch = model()
        found = qn.spectrum(objective, params, batch, curvature=qn.Hessian(), partition=qn.per_tensor)
        for block, spectrum in zip(qn.per_tensor(params), found, strict=True):
            values = np.linalg.eigvalsh(dense_hessian_block(objective, params, batch, block))
            np.testing.assert_allclose(spectrum.eigenvalues, values, atol=1e-9 * np.abs(values).max())
            assert spectrum.negative == np.sum(values < 0)
            assert (spectrum.name, spectrum.n, spectrum.kind) == (block.name, block.n, qn.estimators.Kind.EXACT)


def test_conditioning_comes_first():
    objective, params, batch = model()
    (raw,) = qn.spectrum(objective, params, batch)
    (damped,) = qn.spectrum(objective, params, batch, conditioning=[qn.Shift(0.5)], scale=2.0)
    np.testing.assert_allclose(damped.eigenvalues, raw.eigenvalues + 1, rtol=1e-4)
    assert damped.damping == 1
    assert damped.condition_number == pytest.approx(damped.eigenvalues[-1] / damped.eigenvalues[0])


def test_a_block_that_is_not_formed_gets_a_density_and_the_default_estimate():
    objective, params, batch = model()
    (exact,) = qn.spectrum(objective, params, batch, conditioning=[qn.Shift(0.1)])
    (found,) = qn.spectrum(objective, params, batch, conditioning=[qn.Shift(0.1)], exact_up_to=4)
    assert found.kind is qn.estimators.Kind.ESTIMATE
    assert found.condition_number == pytest.approx(exact.condition_number, rel=0.05)
    assert np.sum(found.weights) == pytest.approx(35, rel=1e-4)
    assert np.sum(found.weights * found.eigenvalues) == pytest.approx(np.sum(exact.eigenvalues), rel=0.2)
    assert found.degrees == exact.degrees


def test_what_is_not_finite_is_said():
    objective, params, batch = model()
    broken = {**params, "w": params["w"].at[0, 0].set(jnp.nan)}
    for most in (100, 4):
        with pytest.raises(ValueError, match=r"block params holds NaN or infinity, at row 0, column"):
            qn.spectrum(objective, broken, batch, exact_up_to=most)

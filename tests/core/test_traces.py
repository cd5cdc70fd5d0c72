"""Traces, as numpy has them."""

import jax.numpy as jnp
import numpy as np
import pytest

from qnewton._core.traces import trace


@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (3, 4, 4), (2, 0, 0)])
def test_traces_are_those_of_numpy(shape: tuple[int, ...]):
    matrices = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    np.testing.assert_allclose(trace(jnp.asarray(matrices)), np.trace(matrices, axis1=-2, axis2=-1), rtol=1e-6)


def test_what_is_not_finite_on_the_diagonal_shows():
    assert not np.isfinite(trace(jnp.asarray([[1.0, 0.0], [0.0, np.inf]])))
    assert np.isfinite(trace(jnp.asarray([[1.0, np.nan], [0.0, 2.0]])))

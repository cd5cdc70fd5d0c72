"""Decompositions agree with numpy's, and say nothing on the standard error of what is not finite."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qnewton._core.decompositions import singular_values, svd
from qnewton._core.records import System
from qnewton._estimation import Exact


def test_a_finite_matrix_is_decomposed_as_numpy_does():
    matrix = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    left, values, right = svd(jnp.asarray(matrix))
    np.testing.assert_allclose((left * values) @ right, matrix, atol=1e-5)
    np.testing.assert_allclose(values, np.linalg.svd(matrix.astype(np.float64))[1], rtol=1e-5)
    np.testing.assert_allclose(singular_values(jnp.asarray(matrix)), values, rtol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_nan_without_a_word_of_lapack(bad, capfd):
    matrix = jnp.eye(70).at[0, 69].set(bad)
    parts = jax.block_until_ready([*svd(matrix), singular_values(matrix)])
    assert all(np.isnan(part).all() for part in parts)
    assert np.isinf(Exact()(System.of(matrix, symmetric=False)).log_condition_number)
    assert capfd.readouterr() == ("", "")

"""A triangle becomes the symmetric matrix, at once or tile by tile."""

import jax
import numpy as np
import pytest

from qnewton._curvature.formation import mirrored


# Tiles of 128 rows, from 8 of them on: none, tiles alone, and tiles with rows left over.
@pytest.mark.parametrize("n", [1, 5, 1023, 1024, 1061])
def test_the_upper_triangle_is_mirrored_and_what_stood_below_is_gone(n: int) -> None:
    matrix = np.random.default_rng(n).standard_normal((n, n)).astype(np.float32)
    expected = np.triu(matrix) + np.triu(matrix, 1).T
    np.testing.assert_array_equal(jax.jit(mirrored)(matrix), expected)

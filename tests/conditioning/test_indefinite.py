"""Shifting an indefinite system until it is definite, and no further than that needs."""

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

from qnewton._conditioning import PruneRows, ShiftLowest
from qnewton._core.operators import Shifted
from qnewton._core.records import System
from qnewton.testing import DenseBlock, symmetric_with_spectrum

# Spectra whose lowest eigenvalue Lanczos finds, and one where it lies in a cluster.
SPECTRA = {
    "one negative": [-2.0, *np.linspace(0.1, 3, 29)],
    "many negative": np.linspace(-5, 1, 30),
    "clustered": [*np.full(10, -1.0), *np.full(20, 4.0)],
    "all negative": np.linspace(-3, -2, 30),
    "tiny": [-1e-6, *np.linspace(1, 2, 29)],
}


@pytest.mark.parametrize("spectrum", SPECTRA.values(), ids=SPECTRA.keys())
def test_a_formed_matrix_becomes_definite_by_about_its_lowest_eigenvalue(spectrum, dtype) -> None:
    matrix = symmetric_with_spectrum(spectrum, seed=1)
    before = System.of(jnp.asarray(matrix, dtype), symmetric=True)
    after = jax.jit(ShiftLowest(margin=0.1))(before, jnp.ones((), dtype))
    shifted = np.linalg.eigvalsh(np.asarray(after.matrix, np.float64))
    lowest, rounding = min(spectrum), 40 * np.finfo(dtype).eps * np.max(np.abs(spectrum))
    assert shifted[0] > -rounding
    assert float(after.damping) <= -1.1 * lowest * 1.01 + 4 * rounding
    np.testing.assert_allclose(shifted, np.sort(spectrum) + float(after.damping), atol=rounding)


def test_a_definite_matrix_stays_as_it_is() -> None:
    matrix = jnp.asarray(symmetric_with_spectrum(np.geomspace(1e-3, 1, 12), seed=0), jnp.float32)
    after = ShiftLowest()(System.of(matrix, symmetric=True), jnp.ones(()))
    np.testing.assert_array_equal(after.matrix, matrix)
    assert after.damping == 0


def test_one_lanczos_step_is_too_few_and_the_factorisation_finds_out() -> None:
    """The Ritz value of one step is positive here, so without the confirmation nothing would be shifted."""
    spectrum = [-1.0, *np.full(19, 10.0)]
    before = System.of(jnp.asarray(symmetric_with_spectrum(spectrum, seed=2), jnp.float32), symmetric=True)
    after = jax.jit(ShiftLowest(steps=1))(before, jnp.ones(()))
    assert np.linalg.eigvalsh(np.asarray(after.matrix, np.float64))[0] > -1e-5
    assert float(after.damping) < 4


def test_a_block_that_was_not_formed_is_shifted_without_forming_it() -> None:
    block = DenseBlock(jnp.asarray(symmetric_with_spectrum(np.linspace(-2, 5, 15), seed=3), jnp.float32))
    before = System.over(Shifted(block, jnp.float32(0.5)), symmetric=True)
    after = ShiftLowest(margin=0.0)(before, jnp.ones(()))
    assert isinstance(after.operator, Shifted)
    np.testing.assert_allclose(after.operator.shift, 0.5 + 1.5, rtol=1e-5)


def test_a_matrix_that_is_not_finite_comes_to_an_end() -> None:
    before = System.of(jnp.full((3, 3), jnp.nan), symmetric=True)
    after = jax.jit(ShiftLowest())(before, jnp.ones(()))
    assert not np.any(np.isfinite(after.matrix))


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"margin is -0\.1"):
        ShiftLowest(margin=-0.1)
    unsymmetric = PruneRows(0.5)(System.of(jnp.eye(4) + jnp.ones((4, 4)), symmetric=True), jnp.ones(()))
    with pytest.raises(ValueError, match="pruned row by row"):
        ShiftLowest()(unsymmetric, jnp.ones(()))
    assert isinstance(unsymmetric.operator, lx.MatrixLinearOperator)

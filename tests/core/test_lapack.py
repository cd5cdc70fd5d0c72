"""LAPACK without the rest of `scipy.linalg`: jax factorises, and scipy is as it was."""

import subprocess
import sys

SCRIPT = """
import sys
import jax, jax.numpy as jnp, numpy as np
from qnewton._core.lapack import LIBRARIES, load_lapack

load_lapack()
matrix = jnp.asarray([[2.0, 1.0], [1.0, 3.0]])
factor, values = jnp.linalg.cholesky(matrix), jnp.linalg.svd(matrix, compute_uv=False)
assert "scipy.linalg" not in sys.modules, "jaxlib imported it after all"
assert not set(LIBRARIES) & set(sys.modules)

import scipy.linalg
import scipy.linalg.cython_blas, scipy.linalg.cython_lapack

assert scipy.linalg.cython_blas.__pyx_capi__ and scipy.linalg.cython_lapack.__pyx_capi__
np.testing.assert_allclose(factor, scipy.linalg.cholesky(matrix, lower=True), rtol=1e-6)
np.testing.assert_allclose(values, scipy.linalg.svdvals(matrix), rtol=1e-6)
"""


def test_factorisations_do_without_the_rest_of_scipy_linalg_which_loads_later_all_the_same() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr

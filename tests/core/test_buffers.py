"""Workspaces that no plan contains, against the manual's formulas."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from qnewton._core.buffers import library_bytes

N = 10
SQUARE = jax.ShapeDtypeStruct((N, N), jnp.float32)


@pytest.mark.parametrize(("width", "itemsize"), [(jnp.float32, 4), (jnp.float64, 8)])
def test_workspaces_are_those_of_the_routines_documentation(width: Any, itemsize: int) -> None:
    with jax.enable_x64(True):
        matrix, tall = jax.ShapeDtypeStruct((N, N), width), jax.ShapeDtypeStruct((5 * N, N), width)
        eigen = jax.make_jaxpr(lambda a: jax.lax.cond(a[0, 0] > 0, lambda: jnp.linalg.eigh(a)[1], lambda: a))(matrix)
        singular = jax.make_jaxpr(lambda a: jnp.linalg.svd(a, full_matrices=False))(tall)
    assert library_bytes(eigen) == itemsize * (1 + 6 * N + 2 * N**2) + 4 * (3 + 5 * N)
    assert library_bytes(singular) == itemsize * (4 * N**2 + 7 * N) + 4 * 8 * N
    assert library_bytes(jax.make_jaxpr(jnp.linalg.cholesky)(SQUARE)) == 0

"""Memory counted from a jaxpr, against counts by hand."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from qnewton.core.buffers import library_bytes, live_bytes

N = 10
MATRIX = 4 * N * N
SQUARE = jax.ShapeDtypeStruct((N, N), jnp.float32)


def counted(function: Callable[..., Any]) -> float:
    return live_bytes(jax.make_jaxpr(function)(SQUARE)) / MATRIX


def looped(a: jax.Array) -> jax.Array:
    return jax.lax.fori_loop(0, 3, lambda _, b: (b @ a) @ a, a)


# In matrices.
CASES: dict[str, tuple[Callable[[jax.Array], Any], int]] = {
    "each product beside the one that it is made of": (lambda a: ((a @ a) @ a) @ a, 2),
    "results stay to the end": (lambda a: (a @ a, (a @ a.T) @ a, a.T @ a), 4),
    "a sum reads elementwise operations as it goes": (lambda a: jnp.sum(jnp.sin(2 * a + 1)), 0),
    "a product needs its operand as a matrix": (lambda a: jnp.sin(2 * a + 1) @ a, 2),
    "what nothing reads is not computed": (lambda a: (a @ a, (a @ a) @ a)[0], 1),
    "a loop holds what it carries beside its body": (looped, 3),
    "of two branches the larger": (
        lambda a: jax.lax.cond(jnp.sum(a) > 0, lambda: ((a @ a) @ a) @ a, lambda: a @ a),
        2,
    ),
    "a function within a function is as if written out": (lambda a: jax.jit(lambda b: (b @ b) @ b)(a) @ a, 2),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_alive_at_once_is_counted(name: str) -> None:
    function, matrices = CASES[name]
    assert counted(function) == pytest.approx(matrices, abs=0.05)


@pytest.mark.parametrize(("width", "itemsize"), [(jnp.float32, 4), (jnp.float64, 8)])
def test_workspaces_are_those_of_the_routines_documentation(width: Any, itemsize: int) -> None:
    with jax.enable_x64(True):
        matrix, tall = jax.ShapeDtypeStruct((N, N), width), jax.ShapeDtypeStruct((5 * N, N), width)
        eigen = jax.make_jaxpr(lambda a: jax.lax.cond(a[0, 0] > 0, lambda: jnp.linalg.eigh(a)[1], lambda: a))(matrix)
        singular = jax.make_jaxpr(lambda a: jnp.linalg.svd(a, full_matrices=False))(tall)
    assert library_bytes(eigen) == itemsize * (1 + 6 * N + 2 * N**2) + 4 * (3 + 5 * N)
    assert library_bytes(singular) == itemsize * (4 * N**2 + 7 * N) + 4 * 8 * N
    assert library_bytes(jax.make_jaxpr(jnp.linalg.cholesky)(SQUARE)) == 0

"""The inversion polynomial applied by products, against the same polynomial on exact spectra."""

import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from qnewton.qsp import InversePolynomial, apply, apply_pseudo_inverse


def hermitian(rng, eigenvalues, kind=float):
    """A matrix of these eigenvalues, and its eigenvectors."""
    n = len(eigenvalues)
    start = rng.normal(size=(n, n)) + (1j * rng.normal(size=(n, n)) if kind is complex else 0)
    vectors = np.linalg.qr(start)[0]
    return (vectors * eigenvalues) @ vectors.conj().T, vectors


@jax.jit
def solve(matrix, b, kappa, degree):
    return apply(lambda v: matrix @ v, b, kappa, degree)


@pytest.mark.parametrize(
    ("n", "kappa", "epsilon", "kind"), [(1, 1.0, 1e-8, float), (64, 10.0, 1e-6, complex), (64, 100.0, 1e-10, float)]
)
def test_is_the_polynomial(n, kappa, epsilon, kind, dtype):
    rng = np.random.default_rng(n)
    eigenvalues = np.geomspace(1 / kappa, 1, n) * rng.choice([-1, 1], n)
    matrix, vectors = hermitian(rng, eigenvalues, kind)
    b = rng.normal(size=n).astype(kind)
    b /= np.linalg.norm(b)
    polynomial = InversePolynomial.within(kappa, epsilon)
    wide = jnp.result_type(dtype, jnp.complex64) if kind is complex else dtype
    found = solve(jnp.asarray(matrix, wide), jnp.asarray(b, wide), kappa, polynomial.degree)
    assert found.dtype == wide
    expected = (vectors * polynomial(np.clip(eigenvalues, -1, 1))) @ (vectors.conj().T @ b)
    allowed = 1e-12 if dtype == "float64" else 2 * kappa * np.finfo(np.float32).eps
    assert np.linalg.norm(found - expected) <= allowed * polynomial.maximum


@hypothesis.given(
    st.lists(st.tuples(st.floats(0.0, 1.0), st.booleans()), min_size=1, max_size=8),
    st.floats(1.0, 50.0),
    st.floats(1e-9, 0.3),
)
def test_solves_within_epsilon(spectrum, kappa, epsilon):
    eigenvalues = np.array([(1 / kappa) ** power * (-1 if negative else 1) for power, negative in spectrum])
    eigenvalues = np.resize(eigenvalues, 8)
    matrix, vectors = hermitian(np.random.default_rng(0), eigenvalues)
    b = np.random.default_rng(1).normal(size=8)
    b /= np.linalg.norm(b)
    with jax.enable_x64(True):
        degree = InversePolynomial.within(kappa, epsilon).degree
        found = np.asarray(solve(jnp.asarray(matrix), jnp.asarray(b), kappa, degree))
    exact = vectors @ ((vectors.T @ b) / eigenvalues)
    assert np.linalg.norm(found - exact) <= epsilon * (1 + 1e-6) + 1e-12


@pytest.mark.parametrize("shape", [(20, 12), (12, 20)])
def test_pseudo_inverse(shape):
    rng = np.random.default_rng(4)
    kappa, rank = 30.0, min(shape) - 1
    left, _, right = np.linalg.svd(rng.normal(size=shape), full_matrices=False)
    # One singular value is zero: it is left out.
    values = np.append(np.geomspace(1 / kappa, 1, rank), 0)
    factor = (left * values) @ right
    b = rng.normal(size=shape[0])
    polynomial = InversePolynomial.within(kappa, 1e-9)
    with jax.enable_x64(True):
        matrix = jnp.asarray(factor)
        found = apply_pseudo_inverse(
            lambda v: matrix @ v, lambda v: matrix.T @ v, jnp.asarray(b), kappa, polynomial.degree
        )
        found = np.asarray(found)
    expected = right.T @ (polynomial(values) * (left.T @ b))
    assert np.linalg.norm(found - expected) <= 1e-12 * polynomial.maximum * np.linalg.norm(b)
    exact = np.linalg.pinv(factor, rcond=1e-10) @ b
    assert np.linalg.norm(found - exact) <= 1.01e-9 * np.linalg.norm(b)


@pytest.mark.parametrize("degree", [1, 17])
def test_calls_the_operator_as_often_as_its_degree(degree):
    calls = []

    def product(vector):
        calls.append(vector)
        return vector / 2

    with jax.disable_jit():
        apply(product, jnp.ones(3), 2.0, degree)
    assert len(calls) == degree


def test_compiles_once_and_maps(dtype):
    rng = np.random.default_rng(2)
    matrix = jnp.asarray(hermitian(rng, np.linspace(0.1, 1, 6))[0], dtype)
    b = jnp.asarray(rng.normal(size=(3, 6)), dtype)
    traces = []

    @jax.jit
    def one(b, kappa, degree):
        traces.append(None)
        return apply(lambda v: matrix @ v, b, kappa, degree)

    kappas, degrees = jnp.asarray([10.0, 12.0, 20.0], dtype), jnp.asarray([1, 31, 7])
    apart = [one(*arguments) for arguments in zip(b, kappas, degrees, strict=True)]
    assert len(traces) == 1
    together = jax.jit(jax.vmap(functools.partial(apply, lambda v: matrix @ v)))(b, kappas, degrees)
    np.testing.assert_allclose(together, jnp.stack(apart), rtol=1e-4 if dtype == "float32" else 1e-12, atol=1e-5)


def test_nothing_gives_nothing():
    assert not np.any(apply(lambda v: v, jnp.zeros(4), 10.0, 21))


@pytest.mark.parametrize(
    ("kappa", "degree", "message"),
    [
        (0.5, 3, "kappa is 0.5"),
        (np.nan, 3, "kappa is nan"),
        (2.0, 4, "degree is 4.* take 5"),
        (2.0, -1, "degree is -1"),
    ],
)
def test_refuses_bad_numbers(kappa, degree, message):
    with pytest.raises(ValueError, match=message):
        apply(lambda v: v, jnp.ones(2), kappa, degree)


def test_refuses_whole_numbers():
    with pytest.raises(TypeError, match="b has dtype int32: a right-hand side is float or complex"):
        apply(lambda v: v, jnp.ones(2, jnp.int32), 2.0, 3)

"""The residual that a status rests on, against extended precision."""

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

import qnewton as qn
from qnewton._core.operators import Shifted
from qnewton._solvers.residual import Residual, residual
from qnewton.testing import DenseBlock, DenseRoot, symmetric_with_spectrum

DTYPES = ["float32", "float64", "complex64", "complex128"]


def true_residual(matrix, x, b):
    wide = np.clongdouble if np.iscomplexobj(matrix) else np.longdouble
    return b.astype(wide) - matrix.astype(wide) @ x.astype(wide)


def near_singular(dtype, rows=12):
    """A system and its solution, rounded, whose residual is what rounding the solution left of it."""
    rng = np.random.default_rng(rows)
    eps = float(np.finfo(dtype).eps)
    matrix = symmetric_with_spectrum(np.geomspace(1, 2 * eps, rows), seed=rows).astype(dtype)
    vector = rng.standard_normal(rows).astype(dtype)
    if np.iscomplexobj(matrix):
        phases = np.exp(2j * np.pi * rng.random(rows))
        matrix, vector = (phases[:, None] * matrix * phases.conj()).astype(dtype), (phases * vector).astype(dtype)
    # Solutions of the widest type that LAPACK has.
    wide = np.complex128 if np.iscomplexobj(matrix) else np.float64
    return matrix, np.linalg.solve(matrix.astype(wide), vector).astype(dtype), vector


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [2.0**-100, 1.0, 2.0**100])
def test_it_is_right_where_the_width_cannot_tell_it_from_zero(dtype, scale):
    with jax.enable_x64(dtype in ("float64", "complex128")):
        matrix, x, b = near_singular(dtype)
        true = true_residual(matrix, x, b)
        given = (jnp.asarray(part) for part in (matrix * dtype_of(scale, dtype), x / dtype_of(scale, dtype), b))
        found = np.asarray(jax.jit(residual)(*given))
        eps = float(np.finfo(dtype).eps)
        stretch = np.linalg.norm(matrix) * np.linalg.norm(x)
    assert np.linalg.norm((found - true).astype(complex)) <= 1e-3 * eps * stretch
    # In the width itself it is off by more than ten times as much.
    plain = b - matrix @ x
    assert np.linalg.norm((plain - true).astype(complex)) > 1e-2 * eps * stretch


def dtype_of(scale, dtype):
    return np.dtype(dtype).type(scale)


def test_a_batch_of_systems_and_16_bits():
    systems = [near_singular("float32", 7), *[[part[::-1].copy() for part in near_singular("float32", 7)]]]
    stacked = [jnp.asarray(np.stack(parts)) for parts in zip(*systems, strict=True)]
    found = jax.vmap(residual)(*stacked)
    for one, system in zip(found, systems, strict=True):
        np.testing.assert_allclose(one, residual(*(jnp.asarray(part) for part in system)), rtol=1e-4)
    matrix, x, b = (jnp.asarray(part, "bfloat16") for part in ([[1.0, 1 / 256], [0.5, -3.0]], [1.0, 1.0], [1.0, -2.5]))
    # 1 + 1/256 is no bfloat16.
    np.testing.assert_array_equal(residual(matrix, x, b).astype("float32"), [-1 / 256, 0.0])


def test_a_negated_or_tagged_matrix_is_at_hand_and_a_product_says_that_it_is_rounded():
    matrix, x, b = (jnp.asarray(part) for part in near_singular("float32"))
    plain = lx.MatrixLinearOperator(matrix)
    for operator, sign in ((lx.TaggedLinearOperator(plain, lx.symmetric_tag), 1), (-plain, -1)):
        found = Residual.of(operator)
        assert found.off == 0
        np.testing.assert_array_equal(found.left(x, sign * b), sign * residual(matrix, x, b))
    assert Residual.of(plain + plain).off > 0


def in_the_small_direction(kappa, seed, rows=5):
    """A system in single precision that its solution explains down to about `eps kappa / 10`."""
    rng = np.random.default_rng(seed)
    root = np.linalg.qr(rng.standard_normal((rows, rows)))[0] * np.sqrt(np.geomspace(1, 1 / kappa, rows))
    return root.T.astype(np.float32), rng.standard_normal(rows).astype(np.float32)


@eqx.filter_jit
def solved(solver, root, shift, vector, formed):
    matrix = root.T @ root + shift * jnp.eye(vector.size, dtype=vector.dtype)
    block = Shifted(DenseBlock(matrix=root.T @ root, rooted=DenseRoot(root)), shift)
    operator = lx.MatrixLinearOperator(matrix, lx.positive_semidefinite_tag) if formed else block
    operator = operator if formed else lx.TaggedLinearOperator(block, lx.positive_semidefinite_tag)
    solution = lx.linear_solve(operator, vector, solver, throw=False)
    return matrix, solution.value, solution.result == lx.RESULTS.successful, solution.stats["residual"]


@pytest.mark.parametrize("name", ["LU", "Cholesky", "Eigh", "Inverse", "SaddleFree", "Dual", "Cholesky of a block"])
def test_no_success_near_the_claim_has_a_larger_residual_in_truth(name):
    """A kind of answer that was silently wrong: 0.0038 as computed, 0.0095 in truth, 0.0049 claimed."""
    formed = name not in ("Dual", "Cholesky of a block")
    solver, successes = getattr(qn, name.split()[0])(), 0
    for seed in range(60):
        root, vector = in_the_small_direction(10 ** (4 + seed / 20), seed)
        shift = np.float32(0 if formed else 2.0**-20)
        matrix, x, success, reported = (
            np.asarray(part) for part in solved(solver, jnp.asarray(root), jnp.asarray(shift), vector, formed)
        )
        if not formed:
            matrix = root.T.astype(np.longdouble) @ root.astype(np.longdouble) + shift * np.eye(5)
        elif name == "SaddleFree":
            # Rounding left some of them indefinite, and in double precision nothing else is.
            values, vectors = np.linalg.eigh(matrix.astype(np.float64))
            matrix = (vectors * np.abs(values)) @ vectors.T
        true = np.linalg.norm(true_residual(matrix, x, vector).astype(float)) / np.linalg.norm(vector)
        successes += success
        assert not success or true <= 1.02 * 2 ** (-23 / 3), (seed, true)
        if formed and name != "SaddleFree" and np.all(np.isfinite(x)):
            assert reported == pytest.approx(true, rel=1e-2, abs=1e-6)
    assert 5 < successes < 60

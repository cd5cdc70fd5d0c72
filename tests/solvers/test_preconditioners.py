"""Preconditioners: exact where the structure is, positive definite always, and clear about what they lack."""

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

from qnewton._core.layout import Layout, Piece
from qnewton._core.operators import KroneckerFactors, Shifted
from qnewton._solvers import CG, EKFAC, KFAC, MINRES, Identity, Jacobi, Nystrom
from qnewton.testing import DenseBlock, symmetric_with_spectrum

# Two layers, one of them with its matrix transposed, around two runs of a rest: 2 + 12 + 1 + 6 scalars.
LAYOUT = Layout(n=21, layers=((Piece(2, 4, 3),), (Piece(15, 2, 3, transposed=True),)), rest=((0, 2), (14, 1)))
A = (symmetric_with_spectrum([0.5, 1, 2, 7]), symmetric_with_spectrum([0.3, 4], 1))
G = (symmetric_with_spectrum([0.1, 0.2, 3], 2), symmetric_with_spectrum([1.0, 2, 5], 3))
REST = np.array([0.4, 2.0, 6.0])
ALL = [Identity(), Jacobi(), KFAC(), EKFAC(), Nystrom(4)]
each = pytest.mark.parametrize("preconditioner", ALL, ids=lambda p: p.name)


def factors(a=A, g=G, rest=REST, dtype="float64"):
    a, g = (tuple(jnp.asarray(m, dtype) for m in ms) for ms in (a, g))
    return KroneckerFactors(layout=LAYOUT, inputs=a, outputs=g, rest=jnp.asarray(rest, dtype))


def assembled(a=A, g=G, rest=REST):
    """The block that has these factors exactly, entry by entry."""
    matrix = np.zeros((21, 21))
    first = 2 + np.arange(12).reshape(4, 3)
    second = 15 + np.arange(6).reshape(3, 2).T
    for places, left, right in zip((first, second), a, g, strict=True):
        for i, j in np.ndindex(places.shape):
            for k, m in np.ndindex(places.shape):
                matrix[places[i, j], places[k, m]] = left[i, k] * right[j, m]
    matrix[[0, 1, 14], [0, 1, 14]] = rest
    return matrix


def block(matrix, with_factors=True, dtype="float64"):
    return DenseBlock(matrix=jnp.asarray(matrix, dtype), factors=factors(dtype=dtype) if with_factors else None)


# For all tests, so that each of them is compiled once.
solve = eqx.filter_jit(lx.linear_solve)


@eqx.filter_jit
def dense(preconditioner, operator):
    """The preconditioner's matrix."""
    state = preconditioner.init(operator)
    return jax.vmap(lambda v: preconditioner.apply(state, v))(jnp.eye(operator.in_size()))


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


double = pytest.mark.usefixtures("x64")


@double
def test_kfac_inverts_a_block_that_is_kronecker():
    np.testing.assert_allclose(dense(KFAC(), block(assembled())), np.linalg.inv(assembled()), atol=1e-10)
    # A shift of zero is the same.
    np.testing.assert_allclose(
        dense(KFAC(), Shifted(block(assembled()), jnp.zeros(()))), np.linalg.inv(assembled()), atol=1e-10
    )


@double
def test_kfac_splits_the_shift_by_the_traces():
    pi = [np.sqrt((np.trace(a) / len(a)) / (np.trace(g) / len(g))) for a, g in zip(A, G, strict=True)]
    a = [m + p * 0.3 * np.eye(len(m)) for m, p in zip(A, pi, strict=True)]
    g = [m + 0.3 / p * np.eye(len(m)) for m, p in zip(G, pi, strict=True)]
    found = dense(KFAC(), Shifted(block(assembled()), jnp.asarray(0.09)))
    np.testing.assert_allclose(found, np.linalg.inv(assembled(a, g, REST + 0.09)), atol=1e-10)


@double
def test_ekfac_inverts_a_damped_kronecker_block_and_corrects_wrong_factors():
    damped = assembled() + 0.09 * np.eye(21)
    np.testing.assert_allclose(
        dense(EKFAC(), Shifted(block(assembled()), jnp.asarray(0.09))), np.linalg.inv(damped), atol=1e-10
    )
    # Only the eigenbases of the factors count, their sizes come from the block: 7 times as large here.
    larger = 7 * assembled() + 0.09 * np.eye(21)
    larger[[0, 1, 14], [0, 1, 14]] = REST + 0.09
    base = block(larger - 0.09 * np.eye(21))
    np.testing.assert_allclose(dense(EKFAC(), Shifted(base, jnp.asarray(0.09))), np.linalg.inv(larger), atol=1e-10)


@pytest.mark.parametrize("preconditioner", [KFAC(), EKFAC()], ids=lambda p: p.name)
def test_factors_that_are_singular_indefinite_or_zero_still_give_a_definite_preconditioner(preconditioner, dtype):
    for a, g in (((0 * A[0], A[1]), G), (A, (-G[0], symmetric_with_spectrum([-1.0, 2, 3])))):
        base = DenseBlock(matrix=jnp.asarray(assembled(a, g, -REST), dtype), factors=factors(a, g, -REST, dtype))
        found = dense(preconditioner, Shifted(base, jnp.zeros((), dtype)))
        assert np.linalg.eigvalsh((found + found.T) / 2)[0] > 0


@double
def test_jacobi_divides_by_the_diagonal_and_guards_it():
    matrix = np.diag([2.0, 4, -3, 0])
    found = dense(Jacobi(), lx.MatrixLinearOperator(jnp.asarray(matrix), lx.symmetric_tag))
    # The mean magnitude is 9 / 4.
    np.testing.assert_allclose(found, np.diag([1 / 2, 1 / 4, 4 / 9, 4 / 9]))
    np.testing.assert_allclose(
        np.diag(dense(Jacobi(), Shifted(block(assembled()), jnp.asarray(0.5)))), 1 / (np.diag(assembled()) + 0.5)
    )
    assert np.array_equal(dense(Jacobi(), lx.MatrixLinearOperator(jnp.zeros((2, 2)), lx.symmetric_tag)), np.eye(2))


@double
def test_nystrom_is_the_inverse_up_to_a_factor_where_the_block_has_its_rank():
    matrix = symmetric_with_spectrum([0.0] * 26 + [1, 2, 5, 50])
    found = dense(Nystrom(4), Shifted(block(matrix, False), jnp.asarray(0.01)))
    # Equation 5.3: (l_rank + mu) times the inverse on the range, the identity outside of it.
    values, vectors = np.linalg.eigh(matrix)
    gains = np.where(values > 0.5, 1.01 / (values + 0.01), 1)
    np.testing.assert_allclose(found, vectors * gains @ vectors.T, atol=1e-6)


def test_nystrom_leaves_few_iterations_of_low_rank_plus_shift(dtype):
    matrix = symmetric_with_spectrum([0.0] * 192 + list(np.geomspace(0.1, 10, 8)), seed=3)
    operator = Shifted(block(matrix, False, dtype), jnp.asarray(1e-2, dtype), definite=True)
    b = jnp.asarray(np.random.default_rng(0).standard_normal(200), dtype)
    plain, sketched = (
        int(solve(operator, b, CG(1e-4, preconditioner=p)).stats["num_steps"]) for p in (Identity(), Nystrom(12))
    )
    assert plain >= 9
    assert sketched <= 3


def test_nystrom_of_an_indefinite_or_empty_block_is_the_identity(dtype):
    for spectrum in (-np.ones(5), np.zeros(5)):
        base = block(symmetric_with_spectrum(spectrum), False, dtype)
        np.testing.assert_allclose(dense(Nystrom(2), Shifted(base, jnp.zeros((), dtype))), np.eye(5), atol=1e-6)
    with pytest.raises(ValueError, match="rank is 0"):
        Nystrom(0)


@each
@pytest.mark.parametrize(("kind", "dtype"), [(CG, "float32"), (MINRES, "float64")])
@double
def test_every_preconditioner_leads_to_the_solution(kind, preconditioner, dtype):
    noise = symmetric_with_spectrum(np.linspace(0, 0.5, 21), seed=9)
    matrix = assembled() + noise
    operator = Shifted(block(matrix, dtype=dtype), jnp.asarray(0.1, dtype), definite=True)
    b = np.random.default_rng(0).standard_normal(21)
    solution = solve(operator, jnp.asarray(b, dtype), kind(1e-5, preconditioner=preconditioner))
    damped = matrix + 0.1 * np.eye(21)
    assert np.linalg.norm(b - damped @ np.asarray(solution.value, np.float64)) <= 2e-5 * np.linalg.norm(b)


@each
def test_says_what_it_costs_and_is_static(preconditioner):
    assert jax.tree.leaves(preconditioner) == []
    assert hash(preconditioner) == hash(preconditioner)
    for n in (1, 1000):
        assert all(0 <= count < np.inf for count in preconditioner.flops(n))


@pytest.mark.parametrize("preconditioner", [KFAC(), EKFAC()], ids=lambda p: p.name)
def test_missing_factors_are_named(preconditioner):
    name = preconditioner.name
    with pytest.raises(ValueError, match=f"{name} needs Kronecker factors.*DenseBlock is a block without a recognised"):
        preconditioner.init(Shifted(block(np.eye(3), False, "float32"), jnp.zeros(())))
    with pytest.raises(
        ValueError, match=f"{name} needs.*has none: MatrixLinearOperator is no curvature block.*Use Nys"
    ):
        preconditioner.init(lx.MatrixLinearOperator(jnp.eye(3), lx.symmetric_tag))


def test_jacobi_does_not_form_a_matrix_for_its_diagonal():
    operator = lx.FunctionLinearOperator(lambda x: x, jax.ShapeDtypeStruct((3,), jnp.float32), lx.symmetric_tag)
    with pytest.raises(ValueError, match=r"Jacobi needs a diagonal.*use Nystrom or Identity"):
        Jacobi().init(operator)


def test_operations_are_counted_by_hand():
    # A square layer of 64 rows has two factors of 8; a product of two such matrices takes 2 * 8^3 operations.
    cube = 8**3
    counted = [
        (Identity(), (0, 0)),
        (Jacobi(), (64, 64)),
        # Two inverses of 2 * 8^3, two products.
        (KFAC(), (2 * 2 * cube, 2 * 2 * cube)),
        # Two eigendecompositions of 9 * 8^3, into both bases and back.
        (EKFAC(), (2 * 9 * cube, 4 * 2 * cube)),
        # Four products with the block; the factorisations of [64, 4]; two products with that.
        (Nystrom(4), (4 * 2 * 64**2 + 10 * 64 * 4**2, 2 * 2 * 64 * 4)),
    ]
    for preconditioner, expected in counted:
        assert preconditioner.flops(64) == expected, preconditioner.name

"""The dual solve against the dense one, down to small shifts, and what it refuses."""

import equinox as eqx
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

from qnewton._core.operators import Shifted
from qnewton._core.status import Refusal
from qnewton._solvers import Cholesky, Dual
from qnewton.testing import DenseBlock

ROOT = np.random.default_rng(0).standard_normal((12, 40)) / np.sqrt(40)
RIGHT = np.random.default_rng(1).standard_normal(40)


def operator(shift, dtype="float32", root=ROOT):
    return Shifted(DenseBlock.of_root(jnp.asarray(root, dtype)), jnp.asarray(shift, dtype))


@eqx.filter_jit
def solve(operator, vector, solver, verify=True):
    return lx.linear_solve(operator, vector, solver, options={"verify": verify}, throw=False)


def error(shift, dtype, solver, right=None, coefficients=None, root=ROOT, verify=True):
    """Relative, for a right-hand side, or for `R^T coefficients`; a success where the residual is as claimed.

    The oracle works with singular values: forming `R^T R` rounds, and the shift divides that, in float64 as well.
    """
    left, values, rows = np.linalg.svd(root, full_matrices=False)
    if coefficients is not None:
        right, exact = root.T @ coefficients, rows.T @ (values / (values**2 + shift) * (left.T @ coefficients))
    else:
        inside = rows @ right
        exact = rows.T @ (inside / (values**2 + shift)) + (right - rows.T @ inside) / shift
    solution = solve(operator(shift, dtype, root), jnp.asarray(right, dtype), solver, verify)
    assert right is not None
    value, rows = np.asarray(solution.value, np.float64), np.asarray(jnp.asarray(root, dtype), np.float64)
    residual = np.linalg.norm(rows.T @ (rows @ value) + shift * value - right) / np.linalg.norm(right)
    explained = residual <= float(jnp.finfo(dtype).eps) ** (1 / 3)
    assert bool(solution.result == lx.RESULTS.successful) is bool(explained or not verify)
    return np.linalg.norm(solution.value - exact) / np.linalg.norm(exact)


@pytest.mark.parametrize("shift", [1.0, 1e-2, 1e-6])
def test_equals_the_dense_solve(shift, dtype):
    eps = float(jnp.finfo(dtype).eps)
    assert error(shift, dtype, Dual(), RIGHT) <= 5 * eps
    # In the span of the rows the rounding of the right-hand side is divided by the shift.
    kappa = 1 + np.linalg.norm(ROOT, 2) ** 2 / shift
    assert error(shift, dtype, Dual(), coefficients=RIGHT[:12]) <= eps * (5 + kappa)


def test_refinement_mends_the_cancellation():
    def after(count, verify):
        return error(1e-4, "float32", Dual(count), coefficients=RIGHT[:12], verify=verify)

    plain, refined, twice = (after(count, verify=False) for count in (0, 1, 2))
    assert refined < plain / 2
    assert twice > refined / 2
    # Without it the residual is 1e-3, which an exact solver does not claim: more steps are taken.
    assert after(0, verify=True) < plain / 2


@pytest.mark.parametrize("shift", [1e-3, 1e-5, 1e-6])
def test_the_residual_in_the_span_of_the_rows_is_rounding_s_whatever_the_shift(shift):
    """One step of refinement alone leaves 5e-2 of it at a shift of 1e-6."""
    right = ROOT.astype(np.float32).astype(np.float64).T @ RIGHT[:12]
    solution = solve(operator(shift), jnp.asarray(right, "float32"), Dual())
    value, root = np.asarray(solution.value, np.float64), ROOT.astype(np.float32).astype(np.float64)
    assert solution.result == lx.RESULTS.successful
    residual = np.linalg.norm(root.T @ (root @ value) + np.float32(shift) * value - right) / np.linalg.norm(right)
    assert residual <= 1e-4
    assert float(solution.stats["residual"]) == pytest.approx(residual, rel=0.1, abs=1e-6)


def test_more_rows_than_columns(dtype):
    root = np.random.default_rng(2).standard_normal((60, 40)) / 8
    assert error(0.1, dtype, Dual(), RIGHT, root=root) <= 200 * float(jnp.finfo(dtype).eps)


@pytest.mark.parametrize(("shift", "result"), [(0.0, "breakdown"), (-0.5, "breakdown"), (np.nan, "breakdown")])
def test_a_shift_that_is_not_positive_is_a_status(shift, result):
    solution = solve(operator(shift), jnp.asarray(RIGHT, "float32"), Dual())
    assert solution.result == getattr(lx.RESULTS, result)
    assert np.all(np.isnan(solution.value))


def test_a_root_that_is_not_finite_is_a_status():
    bad = ROOT.copy()
    bad[3, 3] = np.nan
    solution = solve(operator(0.1, root=bad), jnp.asarray(RIGHT, "float32"), Dual())
    assert solution.result == lx.RESULTS.singular


def test_a_right_hand_side_of_zero_and_tags_around_the_operator():
    tagged = lx.TaggedLinearOperator(operator(0.1), lx.positive_semidefinite_tag)
    solution = solve(tagged, jnp.zeros(40), Dual())
    assert np.array_equal(solution.value, np.zeros(40))
    assert int(solution.stats["rows"]) == 12


def test_what_it_cannot_take_is_refused_with_what_to_do():
    with pytest.raises(ValueError, match=r"got a MatrixLinearOperator: damp a Gauss-Newton .* Shifted\(block, shift\)"):
        Dual().init(lx.MatrixLinearOperator(jnp.eye(3), lx.positive_semidefinite_tag), {})
    for base in (DenseBlock(matrix=jnp.eye(3)), lx.MatrixLinearOperator(jnp.eye(3), lx.symmetric_tag)):
        with pytest.raises(ValueError, match=rf"this {type(base).__name__} has none: use the Gauss-Newton matrix"):
            Dual().init(Shifted(base, jnp.ones(())), {})
    with pytest.raises(ValueError, match="refinements is -1"):
        Dual(-1)


@pytest.mark.parametrize(
    ("root", "right"), [(2.0**-40, 2.0**-80), (2.0**40, 2.0**80), (1.0, 2.0**-80), (2.0**-30, 1.0)]
)
def test_powers_of_two_change_nothing_but_the_scale(root, right):
    plain = solve(operator(0.1), jnp.asarray(RIGHT, "float32"), Dual())
    scaled = solve(operator(0.1 * root**2, root=ROOT * root), jnp.asarray(RIGHT * right, "float32"), Dual())
    assert plain.result == scaled.result == lx.RESULTS.successful
    np.testing.assert_allclose(np.asarray(scaled.value, np.float64) * (root**2 / right), plain.value, rtol=1e-5)


def test_a_root_that_is_not_the_block_s_is_no_success():
    """As after pruning by hand: the product is with the block itself."""
    block = DenseBlock.of_root(jnp.asarray(ROOT, "float32"))
    spoilt = eqx.tree_at(lambda b: b.matrix, block, block.matrix.at[0, 1].add(0.3))
    solution = solve(Shifted(spoilt, jnp.asarray(0.1, "float32")), jnp.asarray(RIGHT, "float32"), Dual())
    assert solution.result == lx.RESULTS.singular


def test_it_refuses_what_has_no_root_and_nothing_else():
    matrix = jnp.asarray(ROOT.T @ ROOT, "float32")
    bare = lx.MatrixLinearOperator(matrix, lx.positive_semidefinite_tag)
    assert Dual().refuses(operator(1e-3)) is Refusal.NONE
    assert Dual().refuses(Shifted(DenseBlock(matrix), jnp.float32(1e-3))) is Refusal.NO_ROOT
    assert Dual().refuses(bare) is Refusal.NO_ROOT


def test_the_conjugate_of_a_real_block_is_solved_as_it_is():
    """By Cholesky, which forms only what it needs of a block and keeps no matrix to conjugate."""
    system = lx.TaggedLinearOperator(operator(1e-1), lx.positive_semidefinite_tag)
    state, options = Cholesky().conj(Cholesky().init(system, {}), {})
    found = Cholesky().compute(state, jnp.asarray(RIGHT, "float32"), options)[0]
    np.testing.assert_allclose(found, np.linalg.solve(ROOT.T @ ROOT + 0.1 * np.eye(40), RIGHT), rtol=1e-3, atol=1e-3)

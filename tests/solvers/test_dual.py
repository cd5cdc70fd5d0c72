"""The dual solve against the dense one, down to small shifts, and what it refuses."""

import equinox as eqx
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

from qnewton.core.operators import Shifted
from qnewton.solvers import Dual
from qnewton.testing import DenseBlock

ROOT = np.random.default_rng(0).standard_normal((12, 40)) / np.sqrt(40)
RIGHT = np.random.default_rng(1).standard_normal(40)


def operator(shift, dtype="float32", root=ROOT):
    return Shifted(DenseBlock.of_root(jnp.asarray(root, dtype)), jnp.asarray(shift, dtype))


@eqx.filter_jit
def solve(operator, vector, solver):
    return lx.linear_solve(operator, vector, solver, throw=False)


def error(shift, dtype, solver, right=None, coefficients=None, root=ROOT):
    """Relative, for a right-hand side, or for `R^T coefficients`.

    The oracle works with singular values: forming `R^T R` rounds, and the shift divides that, in float64 as well.
    """
    left, values, rows = np.linalg.svd(root, full_matrices=False)
    if coefficients is not None:
        right, exact = root.T @ coefficients, rows.T @ (values / (values**2 + shift) * (left.T @ coefficients))
    else:
        inside = rows @ right
        exact = rows.T @ (inside / (values**2 + shift)) + (right - rows.T @ inside) / shift
    solution = solve(operator(shift, dtype, root), jnp.asarray(right, dtype), solver)
    assert solution.result == lx.RESULTS.successful
    return np.linalg.norm(solution.value - exact) / np.linalg.norm(exact)


@pytest.mark.parametrize("shift", [1.0, 1e-2, 1e-6])
def test_equals_the_dense_solve(shift, dtype):
    eps = float(jnp.finfo(dtype).eps)
    assert error(shift, dtype, Dual(), RIGHT) <= 5 * eps
    # In the span of the rows the rounding of the right-hand side is divided by the shift.
    kappa = 1 + np.linalg.norm(ROOT, 2) ** 2 / shift
    assert error(shift, dtype, Dual(), coefficients=RIGHT[:12]) <= eps * (5 + kappa)


def test_refinement_mends_the_cancellation():
    plain, refined, twice = (error(1e-4, "float32", Dual(count), coefficients=RIGHT[:12]) for count in (0, 1, 2))
    assert refined < plain / 2
    assert twice > refined / 2


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

"""Damping: the formula, the spectrum, the floor, and its place before or after pruning."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnewton._conditioning import AbstractConditioner, Damp, Prune, PruneRows, condition
from qnewton._core.records import System
from qnewton._curvature.formation import mirrored
from qnewton.testing import symmetric_with_spectrum

SPECTRUM = np.array([-3.0, -1e-4, 0.0, 2.0, 50.0])
MATRIX = symmetric_with_spectrum(SPECTRUM, seed=4)


@given(
    relative=st.floats(0, 1e3, allow_subnormal=False),
    offset=st.floats(0, 1e3, allow_subnormal=False),
    scale=st.floats(0, 1e3, allow_subnormal=False),
)
def test_it_shifts_the_spectrum_by_the_formula_and_the_floor_with_it(
    relative: float, offset: float, scale: float
) -> None:
    shift = scale * relative * (np.max(np.abs(MATRIX)) + offset)
    with jax.enable_x64(True):
        system = System.of(jnp.asarray(MATRIX), symmetric=True, eigenvalue_floor=jnp.asarray(SPECTRUM[0]))
        after = Damp(relative, offset)(system, jnp.asarray(scale))
        rounding = 1e-13 * (50 + shift)
        np.testing.assert_allclose(np.linalg.eigvalsh(after.matrix), SPECTRUM + shift, rtol=0, atol=rounding)
        # XLA flushes subnormal numbers to zero, and `scale * relative` may be one.
        flushed = np.finfo(float).tiny * (np.max(np.abs(MATRIX)) + offset + 1)
        np.testing.assert_allclose(after.damping, shift, rtol=1e-14, atol=flushed)
        assert after.eigenvalue_floor is not None
        np.testing.assert_allclose(after.eigenvalue_floor, SPECTRUM[0] + shift, rtol=0, atol=rounding)
        off_diagonal = ~np.eye(5, dtype=bool)
        np.testing.assert_array_equal(np.asarray(after.matrix)[off_diagonal], MATRIX[off_diagonal])


def test_the_largest_entry_is_one_of_magnitude() -> None:
    """max|H|, not max H: here -8 off the diagonal."""
    system = System.of(jnp.array([[1.0, -8.0], [-8.0, 2.0]]), symmetric=True)
    after = Damp(0.5)(system, jnp.ones(()))
    np.testing.assert_array_equal(after.matrix, [[5, -8], [-8, 6]])
    assert after.damping == 4


def test_a_zero_matrix_is_damped_by_the_offset_alone() -> None:
    system = System.of(jnp.zeros((2, 2)), symmetric=True, eigenvalue_floor=jnp.zeros(()))
    np.testing.assert_array_equal(Damp(0.5)(system, jnp.ones(())).matrix, np.zeros((2, 2)))
    after = Damp(0.5, offset=3.0)(system, jnp.ones(()))
    np.testing.assert_array_equal(after.matrix, 1.5 * np.eye(2))
    assert (after.eigenvalue_floor, after.damping) == (1.5, 1.5)


def test_a_second_damping_compares_the_entries_of_the_damped_matrix_and_adds_up() -> None:
    system = System.of(jnp.array([[4.0, 1.0], [1.0, 2.0]]), symmetric=True, eigenvalue_floor=jnp.ones(()))
    after = condition((Damp(0.5), Damp(0.5)), system, jnp.ones(()))  # + 2, then + (4 + 2) / 2
    np.testing.assert_array_equal(after.matrix, [[9, 1], [1, 7]])
    assert (after.damping, after.eigenvalue_floor) == (5, 6)


def test_the_scale_multiplies_the_damping_and_not_the_matrix() -> None:
    system = System.of(jnp.array([[4.0, 1.0], [1.0, 2.0]]), symmetric=True)
    np.testing.assert_array_equal(Damp(0.5)(system, jnp.asarray(3.0)).matrix, [[10, 1], [1, 8]])
    np.testing.assert_array_equal(Damp(0.5)(system, jnp.asarray(0.0)).matrix, system.matrix)


def test_a_wider_number_or_scale_does_not_widen_the_matrix() -> None:
    """A sweep hands out numpy's float64, which is not a weak type; a scale can come from a wider loss."""
    with jax.enable_x64(True):
        system = System.of(jnp.ones((2, 2), jnp.float32), symmetric=True, eigenvalue_floor=jnp.zeros((), jnp.float32))
        after = Damp(np.float64(0.1), np.float64(0.2))(system, jnp.ones((), jnp.float64))
        assert {leaf.dtype for leaf in jax.tree.leaves(after)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("name", ["relative", "offset"])
@pytest.mark.parametrize("value", [-1e-9, -1.0, math.nan, math.inf, -math.inf], ids=str)
def test_a_damping_outside_its_range_is_refused_with_the_value(name: str, value: float) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared below
        Damp(**{name: value})
    message = str(caught.value)
    assert f"{name} damping is {value}: it must be a finite number of at least 0" in message
    assert "5e-3" in message


# Order ---------------------------------------------------------------------------------------------------------------

# The first diagonal entry is small, the second and third rule their rows. max|H| = 5, so Damp(0.2) adds 1.
BLOCK = np.array([[0.125, 1.0, 2.0], [1.0, 3.0, 0.5], [2.0, 0.5, 5.0]])

ORDERS = {
    # Rows pruned alone: damping first is lost wherever the diagonal is pruned. This matrix is singular.
    "paper-code": ((Damp(0.2), PruneRows(1 / 3)), [[0, 0, 2], [0, 4, 0], [0, 0, 6]], 1),
    "rows-then-damp": ((PruneRows(1 / 3), Damp(0.2)), [[1, 0, 2], [0, 4, 0], [0, 0, 6]], 1),
    # The diagonal stays, and a larger one can push an entry out of its row: here none, both agree.
    "damp-then-prune": ((Damp(0.2), Prune(1 / 3)), [[1.125, 0, 2], [0, 4, 0], [2, 0, 6]], 1),
    "prune-then-damp": ((Prune(1 / 3), Damp(0.2)), [[1.125, 0, 2], [0, 4, 0], [2, 0, 6]], 1),
    # With more damping the first row keeps its diagonal instead of the 2, and the two orders part.
    "more-damp-then-prune": ((Damp(0.5), Prune(1 / 3)), [[2.625, 0, 0], [0, 5.5, 0], [0, 0, 7.5]], 2.5),
    "prune-then-more-damp": ((Prune(1 / 3), Damp(0.5)), [[2.625, 0, 2], [0, 5.5, 0], [2, 0, 7.5]], 2.5),
}


@pytest.mark.parametrize(("conditioners", "expected", "damping"), ORDERS.values(), ids=ORDERS)
def test_the_order_of_damping_and_pruning_matters(
    conditioners: tuple[AbstractConditioner, ...], expected: list[list[float]], damping: float
) -> None:
    before = System.of(jnp.asarray(BLOCK, jnp.float32), symmetric=True, eigenvalue_floor=jnp.zeros(()))
    after = condition(conditioners, before, jnp.ones(()))
    np.testing.assert_allclose(after.matrix, expected, rtol=1e-6)
    assert after.symmetric == (not any(isinstance(c, PruneRows) for c in conditioners))
    assert after.eigenvalue_floor is None  # neither order proves anything
    np.testing.assert_allclose(after.damping, damping, rtol=1e-6)


def test_the_published_code_s_order_with_its_offset() -> None:
    """arXiv 2405.00252, released code: (max|H| + 1e-6) r on the diagonal, then each row alone, unsymmetric."""
    h = symmetric_with_spectrum(np.geomspace(1e-4, 10, 8), seed=3)
    damped = h + (np.max(np.abs(h)) + 1e-6) * 5e-3 * np.eye(8)
    cut = np.sort(np.abs(damped), axis=1)[:, -2]  # keep 0.25 of 8
    expected = np.where(np.abs(damped) >= cut[:, None], damped, 0)
    assert not np.array_equal(expected != 0, (expected != 0).T)
    with jax.enable_x64(True):
        before = System.of(jnp.asarray(h), symmetric=True)
        after = condition((Damp(5e-3, offset=1e-6), PruneRows(0.25)), before, jnp.ones(()))
        np.testing.assert_allclose(after.matrix, expected, rtol=1e-14)
        assert after.symmetric is False
        np.testing.assert_allclose(after.kept_fraction, 16 / 64)
        np.testing.assert_allclose(
            after.perturbation, np.linalg.norm(damped - expected) / np.linalg.norm(damped), rtol=1e-13
        )


def test_a_block_that_is_formed_and_conditioned_in_one_jit_is_exactly_symmetric(dtype: jnp.dtype) -> None:
    """XLA fuses the stages, and a fused product and sum do not commute; the solvers rely on exact symmetry."""

    @jax.jit
    def prepare(a: jax.Array) -> System:
        return condition(
            (Prune(0.6), Damp(0.3, 0.1)), System.of(mirrored(a / 7), symmetric=True), jnp.asarray(1.7, dtype)
        )

    nearly = MATRIX * (1 + 1e-6 * np.random.default_rng(0).standard_normal((5, 5)))
    after = prepare(jnp.asarray(nearly, dtype))
    assert after.symmetric
    np.testing.assert_array_equal(after.matrix, after.matrix.T)

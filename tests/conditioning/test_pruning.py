"""What pruning keeps, on matrices that are drawn, tied, and made to break."""

import functools
import math
from collections.abc import Callable
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qnewton._conditioning import Prune, PruneRows
from qnewton._core.records import System

KEEPS = ["1e-9", "0.34", "0.5", "0.8"]


@st.composite
def problems(draw: Callable) -> tuple[np.ndarray, str]:
    """A symmetric matrix of small whole numbers, with many ties and zeros, and a keep ratio as decimal text."""
    n = draw(st.sampled_from([1, 5]))
    entries = draw(arrays(np.float64, (n, n), elements=st.integers(-6, 6).map(float)))
    return np.tril(entries) + np.tril(entries, -1).T, draw(st.sampled_from(KEEPS))


# Each ratio is compiled once for each shape, and not every operation for each.
@functools.partial(jax.jit, static_argnums=0)
def _pruned(conditioner: Prune | PruneRows, system: System) -> System:
    return conditioner(system, jnp.ones(()))


def prune(conditioner: Prune | PruneRows, matrix: np.ndarray, *, symmetric: bool = True) -> System:
    floor = jnp.zeros(())
    system = System.of(jnp.asarray(matrix, jnp.float32), symmetric=symmetric, eigenvalue_floor=floor)
    return _pruned(conditioner, system)


def thresholds(matrix: np.ndarray, keep: str) -> tuple[int, np.ndarray]:
    """`ceil(keep n)`, and for each row the smallest magnitude that is among that many largest."""
    count = math.ceil(Fraction(keep) * len(matrix))
    return count, np.sort(np.abs(matrix), axis=1)[:, ::-1][:, count - 1]


@given(problems())
def test_prune_keeps_the_largest_of_each_row_and_column_and_the_diagonal(problem: tuple[np.ndarray, str]) -> None:
    matrix, keep = problem
    after = np.asarray(prune(Prune(float(keep)), matrix).matrix, np.float64)
    count, least = thresholds(matrix, keep)
    size, row, column = np.abs(matrix), least[:, None], least[None, :]

    np.testing.assert_array_equal(after, after.T)
    np.testing.assert_array_equal(np.diag(after), np.diag(matrix))
    assert np.all((after == matrix) | (after == 0))
    # Above the threshold of its row or column: kept. Below both, off the diagonal: gone. At it, ties may go either way,
    # but as many as the row has room for must stay.
    above = (size > row) | (size > column)
    np.testing.assert_array_equal(after[above], matrix[above])
    below = (size < row) & (size < column) & ~np.eye(len(matrix), dtype=bool)
    assert not after[below].any()
    kept_of_largest = np.sum((after != 0) & (size >= row), axis=1)
    assert np.all(kept_of_largest >= np.minimum(count, np.count_nonzero(matrix, axis=1)))


@given(problems())
def test_prune_rows_keeps_exactly_that_many_of_the_largest_of_each_row(problem: tuple[np.ndarray, str]) -> None:
    matrix, keep = problem
    after = np.asarray(prune(PruneRows(float(keep)), matrix).matrix, np.float64)
    count, least = thresholds(matrix, keep)
    assert np.all((after == matrix) | (after == 0))
    np.testing.assert_array_equal(np.count_nonzero(after, axis=1), np.minimum(count, np.count_nonzero(matrix, axis=1)))
    above, below = np.abs(matrix) > least[:, None], np.abs(matrix) < least[:, None]
    np.testing.assert_array_equal(after[above], matrix[above])
    assert not after[below].any()


@given(problems(), st.sampled_from([Prune, PruneRows]))
def test_the_record_says_what_was_lost(problem: tuple[np.ndarray, str], kind: type[Prune | PruneRows]) -> None:
    matrix, keep = problem
    system = prune(kind(float(keep)), matrix)
    after = np.asarray(system.matrix, np.float64)
    entries, norm = np.count_nonzero(matrix), np.sqrt(np.sum(matrix**2))
    expected = (np.count_nonzero(after) / entries, np.sqrt(np.sum((matrix - after) ** 2)) / norm) if entries else (1, 0)
    np.testing.assert_allclose((system.kept_fraction, system.perturbation), expected, rtol=1e-6)


@given(problems(), st.sampled_from(KEEPS), st.sampled_from([Prune, PruneRows]))
def test_pruning_twice_keeps_a_record_of_both(
    problem: tuple[np.ndarray, str], again: str, kind: type[Prune | PruneRows]
) -> None:
    """The kept fraction stays that of the first matrix, and the perturbation does not understate the loss."""
    matrix, keep = problem
    twice = _pruned(kind(float(again)), prune(kind(float(keep)), matrix))
    after = np.asarray(twice.matrix, np.float64)
    if np.any(matrix):
        np.testing.assert_allclose(twice.kept_fraction, np.count_nonzero(after) / np.count_nonzero(matrix), rtol=1e-6)
        lost = np.sqrt(np.sum((matrix - after) ** 2) / np.sum(matrix**2))
        assert twice.perturbation >= lost * (1 - 1e-6)


@pytest.mark.parametrize("kind", [Prune, PruneRows])
def test_keep_one_is_the_identity_and_proves_as_much_as_before(kind: type[Prune | PruneRows]) -> None:
    system = System.of(jnp.eye(3), symmetric=True, eigenvalue_floor=jnp.ones(()))
    assert kind(1.0)(system, jnp.ones(())) is system
    assert kind(1)(system, jnp.ones(())) is system


def test_prune_can_destroy_definiteness_so_the_floor_goes() -> None:
    """0.5 of 3 entries is 2 per row: the entry 0.5 falls, and what is left has the eigenvalue 1 - 0.72 sqrt 2."""
    definite = np.array([[1.0, 0.72, 0.72], [0.72, 1.0, 0.5], [0.72, 0.5, 1.0]])
    assert np.linalg.eigvalsh(definite)[0] > 0.1
    after = prune(Prune(0.5), definite)
    np.testing.assert_allclose(after.matrix, [[1, 0.72, 0.72], [0.72, 1, 0], [0.72, 0, 1]], rtol=1e-6)
    smallest = np.linalg.eigvalsh(np.asarray(after.matrix, np.float64))[0]
    np.testing.assert_allclose(smallest, 1 - 0.72 * math.sqrt(2), rtol=1e-5)
    assert smallest < 0
    assert after.eigenvalue_floor is None


def test_prune_rows_is_unsymmetric_and_drops_a_small_diagonal() -> None:
    matrix = np.array([[0.125, 1.0, 2.0], [1.0, 3.0, 0.5], [2.0, 0.5, 5.0]])
    after = prune(PruneRows(1 / 3), matrix)
    np.testing.assert_array_equal(after.matrix, [[0, 0, 2], [0, 3, 0], [0, 0, 5]])
    assert after.symmetric is False
    assert after.eigenvalue_floor is None
    both = prune(Prune(1 / 3), matrix)
    np.testing.assert_array_equal(both.matrix, matrix * np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]]))
    assert both.symmetric is True


def test_a_row_can_keep_more_than_its_share() -> None:
    """All other rows need their entry in the first column, so the first row keeps everything."""
    arrow = np.diag([1.0, 2.0, 3.0, 4.0]) + 0.01
    arrow[0, 1:] = arrow[1:, 0] = 10.0
    after = np.asarray(prune(Prune(0.25), arrow).matrix)
    np.testing.assert_array_equal(np.count_nonzero(after, axis=1), [4, 2, 2, 2])


@pytest.mark.parametrize("keep", [0.07, 0.55, 0.58])
def test_a_decimal_ratio_is_not_rounded_up(keep: float) -> None:
    """0.07 * 100 = 7.000000000000001 and 0.55 * 100 = 55.00000000000001, but 0.58 * 100 = 57.99999999999999."""
    row = np.arange(1.0, 101.0)
    after = prune(PruneRows(keep), np.tile(row, (100, 1)), symmetric=False)
    np.testing.assert_array_equal(np.count_nonzero(after.matrix, axis=1), round(100 * keep))


def test_a_ratio_just_above_a_decimal_one_still_rounds_up() -> None:
    after = prune(PruneRows(0.5000001), np.tile(np.arange(1.0, 11.0), (10, 1)), symmetric=False)
    np.testing.assert_array_equal(np.count_nonzero(after.matrix, axis=1), 6)


@pytest.mark.parametrize("scale", [1e-30, 1e-25, 1.0, 1e25, 1e37])
def test_the_perturbation_does_not_depend_on_the_units(scale: float) -> None:
    """The squares of these entries leave the float32 range."""
    matrix = np.array([[1.0, 0.5, 0.25], [0.5, 1.0, 0.125], [0.25, 0.125, 1.0]])
    after = prune(Prune(0.5), matrix * scale)
    expected = math.sqrt(2) * 0.125 / math.sqrt(np.sum(matrix**2))
    np.testing.assert_allclose(after.perturbation, expected, rtol=1e-5)


@pytest.mark.parametrize("kind", [Prune, PruneRows])
@pytest.mark.parametrize("keep", [0.0, -0.5, 1.0000001, 2.0, math.nan, math.inf, -math.inf], ids=str)
def test_a_ratio_outside_its_range_is_refused_with_the_value(kind: type[Prune | PruneRows], keep: float) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared below
        kind(keep)
    assert f"keep ratio is {keep}: it must lie in (0, 1]" in str(caught.value)
    assert "1 keeps all" in str(caught.value)


@pytest.mark.parametrize("kind", [Prune, PruneRows])
def test_a_numpy_number_is_a_number(kind: type[Prune | PruneRows]) -> None:
    assert kind(np.float64(0.5)) == kind(0.5)
    assert hash(kind(np.float32(0.5)).keep) == hash(0.5)

"""The fill of a factor from its pattern, against eliminations carried out on patterns."""

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from qnewton._pricing.structure import grid
from qnewton.lab._experiments.matrices import pattern as module
from qnewton.lab._experiments.matrices.numbers import numbers_of_file
from qnewton.lab._experiments.matrices.pattern import fill_if_analysed, structure_of
from qnewton.lab._experiments.matrices.symbolic import column_counts, fill_of


def eliminated(pattern: np.ndarray) -> np.ndarray:
    """The counts by elimination: whatever neighbours a column has become neighbours of each other."""
    filled, counts = pattern.copy(), np.zeros(len(pattern))
    for column in range(len(pattern)):
        below = column + 1 + np.flatnonzero(filled[column + 1 :, column])
        counts[column] = 1 + len(below)
        filled[np.ix_(below, below)] = True
    return counts


def mesh(size: int, dimension: int) -> scipy.sparse.csr_array:
    line = scipy.sparse.csr_array(2 * np.eye(size) - np.eye(size, k=1) - np.eye(size, k=-1))
    found = scipy.sparse.csr_array((1, 1))
    for place in range(dimension):
        inner = scipy.sparse.eye_array(size**place)
        found = scipy.sparse.kron(found, scipy.sparse.eye_array(size)) + scipy.sparse.kron(inner, line)
    return scipy.sparse.csr_array(found)


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 40), density=st.floats(0, 0.3))
def test_counts_are_those_of_an_elimination(seed: int, n: int, density: float) -> None:
    pattern = np.random.default_rng(seed).random((n, n)) < density
    pattern = pattern | pattern.T | np.eye(n, dtype=bool)
    np.testing.assert_array_equal(column_counts(scipy.sparse.csr_array(pattern)), eliminated(pattern))


def test_an_order_by_dissection_fills_less_and_the_sums_are_right() -> None:
    matrix = mesh(12, 2)
    fill = fill_of(matrix)
    natural = eliminated(matrix.toarray() != 0)
    assert fill.entries < natural.sum()
    assert fill.flops < np.sum(natural**2)
    assert fill.entries >= np.count_nonzero(np.tril(matrix.toarray()))
    assert fill.bandwidth == 12
    # Cuthill and McKee find the band that a shuffle hid.
    shuffle = np.random.default_rng(0).permutation(144)
    assert fill_of(scipy.sparse.csr_array(matrix[shuffle][:, shuffle])).bandwidth <= 14
    alone = fill_of(scipy.sparse.csr_array(scipy.sparse.eye_array(5)))
    assert (alone.entries, alone.flops, alone.bandwidth) == (5.0, 5.0, 0)


@pytest.mark.parametrize(("size", "dimension"), [(10, 2), (60, 2), (5, 3), (16, 3)])
def test_the_bounds_of_dissection_hold_for_meshes_and_are_near(size: int, dimension: int) -> None:
    fill, bound = fill_of(mesh(size, dimension)), grid(float(size**dimension), dimension)
    assert fill.entries <= bound.fill <= 6 * fill.entries
    assert fill.flops <= bound.factor_flops <= 6 * fill.flops


def test_a_file_gives_fill_band_and_what_its_diagonal_gains(tmp_path: Path, monkeypatch) -> None:
    """Scaled back to an even diagonal, a matrix has the condition number that it had before it was scaled."""
    even, rng = mesh(40, 1), np.random.default_rng(0)
    uneven = scipy.sparse.diags_array(10.0 ** rng.uniform(-2, 2, 40))
    matrix = scipy.sparse.csr_array(uneven @ even @ uneven)
    scipy.sparse.save_npz(tmp_path / "a.npz", matrix)
    found = numbers_of_file(tmp_path / "a.npz")
    structure, kappa = found["structure"], np.linalg.cond(even.toarray())
    assert found["condition_number"] > 100 * kappa
    assert kappa * (1 - 1e-9) <= structure.preconditioned_kappa <= 1.05 * kappa
    assert structure.bandwidth == 1
    # Dissection makes 107 numbers of a line, whose band holds 80.
    assert (structure.fill, structure.factor_flops) == (80.0, 160.0)
    assert structure_of(even, True, fill_if_analysed(even))[0].preconditioned_kappa is None
    assert fill_if_analysed(scipy.sparse.csr_array(np.ones((4, 4)) + np.eye(4))) is None
    pair = scipy.sparse.csr_array(scipy.sparse.block_diag([even, even[:7][:, :7]]))
    assert structure_of(pair, True, fill_of(pair))[1] == ("the pattern falls into 2 blocks, the largest of 40 rows",)
    monkeypatch.setattr(module, "MOST_ENTRIES", 50)
    structure, notes = structure_of(even, True, fill_if_analysed(even))
    assert structure.fill is None
    assert "patterns of up to 50 entries" in notes[0]

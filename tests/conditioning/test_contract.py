"""What every conditioner must do, on every kind of matrix; a new conditioner is one row of `CONDITIONERS`.

The references are numpy loops in float64 over plain lists of columns; they share no code with the library.
"""

import functools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qnewton._conditioning import AbstractConditioner, Damp, Prune, PruneRows, condition
from qnewton._core.records import System
from qnewton.testing import symmetric_with_spectrum


class Expected(NamedTuple):
    """What a conditioner makes of a system without a history."""

    matrix: np.ndarray
    damping: float
    kept_fraction: float
    perturbation: float


def damped(relative: float, offset: float) -> Callable[[np.ndarray, float], Expected]:
    def reference(matrix: np.ndarray, scale: float) -> Expected:
        amount = scale * relative * (max(abs(entry) for row in matrix for entry in row) + offset)
        after = matrix.copy()
        for i in range(len(matrix)):
            after[i, i] += amount
        return Expected(after, amount, 1, 0)

    return reference


def pruned(keep: str, *, symmetric: bool) -> Callable[[np.ndarray, float], Expected]:
    """`keep` as decimal text, so that `ceil(keep n)` is exact."""

    def reference(matrix: np.ndarray, scale: float) -> Expected:
        n = len(matrix)
        count = math.ceil(Fraction(keep) * n)
        stay = [sorted(range(n), key=lambda j, i=i: -abs(matrix[i, j]))[:count] for i in range(n)]
        after = np.zeros_like(matrix)
        for i in range(n):
            for j in range(n):
                if j in stay[i] or (symmetric and (i in stay[j] or i == j)):
                    after[i, j] = matrix[i, j]
        nonzero = np.count_nonzero(matrix)
        if nonzero == 0:
            return Expected(after, 0, 1, 0)
        lost = math.sqrt(sum(entry**2 for row in matrix - after for entry in row))
        norm = math.sqrt(sum(entry**2 for row in matrix for entry in row))
        return Expected(after, 0, np.count_nonzero(after) / nonzero, lost / norm)

    return reference


class Case(NamedTuple):
    conditioner: AbstractConditioner
    reference: Callable[[np.ndarray, float], Expected]
    keeps_symmetry: bool = True
    keeps_floor: bool = False


CONDITIONERS = {
    "damp": Case(Damp(), damped(5e-3, 0), keeps_floor=True),
    "damp-offset": Case(Damp(0.25, offset=2.0), damped(0.25, 2.0), keeps_floor=True),
    "damp-nothing": Case(Damp(0.0), damped(0, 0), keeps_floor=True),
    "prune": Case(Prune(0.5), pruned("0.5", symmetric=True)),
    "prune-odd": Case(Prune(0.3), pruned("0.3", symmetric=True)),
    "prune-tiny": Case(Prune(1e-300), pruned("1e-300", symmetric=True)),
    "prune-nothing": Case(Prune(1.0), pruned("1", symmetric=True), keeps_floor=True),
    "prune-rows": Case(PruneRows(0.5), pruned("0.5", symmetric=False), keeps_symmetry=False),
    "prune-rows-tiny": Case(PruneRows(1e-300), pruned("1e-300", symmetric=False), keeps_symmetry=False),
    "prune-rows-nothing": Case(PruneRows(1.0), pruned("1", symmetric=False), keeps_floor=True),
}


def float32(matrix: np.ndarray) -> np.ndarray:
    """Rounded, so that both widths see the same entries."""
    return matrix.astype(np.float32).astype(np.float64)


MATRICES = {
    "definite": float32(symmetric_with_spectrum(np.geomspace(1e-3, 1e3, 7))),
    "indefinite": float32(symmetric_with_spectrum([-4.0, -1.0, -1e-2, 0.5, 2.0, 30.0, 700.0], seed=1)),
    "low-rank": float32(symmetric_with_spectrum([0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 3.0], seed=2)),
    "diagonal": np.diag([1.0, -2.0, 3.0, 0.0, 5.0, -6.0, 7.0]),
    "zero": np.zeros((7, 7)),
    "one-by-one": np.array([[-3.0]]),
}

cases = pytest.mark.parametrize("case", CONDITIONERS)
matrices = pytest.mark.parametrize("matrix", MATRICES)


def system_of(matrix: np.ndarray, dtype: jnp.dtype, *, floor: bool = False) -> System:
    eigenvalue_floor = jnp.asarray(np.linalg.eigvalsh(matrix)[0], dtype) if floor else None
    return System.of(jnp.asarray(matrix, dtype), symmetric=True, eigenvalue_floor=eigenvalue_floor)


@functools.cache
def conditioned(conditioner: str, matrix: str, width: str) -> System:
    """The system with a floor, at scale 2.5; one program whose outcome several tests read.

    The scale is of the policy's dtype, not always of the matrix's.
    """
    with jax.enable_x64(width == "float64"):
        before = system_of(MATRICES[matrix], jnp.dtype(width), floor=True)
        return jax.jit(CONDITIONERS[conditioner].conditioner)(before, jnp.asarray(2.5, jnp.float32))


@cases
@matrices
def test_it_equals_its_reference(case: str, matrix: str, dtype: jnp.dtype) -> None:
    expected = CONDITIONERS[case].reference(MATRICES[matrix], 2.5)
    after = conditioned(case, matrix, dtype.name)
    rounding = 16 * np.finfo(dtype).eps
    np.testing.assert_allclose(after.matrix, expected.matrix, rtol=0, atol=rounding * np.max(np.abs(expected.matrix)))
    np.testing.assert_array_equal(np.asarray(after.matrix) == 0, expected.matrix == 0)
    np.testing.assert_allclose(after.damping, expected.damping, rtol=rounding)
    np.testing.assert_allclose(after.kept_fraction, expected.kept_fraction, rtol=rounding)
    np.testing.assert_allclose(after.perturbation, expected.perturbation, rtol=rounding)


@cases
@matrices
def test_the_record_stays_in_the_dtype_of_the_matrix(case: str, matrix: str, dtype: jnp.dtype) -> None:
    after = conditioned(case, matrix, dtype.name)
    assert {leaf.dtype for leaf in jax.tree.leaves(after)} == {dtype}
    assert after.matrix.shape == MATRICES[matrix].shape
    assert after.eigenvalue_floor is None or after.eigenvalue_floor.shape == ()
    assert after.damping.shape == after.kept_fraction.shape == after.perturbation.shape == ()


@cases
@matrices
def test_symmetric_is_said_only_of_a_symmetric_matrix(case: str, matrix: str, dtype: jnp.dtype) -> None:
    after = conditioned(case, matrix, dtype.name)
    if after.symmetric:
        np.testing.assert_array_equal(after.matrix, after.matrix.T)
    assert after.symmetric == CONDITIONERS[case].keeps_symmetry


@cases
@matrices
def test_a_floor_that_is_kept_lies_at_or_below_the_smallest_eigenvalue(
    case: str, matrix: str, dtype: jnp.dtype
) -> None:
    after = conditioned(case, matrix, dtype.name)
    assert (after.eigenvalue_floor is not None) == CONDITIONERS[case].keeps_floor
    if after.eigenvalue_floor is not None:
        eigenvalues = np.linalg.eigvalsh(np.asarray(after.matrix, np.float64))
        rounding = 4 * len(eigenvalues) * np.finfo(dtype).eps * np.max(np.abs(eigenvalues))
        np.testing.assert_allclose(after.eigenvalue_floor, eigenvalues[0], rtol=0, atol=rounding)


@cases
def test_no_floor_is_made_up(case: str) -> None:
    after = CONDITIONERS[case].conditioner(system_of(MATRICES["definite"], jnp.dtype("float32")), jnp.ones(()))
    assert after.eigenvalue_floor is None


@cases
def test_the_history_is_kept(case: str) -> None:
    """Damping adds up, kept fractions multiply, perturbations add up (an upper bound of the two together)."""
    matrix = MATRICES["indefinite"]
    expected = CONDITIONERS[case].reference(matrix, 1.0)
    fresh = system_of(matrix, jnp.dtype("float32"))
    history = System(fresh.operator, True, None, jnp.float32(0.5), jnp.float32(0.25), jnp.float32(0.125))
    after = CONDITIONERS[case].conditioner(history, jnp.ones(()))
    np.testing.assert_allclose(after.damping, 0.5 + expected.damping, rtol=1e-6)
    np.testing.assert_allclose(after.kept_fraction, 0.25 * expected.kept_fraction, rtol=1e-6)
    np.testing.assert_allclose(after.perturbation, 0.125 + expected.perturbation, rtol=1e-6)


@cases
def test_an_unsymmetric_system_is_not_called_symmetric(case: str) -> None:
    matrix = np.random.default_rng(0).standard_normal((7, 7))
    system = System.of(jnp.asarray(matrix, jnp.float32), symmetric=False)
    assert CONDITIONERS[case].conditioner(system, jnp.ones(())).symmetric is False


@cases
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf], ids=str)
def test_an_entry_that_is_not_finite_stays_visible(case: str, poison: float) -> None:
    """The step finds it in the conditioned matrix; pruning must not sweep it under the carpet."""
    matrix = MATRICES["definite"].copy()
    matrix[2, 5] = matrix[5, 2] = poison
    after = CONDITIONERS[case].conditioner(system_of(matrix, jnp.dtype("float32")), jnp.ones(()))
    assert not np.isfinite(np.sum(after.matrix))


@cases
def test_jit_changes_nothing(case: str) -> None:
    before = system_of(MATRICES["indefinite"], jnp.dtype("float32"), floor=True)
    conditioner = CONDITIONERS[case].conditioner
    eager, traced = conditioner(before, jnp.ones(())), jax.jit(conditioner)(before, jnp.ones(()))
    assert jax.tree.structure(eager) == jax.tree.structure(traced)
    for a, b in zip(jax.tree.leaves(eager), jax.tree.leaves(traced), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@cases
def test_a_sequence_is_applied_from_first_to_last(case: str) -> None:
    before, scale = system_of(MATRICES["indefinite"], jnp.dtype("float32")), jnp.asarray(2.0)
    for other in (Damp(0.5), Prune(0.3)):
        together = condition((CONDITIONERS[case].conditioner, other), before, scale)
        one_by_one = other(CONDITIONERS[case].conditioner(before, scale), scale)
        np.testing.assert_array_equal(together.matrix, one_by_one.matrix)
        np.testing.assert_array_equal(together.damping, one_by_one.damping)


def test_no_conditioner_is_no_change() -> None:
    before = system_of(MATRICES["definite"], jnp.dtype("float32"))
    assert condition((), before, jnp.ones(())) is before

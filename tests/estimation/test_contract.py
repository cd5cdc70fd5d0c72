"""What every estimator must do. A new estimator is one row of `CASES`."""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

from qnewton._core.records import Kind, System
from qnewton._estimation import (
    AbstractEstimator,
    Automatic,
    Bracket,
    Certified,
    DefiniteDeterminantNorm,
    DeterminantNorm,
    Exact,
    HagerHigham,
    InverseLanczos,
    Lanczos,
    ProbabilisticLanczos,
)
from qnewton._estimation.base import norms_of
from qnewton.testing import DenseBlock, symmetric_with_spectrum

N = 6
SPECTRUM = (0.02, 0.1, 0.3, 1.0, 1.0, 2.0)
INDEFINITE = (-0.02, -0.1, -0.3, 1.0, 1.0, 2.0)


class Case(NamedTuple):
    """An estimator and what it promises.

    `low` and `high` bracket estimate over truth for the definite `SPECTRUM` with its floor known. `general` tells
    whether it takes matrices without symmetry, `floorless` whether it does without an eigenvalue floor, `sign` whether
    it recognises a definite matrix when a floor is proven.
    """

    estimator: AbstractEstimator
    kind: Kind
    low: float
    high: float
    general: bool = True
    floorless: bool = True
    sign: bool = True


CASES = {
    "exact": Case(Exact(), Kind.EXACT, 1, 1),
    "certified": Case(Certified(), Kind.CERTIFIED, 1, math.sqrt(N), floorless=False),
    "inverse_lanczos": Case(InverseLanczos(), Kind.ESTIMATE, 0.99, 1),
    "lanczos": Case(Lanczos(), Kind.ESTIMATE, 0.99, 1, general=False),
    "determinant": Case(DeterminantNorm(), Kind.BOUND, 1, math.inf, sign=False),
    "definite_determinant": Case(DefiniteDeterminantNorm(), Kind.BOUND, 1, math.inf, general=False),
    "bracket": Case(Bracket(), Kind.ESTIMATE, 0.95, 1.05, floorless=False),
    # Six rows, six products: nothing is left to chance.
    "probabilistic": Case(ProbabilisticLanczos(), Kind.PROBABILISTIC, 1, 1.001, floorless=False),
    # The 1-norm of a matrix of six rows is at most sqrt(6) times its 2-norm, and so is that of its inverse.
    "hager_higham": Case(HagerHigham(), Kind.ROUGH, 0.3, N),
    "automatic": Case(Automatic(), Kind.EXACT, 1, 1),
}

each = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
floorless = pytest.mark.parametrize(
    "case", [c for c in CASES.values() if c.floorless], ids=[k for k, c in CASES.items() if c.floorless]
)


def _definite(scale=1.0):
    return scale * symmetric_with_spectrum(SPECTRUM), scale * SPECTRUM[0]


@each
def test_estimates_within_its_promise_of_the_truth(case, dtype, estimate, true_log_kappa):
    matrix, floor = _definite()
    found = estimate(case.estimator, matrix, dtype, floor=floor)
    ratio = math.exp(float(found.log_condition_number) - true_log_kappa(matrix, dtype))
    slack = 1e3 * jnp.finfo(dtype).eps
    assert case.low * (1 - slack) <= ratio <= case.high * (1 + slack)
    assert float(found.condition_number) == pytest.approx(math.exp(found.log_condition_number), rel=1e-5)
    assert found.kind is case.kind


@each
def test_bound_is_not_vacuous(case, dtype, estimate):
    # `high` is infinite for the determinant bounds; the closed form for six singular values stays below this.
    matrix, floor = _definite()
    assert estimate(case.estimator, matrix, dtype, floor=floor).log_condition_number < math.log(1e7)


@each
def test_record_is_scalars_of_the_matrix_dtype(case, dtype, estimate):
    matrix, floor = _definite()
    found = estimate(case.estimator, matrix, dtype, floor=floor)
    assert found.n == N
    for field in ("max_entry", "frobenius_norm", "spectral_norm", "log_condition_number", "condition_number"):
        value = getattr(found, field)
        assert (value.shape, value.dtype) == ((), dtype), field
    assert (found.degree.shape, found.definite.shape, found.definite.dtype) == ((), (), bool)
    assert jnp.issubdtype(found.degree.dtype, jnp.integer)


@each
def test_facts_equal_numpy(case, dtype, estimate):
    matrix = np.diag([3.0, 2.0, 5.0, 4.0, 3.0, 2.0])
    matrix[0, 3] = matrix[3, 0] = -1.5
    matrix[3, 5] = matrix[5, 3] = 0.25
    found = estimate(case.estimator, matrix, dtype, floor=1.0)
    assert found.degree == 3
    assert found.max_entry == 5
    assert float(found.frobenius_norm) == pytest.approx(np.linalg.norm(matrix), rel=1e-6)
    # Each estimator knows the spectral norm as well as its own bound does, and none may report less than it saw.
    assert np.linalg.norm(matrix, 2) * 0.99 <= float(found.spectral_norm) <= np.linalg.norm(matrix) * (1 + 1e-6)


def test_the_largest_entry_of_an_indefinite_block_stands_anywhere(double):
    matrix = np.array([[1.0, -3.0, 0.0], [-3.0, 2.0, 0.5], [0.0, 0.5, -1.0]])
    for system in (
        System.over(DenseBlock(matrix=jnp.asarray(matrix)), symmetric=True),
        System.of(jnp.asarray(matrix), symmetric=True),
    ):
        assert norms_of(system).max_entry == 3


@each
@pytest.mark.parametrize("exponent", [-20, -12, 15, 25])
def test_scale_of_the_matrix_changes_nothing(case, exponent, dtype, estimate):
    at_one = estimate(case.estimator, *_definite()[:1], dtype, floor=_definite()[1])
    matrix, floor = _definite(10.0**exponent)
    scaled = estimate(case.estimator, matrix, dtype, floor=floor)
    assert float(scaled.log_condition_number) == pytest.approx(float(at_one.log_condition_number), abs=1e-3)
    assert float(scaled.frobenius_norm) == pytest.approx(np.linalg.norm(matrix), rel=1e-5)
    assert float(scaled.spectral_norm) == pytest.approx(float(at_one.spectral_norm) * 10.0**exponent, rel=1e-4)
    assert scaled.definite == at_one.definite


def test_a_bound_next_to_rounding_has_no_unit(estimate):
    """A smallest eigenvalue that float32 cannot tell to a twentieth: bounded, and by the same number at every scale."""
    matrix = symmetric_with_spectrum((1e-6, *SPECTRUM[1:])).astype("float32")
    found = [estimate(Exact(), matrix * np.float32(2.0**power), "float32") for power in (0, 20, -20)]
    logs = [float(one.log_condition_number) for one in found]
    assert all(one.kind is Kind.CERTIFIED for one in found)
    np.testing.assert_allclose(logs, logs[0], rtol=1e-6)
    assert math.log(2e6) < logs[0] < math.log(1e7)


@each
def test_a_matrix_of_which_arithmetic_may_lose_entries_has_no_condition_number(case, estimate):
    """Beside the diagonal its entries are subnormal: its condition number is 1.3 and would come out as 1."""
    tiny = float(np.finfo(np.float32).tiny)
    found = estimate(case.estimator, tiny * 8 * (np.eye(N) + 0.05 * np.ones((N, N))), "float32", floor=8 * tiny)
    assert np.isinf(found.log_condition_number)
    assert found.kind is Kind.CERTIFIED
    assert not found.definite


@each
@pytest.mark.parametrize(
    "poison",
    [
        pytest.param(lambda m: m * np.nan, id="all_nan"),
        pytest.param(lambda m: m + np.diag([0, 0, np.nan, 0, 0, 0]), id="nan_on_the_diagonal"),
        pytest.param(lambda m: np.where(np.add.outer(np.arange(N), np.arange(N)) == 1, np.nan, m), id="nan_beside"),
        pytest.param(lambda m: m + np.diag([0, 0, np.inf, 0, 0, 0]), id="infinite"),
        pytest.param(lambda m: m * 0, id="zero"),
    ],
)
def test_what_cannot_be_solved_is_infinite_and_not_definite(case, poison, dtype, estimate):
    matrix, floor = _definite()
    # The floor of a zero matrix is zero; of one with NaN in it, whatever the damping was.
    poisoned = poison(matrix)
    found = estimate(case.estimator, poisoned, dtype, floor=floor if np.any(poisoned) else 0.0)
    assert found.log_condition_number == math.inf
    assert found.condition_number == math.inf
    assert not found.definite


@each
def test_definite_matrix_is_recognised(case, dtype, estimate):
    matrix, floor = _definite()
    assert bool(estimate(case.estimator, matrix, dtype, floor=floor).definite) is case.sign


@floorless
def test_indefinite_matrix_is_never_called_definite(case, double, estimate):
    for spectrum in (INDEFINITE, [-x for x in SPECTRUM], [0.0, *SPECTRUM[1:]]):
        found = estimate(case.estimator, symmetric_with_spectrum(spectrum), "float64")
        # A Cholesky factorisation may or may not notice one eigenvalue of exactly zero; a negative one it must.
        if 0.0 not in spectrum or case.kind is not Kind.BOUND:
            assert not found.definite, spectrum


@each
def test_without_a_floor_it_works_or_says_what_to_use(case, double, estimate):
    matrix, _ = _definite()
    if case.floorless:
        assert np.isfinite(estimate(case.estimator, matrix, "float64").log_condition_number)
    else:
        with pytest.raises(ValueError, match=r"needs a proven eigenvalue floor.*Automatic, InverseLanczos or Exact"):
            estimate(case.estimator, matrix, "float64")


@floorless
def test_without_symmetry_it_works_or_says_what_to_use(case, double, estimate, true_log_kappa):
    # Singular values SPECTRUM: the product of a definite matrix and a reflection.
    matrix = symmetric_with_spectrum(SPECTRUM, 1) @ symmetric_with_spectrum([1, 1, 1, -1, -1, -1], 2)
    if case.general:
        found = estimate(case.estimator, matrix, "float64", symmetric=False)
        assert float(found.log_condition_number) >= true_log_kappa(matrix, "float64") + math.log(0.99)
        assert not found.definite
    else:
        with pytest.raises(ValueError, match=r"needs a symmetric matrix.*pruned row by row.*Prune instead"):
            estimate(case.estimator, matrix, "float64", symmetric=False)


@each
@pytest.mark.parametrize("entry", [1e-20, 0.37, 1.0, 3e15])
def test_one_row(case, entry, dtype, estimate):
    found = estimate(case.estimator, [[entry]], dtype, floor=entry)
    assert float(found.condition_number) == pytest.approx(1, abs=2e-3)
    assert float(found.spectral_norm) == pytest.approx(entry, rel=1e-5)
    assert (found.n, found.degree, bool(found.definite)) == (1, 1, case.sign)


@floorless
def test_one_negative_row_is_not_definite(case, dtype, estimate):
    found = estimate(case.estimator, [[-2.5]], dtype)
    assert not found.definite
    assert float(found.spectral_norm) == pytest.approx(2.5)

"""The determinant bounds against published values, the truth and each other."""

import math

import hypothesis
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qnewton._core.records import Kind
from qnewton._estimation import DefiniteDeterminantNorm, DeterminantNorm
from qnewton._estimation.determinant import log_bound_definite, log_bound_general
from qnewton.testing import symmetric_with_spectrum

pytestmark = pytest.mark.usefixtures("double")


@pytest.mark.parametrize(
    ("singular", "published", "rel"),
    [
        pytest.param(np.r_[10.0, np.ones(24)], 9.88e7, 5e-4, id="one_large"),
        pytest.param(np.r_[np.ones(24), 0.1], 12.0, 5e-3, id="one_small"),
        pytest.param(np.geomspace(1, 10, 25), 5.71e4, 1e-3, id="geometric"),
    ],
)
def test_published_table(singular, published, rel, estimate):
    # N. Higham, "Bounds for the Matrix Condition Number" (2021), n = 25, kappa = 10; printed to three digits.
    general = symmetric_with_spectrum(singular, 1) @ symmetric_with_spectrum(np.r_[np.ones(12), -np.ones(13)], 2)
    found = estimate(DeterminantNorm(), general, "float64", symmetric=False)
    assert float(found.condition_number) == pytest.approx(published, rel=rel)
    assert found.kind is Kind.BOUND


def test_exact_for_two_rows(estimate):
    general = estimate(DeterminantNorm(), [[1, 2], [3, 4]], "float64", symmetric=False)
    assert float(general.condition_number) == pytest.approx(14.933034373659268, rel=1e-12)
    definite = estimate(DefiniteDeterminantNorm(), [[2, 1], [1, 3]], "float64")
    # lambda = (5 +- sqrt 5) / 2
    assert float(definite.condition_number) == pytest.approx((5 + 5**0.5) / (5 - 5**0.5), rel=1e-12)


def _guggenheimer(singular):
    """`2 / sqrt(y)` (Guggenheimer, Edelman and Johnson 1995): an older bound, never below the one under test."""
    n = len(singular)
    return math.log(2) - (n * math.log(n) - n * math.log(np.sum(singular**2)) + 2 * np.sum(np.log(singular))) / 2


entries = st.floats(-10, 10).map(lambda x: round(x, 3))


@hypothesis.given(matrix=hnp.arrays(np.float64, (4, 4), elements=entries))
def test_general_bound_lies_between_the_truth_and_the_older_bound(matrix, estimate):
    singular = np.linalg.svd(matrix, compute_uv=False)
    hypothesis.assume(singular[-1] > 1e-6 * singular[0])
    bound = float(estimate(DeterminantNorm(), matrix, "float64", symmetric=False).log_condition_number)
    # sqrt(1 - y) amplifies rounding next to y = 1, kappa = 1.
    assert math.log(singular[0] / singular[-1]) - 1e-6 <= bound <= _guggenheimer(singular) + 1e-9


@hypothesis.given(spectrum=st.lists(st.floats(-3, 3), min_size=5, max_size=5), seed=st.integers(0, 100))
def test_definite_bound_is_above_the_truth_and_never_far_above_the_general_bound(spectrum, seed, estimate):
    spectrum = 10 ** np.asarray(spectrum)
    matrix = symmetric_with_spectrum(spectrum, seed)
    definite = estimate(DefiniteDeterminantNorm(), matrix, "float64")
    general = estimate(DeterminantNorm(), matrix, "float64")
    truth = math.log(spectrum.max() / spectrum.min())
    # At most twice the general bound: sqrt(y) <= z, since ||A||_F^2 >= (tr A)^2 / n.
    assert truth - 1e-6 <= definite.log_condition_number <= general.log_condition_number + math.log(2) + 1e-6
    assert definite.definite
    assert not general.definite


def test_definite_bound_is_far_tighter(estimate):
    # quantum-costs.md section 9: about 662 against 5141 at n = 10, kappa = 29.5; here another spectrum of that kind.
    matrix = symmetric_with_spectrum(np.geomspace(1, 29.5, 10))
    tight = estimate(DefiniteDeterminantNorm(), matrix, "float64").condition_number
    loose = estimate(DeterminantNorm(), matrix, "float64").condition_number
    assert 29.5 < tight < loose / 5


def test_logarithm_survives_what_overflows(estimate):
    spectrum = np.geomspace(2e-4, 1, 1024)
    for estimator, low, high in ((DeterminantNorm(), 1000, 2500), (DefiniteDeterminantNorm(), 500, 2500)):
        found = estimate(estimator, np.diag(spectrum), "float64")
        decades = float(found.log_condition_number) / math.log(10)
        assert low < decades < high
        assert found.condition_number == math.inf
    # In this regime y is nil, and both bounds agree with their older, simpler forms 2 / sqrt(y) and 4 / z.
    general = float(estimate(DeterminantNorm(), np.diag(spectrum), "float64").log_condition_number)
    assert general == pytest.approx(_guggenheimer(spectrum), rel=1e-12)
    log_z = 1024 * math.log(1024 / spectrum.sum()) + np.log(spectrum).sum()
    assert decades * math.log(10) == pytest.approx(math.log(4) - log_z, rel=1e-12)


@hypothesis.given(exponent=st.integers(-100, 100), matrix=hnp.arrays(np.float64, (4, 4), elements=entries))
def test_scale_invariance(exponent, matrix, estimate):
    hypothesis.assume(np.linalg.cond(matrix) < 1e6)
    one, other = (
        float(estimate(DeterminantNorm(), factor * matrix, "float64", symmetric=False).log_condition_number)
        for factor in (1.0, 10.0**exponent)
    )
    assert other == pytest.approx(one, abs=1e-5)


@pytest.mark.parametrize(
    "matrix",
    [
        pytest.param([[1.0, 2.0], [2.0, 1.0]], id="indefinite"),
        pytest.param([[-2.0, 0.0], [0.0, -2.0]], id="negative_definite"),
        pytest.param([[1.0, 1.0], [1.0, 1.0]], id="singular"),
        pytest.param([[0.0, 0.0], [0.0, 0.0]], id="zero"),
    ],
)
def test_definite_bound_is_infinite_where_it_does_not_hold(matrix, estimate):
    found = estimate(DefiniteDeterminantNorm(), matrix, "float64")
    assert found.condition_number == math.inf
    assert not found.definite


def test_general_bound_is_infinite_for_a_singular_matrix(estimate):
    found = estimate(DeterminantNorm(), [[1.0, 1.0], [1.0, 1.0]], "float64", symmetric=False)
    assert found.condition_number == math.inf


@pytest.mark.parametrize("excess", [0.0, 1e-12])
def test_equal_singular_values_give_one_even_if_rounding_lifts_y_above_its_limit(excess):
    assert log_bound_general(3, jnp.asarray(excess), jnp.log(3.0) / 2) == 0
    assert log_bound_definite(3, jnp.asarray(excess), jnp.log(3.0)) == 0

"""Lower bounds: the argument run on matrices, the best choice found by another search, and no count below them."""

import math

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

import qnewton as q
from qnewton._core.evidence import Evidence
from qnewton._solvers.quantum.queries.bounds import QUERY_BOUNDS, block_queries, search_queries

KEPT = 1 / 3  # of the runs, where they are cut off at 1.5 times the expected queries


def least(bound, kappa, error, n=1e12, degree=1.0, alpha=1.0):
    # An error of a state that is a trace distance.
    return bound(q.solvers.Encoding(kappa, alpha), error, n, degree, convention=q.queries.ErrorConvention.TRACE)


def encoding_of(entries: np.ndarray) -> np.ndarray:
    """A unitary whose upper left block is diagonal."""
    other = np.diag(np.sqrt(1 - entries**2))
    return np.block([[np.diag(entries), other], [other, -np.diag(entries)]])


@pytest.mark.parametrize("kappa", [2.0, 30.0])
def test_few_queries_do_not_tell_the_two_matrices_apart(kappa):
    t = kappa**0.4
    first, second = np.array([1, t / kappa, 1 / kappa]), np.array([1, 1 / kappa, t / kappa])
    b = np.array([0, 1, 1]) / math.sqrt(2)
    x, y = (v / np.linalg.norm(v) for v in (b / first, b / second))
    assert math.acos(x @ y) == pytest.approx(math.atan(math.sinh(math.log(t))), rel=1e-9)
    one, other = (encoding_of(s) for s in (first, second))
    delta = math.asin(t / kappa) - math.asin(1 / kappa)
    rng = np.random.default_rng(3)
    states = [np.concatenate([b, np.zeros(3)])] * 2
    for call in range(1, 9):
        between, _ = np.linalg.qr(rng.standard_normal((6, 6)) + 1j * rng.standard_normal((6, 6)))
        states = [between @ unitary @ state for unitary, state in zip((one, other), states, strict=True)]
        assert math.acos(min(abs(np.vdot(*states)), 1)) <= call * delta + 1e-7


@pytest.mark.parametrize("kappa", [3.0, 100.0, 1e6])
@pytest.mark.parametrize("error", [1e-6, 1e-3, 0.05])
def test_the_choice_of_matrices_is_nearly_the_best(kappa, error):
    lost = 2 * math.asin(error / math.sqrt(KEPT))

    def of_pair(log_quotient):
        apart = math.atan(math.sinh(log_quotient)) - lost
        turn = math.asin(math.exp(log_quotient) / kappa) - math.asin(1 / kappa)
        return math.acos(1 - KEPT * (1 - math.cos(max(apart, 0)))) / (1.5 * turn)

    def of_search(log_entries):
        entries = math.exp(log_entries)
        angle = max(math.atan(kappa / math.sqrt(entries - 1)) - lost / 2, 0.0)
        found = math.asin(math.sqrt(KEPT) * math.sin(angle))
        return (found / math.asin(1 / math.sqrt(entries)) - 1) / 3

    for bound, value, low, high in (
        (block_queries, of_pair, 1e-3, math.log(kappa) * (1 - 1e-9)),
        (search_queries, of_search, math.log(2), math.log(1e12)),
    ):
        best = max(value(x) for x in np.linspace(low, high, 20_001))
        assert max(1, 0.93 * best) <= float(least(bound, kappa, error).queries) <= max(best, 1) * (1 + 1e-9)


def test_a_search_meets_its_bound():
    # Grover's search by the best number of iterations finds the entry with the probability that the bound names.
    n = 400
    theta = math.asin(1 / math.sqrt(n))
    steps = round(math.pi / 4 / theta - 0.5)
    state = np.full(n, 1 / math.sqrt(n))
    for _ in range(steps):
        state[7] *= -1
        state = 2 * state.mean() - state
    assert state[7] ** 2 == pytest.approx(math.sin((2 * steps + 1) * theta) ** 2)
    assert float(least(search_queries, 1e6, 1e-9, n=n).queries) < steps


def test_limits_of_a_small_error():
    assert float(least(block_queries, 1e8, 1e-9).queries) == pytest.approx(1e8 / (1.5 * math.sqrt(3)), rel=1e-3)
    assert float(least(block_queries, 1e4, 1e-9, alpha=30).queries) == pytest.approx(
        float(least(block_queries, 3e5, 1e-9).queries)
    )
    for kappa in (16.0, 30.0):
        rows = 3 * kappa * 2 ** (kappa / 2)
        for name, constant in (("wang2024_sparse_depth", 0.249), ("wang2024_block_depth", 0.031)):
            for more in (1.0, 4.0):
                found = float(least(QUERY_BOUNDS[name], more * kappa, 1e-3, n=rows).queries)
                assert found == pytest.approx(max(constant * kappa, 1.0), rel=1e-6)
    assert float(least(QUERY_BOUNDS["mori2026_sparsity"], 50, 0.1, degree=9).queries) == pytest.approx(150)
    assert float(least(QUERY_BOUNDS["mori2026_precision"], 50, 1e-3).queries) == pytest.approx(50 * math.log(1e3))


@hypothesis.given(
    kappa=st.floats(0, 12).map(lambda e: 10**e),
    alpha=st.floats(0, 4).map(lambda e: 10**e),
    error=st.floats(-12, -0.05).map(lambda e: 10**e),
    norm=st.none() | st.floats(0, 1),
)
def test_no_published_count_is_below_a_sure_bound(kappa, alpha, error, norm):
    encoding = q.solvers.Encoding(kappa, alpha)
    sure = {bound.unit: bound for bound in QUERY_BOUNDS.values() if bound.sure}
    floor = float(sure[q.queries.Unit.BLOCK_ENCODING](encoding, error, 1e12).queries)
    entries = float(sure[q.queries.Unit.SPARSE_ACCESS](encoding, error, 1e12).queries)
    for model in q.queries.QUERY_MODELS.values():
        # A walk step calls the encoding once at least.
        found = model(encoding, error, None if norm is None else kappa**norm)
        known = entries if model.unit is q.queries.Unit.SPARSE_ACCESS else floor
        assert not found.valid or float(found.queries) >= known, model.name


@pytest.mark.parametrize("bound", QUERY_BOUNDS.values(), ids=list(QUERY_BOUNDS))
def test_bounds_grow_as_they_should_and_say_where_they_do_not_hold(bound):
    base = float(least(bound, 1e3, 1e-2, n=1e6, degree=9).queries)
    for change in ({"kappa": 1e4}, {"error": 1e-3}, {"n": 1e8}, {"degree": 16}, {"alpha": 3.0}):
        assert float(least(bound, **{"kappa": 1e3, "error": 1e-2, "n": 1e6, "degree": 9, **change}).queries) >= base
    assert float(least(bound, 1.0, 0.9, n=3).queries) == 1
    for change, words in (
        ({"kappa": math.inf}, "a finite condition number"),
        ({"alpha": 0.5}, "subnormalisation"),
        ({"error": 1.5}, "0 < precision < 1"),
        ({"n": 0}, "n >= "),
        ({"degree": 1e9}, "a degree in [1, n]"),
    ):
        found = least(bound, **{"kappa": 1e3, "error": 1e-2, "n": 1e6, "degree": 9, **change})
        assert found.queries == math.inf
        assert words in found.reason()
    assert bound.sure == (bound.evidence is Evidence.DERIVED)


def test_traced_and_swept_bounds_are_the_same():
    kappa, n = np.array([1.0, 7.0, 4e3, 1e6]), np.array([[30.0], [1e6]])

    def everything(kappa, n):
        return [bound(q.solvers.Encoding(kappa, 2.0), 1e-3, n, 5.0).queries for bound in QUERY_BOUNDS.values()]

    traced = jax.jit(everything)(jnp.asarray(kappa, "float32"), jnp.asarray(n, "float32"))
    for plain, other in zip(everything(kappa, n), traced, strict=True):
        assert plain.shape == (2, 4)
        np.testing.assert_allclose(other, plain, rtol=2e-3)

"""What every query model must do. A new model is one entry of `QUERY_MODELS`."""

import math
from typing import Any

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

import qnewton
from qnewton._core.records import Encoding
from qnewton._solvers.quantum.precision import ErrorConvention
from qnewton._solvers.quantum.queries import QUERY_MODELS, Evidence, Matrices, Unit

each = pytest.mark.parametrize("model", QUERY_MODELS.values(), ids=QUERY_MODELS.keys())
# A precision that every formula takes at the condition numbers below.
EPS = 1e-5
NUMBERS = ("queries", "state_preparations", "success_probability")


def _at(model, kappa: Any, alpha: Any = 1.0, eps: Any = EPS, norm: Any = 1.0):
    return model(Encoding(kappa, alpha), eps, norm)


@each
def test_says_what_it_is(model):
    assert getattr(qnewton.queries, model.name) is model
    assert "arXiv" in model.source
    assert model.version
    assert model.known_from
    assert model.evidence in Evidence
    assert model.unit in Unit
    assert model.matrices in Matrices
    assert model.convention in ErrorConvention
    hash(model)


@each
def test_a_workload_is_finite_and_whole(model):
    workload = _at(model, 100.0)
    assert workload.valid
    assert workload.reason() == ""
    assert not workload.clamped
    for field in NUMBERS:
        assert 0 < float(getattr(workload, field)) < math.inf, field
    assert float(workload.success_probability) <= 1
    assert float(workload.queries) >= 1


@each
def test_numpy_arrays_broadcast_and_keep_double_precision(model):
    kappa, eps = np.geomspace(4, 1e4, 7)[:, None], np.geomspace(1e-9, EPS, 5)
    workload = _at(model, kappa, eps=eps, norm=np.full(5, 2.0))
    assert isinstance(workload.queries, np.ndarray)
    for field in (*NUMBERS, "clamped", "extrapolated", "valid"):
        assert np.shape(getattr(workload, field)) == (7, 5), field
    assert workload.queries.dtype == np.float64
    for row, column in [(0, 0), (6, 4), (3, 2)]:
        one = _at(model, float(kappa[row, 0]), eps=float(eps[column]), norm=2.0)
        for field in NUMBERS:
            assert float(getattr(workload, field)[row, column]) == pytest.approx(float(getattr(one, field)), rel=1e-9)


@each
def test_jax_traces_it_in_single_precision(model):
    kappa = np.geomspace(4, 1e3, 6)
    expected = _at(model, kappa, alpha=2.0)

    @jax.jit
    def run(kappa, norm):
        return _at(model, kappa, alpha=2.0, norm=norm)

    found = run(jnp.asarray(kappa), 1.0)
    assert found.queries.dtype == jnp.float32
    assert found.valid.all()
    # An integer within the formula may fall on its other side in single precision.
    for field in NUMBERS:
        np.testing.assert_allclose(getattr(found, field), getattr(expected, field), rtol=0.02)


BAD = [
    ({"kappa": math.nan}, "a finite condition number that is at least 1"),
    ({"kappa": math.inf}, "a finite condition number that is at least 1"),
    ({"kappa": 0.9}, "a finite condition number that is at least 1"),
    ({"kappa": -5.0}, "a finite condition number that is at least 1"),
    ({"alpha": math.nan}, "a finite subnormalisation that is at least 1"),
    ({"alpha": math.inf}, "a finite subnormalisation that is at least 1"),
    ({"alpha": 0.5}, "a finite subnormalisation that is at least 1"),
    ({"eps": 0.0}, "precision"),
    ({"eps": -0.1}, "precision"),
    ({"eps": 1.0}, "precision"),
    ({"eps": math.nan}, "precision"),
    ({"norm": 0.5}, "a solution norm between 1 and the condition number"),
    ({"norm": 101.0}, "a solution norm between 1 and the condition number"),
    ({"norm": math.nan}, "a solution norm between 1 and the condition number"),
]


def _bad(xp):
    inputs = [{"kappa": 100.0, "alpha": 1.0, "eps": EPS, "norm": 2.0, **change} for change, _ in BAD]
    return [xp.asarray([given[name] for given in inputs]) for name in ("kappa", "alpha", "eps", "norm")]


def test_out_of_range_under_jit():
    model = QUERY_MODELS["sunderhauf2025"]
    found = jax.jit(lambda *columns: _at(model, *columns))(*_bad(jnp))
    assert not found.valid.any()
    np.testing.assert_array_equal(found.queries, math.inf)


@each
def test_out_of_range_is_no_number_and_has_a_reason(model):
    workload = _at(model, *_bad(np))
    assert not workload.valid.any()
    for index, (_, reason) in enumerate(BAD):
        assert reason in workload.reason((index,))
    np.testing.assert_array_equal(workload.queries, math.inf)
    np.testing.assert_array_equal(workload.state_preparations, math.inf)
    np.testing.assert_array_equal(workload.success_probability, 0)


@each
@pytest.mark.parametrize("norm", [None, 1.0])
def test_at_the_ends_it_is_finite_or_invalid_with_a_reason(model, norm):
    kappa, eps = np.array([1.0, 1 + 1e-9, 1e30, 1e120, 1e300]), np.array([0.2, 1e-3, 1e-15, 1e-300])
    workload = _at(model, kappa[:, None], eps=eps, norm=norm)
    for index, valid in np.ndenumerate(workload.valid):
        assert (workload.reason(index) == "") == valid
    for counts in (workload.queries, workload.state_preparations):
        assert ((counts >= 1) & np.isfinite(counts) & workload.valid | (counts == math.inf) & ~workload.valid).all()


@each
@hypothesis.given(
    kappa=st.floats(0.6, 5).map(lambda e: 10**e),
    alpha=st.floats(0, 0.9).map(lambda e: 10**e),
    eps=st.floats(-9, -0.7).map(lambda e: 10**e),
    norm=st.sampled_from([None, 1.0, 3.0]),
    growth=st.floats(0.01, 10),
)
def test_grows_with_kappa_alpha_and_the_digits(model, kappa, alpha, eps, norm, growth):
    if model.unit is Unit.SPARSE_ACCESS:
        eps = min(eps, 0.1 / kappa / (1 + growth))
    if model.name == "jennings2023v1":
        # Its success falls as epsilon grows, by more than its queries do beyond 2.7e-3 at this kappa.
        eps = min(eps, 1e-3)
    base = _at(model, kappa, alpha, eps, norm)
    # Degrees are integers: a finer polynomial than asked for may succeed more often, by up to a few parts in a hundred.
    least = {"kappa": 1, "alpha": 0.95 if model.rectangular or model.unit is Unit.SPARSE_ACCESS else 1, "eps": 1}
    more = {
        "kappa": _at(model, kappa * (1 + growth), alpha, eps, norm),
        "alpha": _at(model, kappa, alpha * (1 + growth), eps, norm),
        "eps": _at(model, kappa, alpha, eps / (1 + growth), norm),
    }
    for name, other in more.items():
        if base.valid and other.valid:
            assert float(other.queries) >= least[name] * float(base.queries) * (1 - 1e-12), name


@each
def test_a_shorter_solution_costs_no_less_and_an_unknown_one_the_most(model):
    worst = _at(model, 1e3, norm=None)
    counts = [float(_at(model, 1e3, norm=norm).queries) for norm in (1.0, 3.0, 30.0, 1e3)]
    if not model.uses_norm:
        assert worst.assumed == ()
        assert counts == [float(worst.queries)] * 4
    elif model.needs_norm:
        assert worst.reason() == "needs the solution's norm, which is not given"
    else:
        assert worst.assumed == ("the solution's norm, at its least value ||b|| / ||A||",)
        assert sorted(counts, reverse=True) == counts
        assert float(worst.queries) >= counts[0]


@each
def test_derivatives_are_those_of_differences(model):
    # Wide ones: the integers in some formulas are handed through, as if they were what they round.
    with jax.enable_x64(True):

        @jax.jit
        def log_queries(log_kappa):
            counts = jnp.log(_at(model, jnp.exp(log_kappa)).queries)
            return counts.sum(), counts

        at, step = jnp.log(jnp.asarray([57.3, 913.7])), 0.05
        slopes, counts = jax.grad(log_queries, has_aux=True)(at)
    np.testing.assert_allclose(counts, np.log(_at(model, np.exp(np.asarray(at))).queries), rtol=1e-9)
    after, before = (_at(model, np.exp(np.asarray(at) + move)).queries for move in (step, -step))
    np.testing.assert_allclose(slopes, np.log(after / before) / (2 * step), atol=0.05)


@each
def test_below_the_smallest_kappa_it_is_raised_and_said_so(model):
    if model.smallest_kappa == 1:
        assert not _at(model, 1.0).clamped
        return
    raised, lower = _at(model, model.smallest_kappa), _at(model, 1.0)
    assert lower.clamped
    assert not raised.clamped
    assert lower.valid
    assert float(lower.queries) == float(raised.queries)


def test_an_empirical_constant_says_where_it_was_measured():
    for model in QUERY_MODELS.values():
        assert (model.measured_kappa is not None) == (model.evidence is Evidence.EMPIRICAL)
    workload = _at(QUERY_MODELS["costa2023"], np.array([5.0, 10.0, 50.0, 51.0]))
    np.testing.assert_array_equal(workload.extrapolated, [True, False, False, True])
    assert workload.valid.all()


def test_a_simplification_ends_where_its_proof_does():
    workload = _at(QUERY_MODELS["costa2026"], np.array([1.0, 3.0, 1e6, 1.001e6]))
    np.testing.assert_array_equal(workload.clamped, [True, False, False, False])
    np.testing.assert_array_equal(workload.valid, [True, True, True, False])
    assert workload.reason((3,)) == "needs a condition number of the encoded matrix <= 1e+06"
    assert workload.reason((1,)) == ""


def test_alpha_is_split_or_merged_but_never_both():
    for model in QUERY_MODELS.values():
        merged, split = _at(model, 400.0, 1.0, norm=2.0), _at(model, 4.0, 100.0, norm=2.0)
        if model.unit is not Unit.SPARSE_ACCESS and not model.takes_subnormalisation and not model.uses_norm:
            assert float(merged.queries) == pytest.approx(float(split.queries), rel=1e-12)
        else:
            assert float(split.queries) <= 1.5 * float(merged.queries)


def test_jennings_v1_falls_before_it_rises():
    # Not a mistake here: the published success probability falls faster than the logarithm.
    model = QUERY_MODELS["jennings2023v1"]
    counts = _at(model, 1e4, eps=np.array([1e-3, 5.7e-3, 2e-2, 0.2])).queries
    assert counts[1] < counts[0]
    assert counts[1] < counts[2] < counts[3]

"""`QLSA` beyond the contract: precision, another query count, another stand-in."""

from typing import Any, cast

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from qnewton._core.records import Encoding, QuantumWorkload, System, SystemEstimate
from qnewton._estimation import Exact
from qnewton._solvers import LU, QLSA, Cholesky
from qnewton._solvers.quantum.queries import (
    QUERY_MODELS,
    Evidence,
    QueryModel,
    costa2023_definite,
    dalzell2024_known_norm,
    jennings2023v1,
)
from qnewton._solvers.quantum.queries.model import CountInputs


@pytest.mark.parametrize("precision", [0, 1, -1e-3, 2.0, float("nan"), float("inf")])
def test_precision_out_of_range_is_refused(precision):
    with pytest.raises(ValueError, match=rf"precision is {precision}: .*normalised state.*\(0, 1\)"):
        QLSA(precision=precision)


@pytest.fixture
def encoding() -> Encoding:
    return Encoding(condition_number=jnp.asarray(70.0), subnormalisation=jnp.asarray(3.0))


@pytest.fixture
def estimate() -> SystemEstimate:
    # Its own kappa is 2: a workload must come from the encoding, which the assumptions made of it.
    return Exact()(System.of(jnp.diag(jnp.asarray([1.0, 2.0])), symmetric=True))


def test_precision_reaches_the_count(encoding, estimate):
    for precision in (1e-1, 1e-6):
        workload = QLSA(precision=precision).workload(estimate, encoding)
        assert float(workload.queries) == float(jennings2023v1(encoding, precision).queries)
    finer, coarser = (QLSA(precision=p).workload(estimate, encoding).queries for p in (1e-6, 1e-1))
    assert finer > coarser


def test_precision_beyond_the_theorem_is_accepted_and_invalid(encoding, estimate):
    workload = QLSA(precision=0.5).workload(estimate, encoding)
    assert not workload.valid
    assert "precision <= 0.24" in workload.validity


def constant(problem: CountInputs) -> QuantumWorkload:
    seven = problem.xp.full_like(problem.encoded, 7.0)
    return QuantumWorkload(seven, seven, seven / 14)


MADE = QueryModel("constant", "this test", "1", Evidence.SECOND_HAND, "made up", constant, largest_precision=0.3)


def test_any_count_with_any_stand_in(encoding, estimate):
    solver = QLSA(queries=MADE, precision=0.3, stand_in=Cholesky())
    assert (solver.name, solver.runs_as, solver.capabilities.needs_definite) == ("QLSA(constant)", "Cholesky", True)
    workload = solver.workload(estimate, encoding)
    assert (float(workload.queries), float(workload.repetitions)) == (7, 2)
    assert "precision <= 0.3" in workload.validity


@pytest.mark.parametrize("model", QUERY_MODELS.values(), ids=QUERY_MODELS.keys())
def test_every_published_count_is_a_candidate(model, estimate):
    encoding = Encoding(condition_number=np.asarray(70.0), subnormalisation=np.asarray(1.0))
    solver = QLSA(model, precision=1e-3, solution_norm=5.0)
    assert solver.name == f"QLSA({model.name})"
    workload = solver.workload(estimate, encoding)
    assert workload.valid
    assert eqx.tree_equal(workload, model(encoding, 1e-3, 5.0))
    assert workload.assumed == ()
    # The scheduler closes over solvers and caches by them.
    assert hash(solver) == hash(QLSA(model, precision=1e-3, solution_norm=5.0))


def test_a_count_for_definite_matrices_is_offered_no_other():
    solver = QLSA(costa2023_definite)
    assert (solver.capabilities.needs_definite, solver.capabilities.needs_symmetric) == (True, True)


def test_a_count_that_needs_the_norm_is_refused_without_it_and_says_so(encoding, estimate):
    workload = QLSA(dalzell2024_known_norm).workload(estimate, encoding)
    assert workload.reason() == "needs the solution's norm, which is not given"
    assert workload.queries == jnp.inf


@pytest.mark.parametrize("norm", [0.0, 0.99, -1.0, float("nan"), float("inf")])
def test_a_norm_out_of_range_is_refused(norm):
    with pytest.raises(ValueError, match=rf"solution_norm is {norm}: .*leave it out where it is not known"):
        QLSA(solution_norm=norm)


def test_a_bare_function_is_refused_with_what_to_give():
    with pytest.raises(TypeError, match=r"give a QueryModel, .* one of qnewton.queries.QUERY_MODELS"):
        QLSA(queries=cast(Any, constant))


def test_stand_ins_are_compared_by_value():
    assert QLSA() == QLSA(stand_in=LU())
    assert QLSA() != QLSA(stand_in=Cholesky())
    assert QLSA() != QLSA(precision=1e-3)

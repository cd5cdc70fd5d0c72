"""`QLSA` beyond the contract: precision, another query count, another stand-in."""

import jax.numpy as jnp
import pytest

from qnewton.core.records import Encoding, QuantumWorkload, System, SystemEstimate
from qnewton.estimation import Exact
from qnewton.solvers import LU, QLSA, Cholesky
from qnewton.solvers.quantum.queries import jennings2023v1


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


def constant(encoding: Encoding, precision: float) -> QuantumWorkload:
    queries = jnp.asarray(7.0)
    true = jnp.asarray(True)
    return QuantumWorkload(queries, queries, queries / 7, ~true, true, f"always, at {precision}")


def test_any_count_with_any_stand_in(encoding, estimate):
    solver = QLSA(queries=constant, precision=0.3, stand_in=Cholesky())
    assert (solver.name, solver.runs_as, solver.needs_definite) == ("QLSA(constant)", "Cholesky", True)
    workload = solver.workload(estimate, encoding)
    assert (float(workload.queries), workload.validity) == (7, "always, at 0.3")


def test_stand_ins_are_compared_by_value():
    assert QLSA() == QLSA(stand_in=LU())
    assert QLSA() != QLSA(stand_in=Cholesky())
    assert QLSA() != QLSA(precision=1e-3)

"""Where quantum stops to be faster is where the analysis says: in n, condition number, gate time, and d where it is."""

import math

import hypothesis
import hypothesis.strategies as st
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

import qnewton as q
from qnewton._core.status import Refusal, Verdict
from qnewton._hardware import KernelTimes
from qnewton.testing import symmetric_with_spectrum

SECONDS_PER_FLOP = 1e-10
MACHINE = q.ClassicalMachine("by hand", "float32", (("lu", KernelTimes(0.0, 0.0, SECONDS_PER_FLOP)),))


def classical_seconds(n: int) -> float:
    return SECONDS_PER_FLOP * (2 / 3 * n**3 + 2 * n**2)


def block_diagonal(n: int, degree: int, kappa: float) -> np.ndarray:
    """`n / degree` copies of a full matrix with eigenvalues from 1 to kappa: `degree` nonzeros in each row."""
    block = symmetric_with_spectrum(np.geomspace(1, kappa, degree) if degree > 1 else np.ones(1))
    matrix = np.kron(np.eye(n // degree), block)
    if degree == 1:
        matrix = np.diag(np.geomspace(1, kappa, n))
    return matrix


def boundary(plan: q.scheduling.Plan, gate_time_s: float) -> float:
    """The gate time at which both take equally long, from a plan at another."""
    quantum, classical = np.asarray(plan.offers.seconds[0], np.float64)
    return gate_time_s * classical / quantum


@pytest.mark.parametrize("n", [4, 16, 60])
@pytest.mark.parametrize("kappa", [10.0, 1e3])
def test_under_paper_in_n_and_condition_number(n, kappa, queries_of):
    expected = classical_seconds(n) / queries_of(kappa)
    operator = lx.MatrixLinearOperator(jnp.asarray(block_diagonal(n, 1, kappa), jnp.float32), lx.symmetric_tag)
    for factor, winner in ((0.98, 0), (1.02, 1)):
        machine = q.QuantumMachine(expected * factor)
        hybrid = q.Hybrid([q.QLSA(), q.LU()], classical=MACHINE, quantum=machine, estimator=q.estimators.Exact())
        plan = hybrid.init(operator, {}).plan
        assert int(plan.choice[0]) == winner
        assert boundary(plan, expected * factor) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("n", "degree"), [(16, 1), (16, 4), (16, 16), (48, 4)])
def test_under_paper_sparse_in_the_degree_too(n, degree):
    kappa, precision = 100.0, 1e-2
    # The complexity of the abstract with its constant 1: d kappa log(N kappa / epsilon) queries.
    queries = degree * kappa * math.log(n * kappa / precision)
    expected = classical_seconds(n) / queries
    operator = lx.MatrixLinearOperator(jnp.asarray(block_diagonal(n, degree, kappa), jnp.float32), lx.symmetric_tag)
    for factor, winner in ((0.98, 0), (1.02, 1)):
        hybrid = q.Hybrid(
            [q.QLSA(queries=q.queries.qnewton2024_abstract, precision=precision), q.LU()],
            classical=MACHINE,
            quantum=q.QuantumMachine(expected * factor),
            assumptions=[q.assumptions.paper_sparse()],
            estimator=q.estimators.Exact(),
        )
        plan = hybrid.init(operator, {}).plan
        assert int(plan.estimate.degree) == degree
        assert int(plan.choice[0]) == winner
        assert boundary(plan, expected * factor) == pytest.approx(expected, rel=2e-3)


@hypothesis.given(
    seconds=st.lists(st.sampled_from([math.nan, math.inf, 0.0, 1e-3, 2e-3]), min_size=2, max_size=4),
    threshold=st.booleans(),
)
def test_ties_and_costs_that_are_no_numbers(seconds, threshold):
    policy = q.scheduling.KappaThreshold(1e4) if threshold else q.scheduling.Fastest()
    offers = q.scheduling.Offers(
        tuple(f"{k}" for k in range(len(seconds))),
        (False,) * len(seconds),
        jnp.asarray(seconds),
        jnp.ones(len(seconds), bool),
        jnp.asarray(1.0),
    )
    choice = policy.choose(offers, q.scheduling.Turn(jnp.asarray(-1), jnp.asarray(1.0)))
    numbers = [value for value in seconds if math.isfinite(value)]
    if numbers:
        assert int(choice.index) == seconds.index(min(numbers))
        assert int(choice.verdict) == 0
    else:
        assert int(choice.verdict) == 1


def test_where_nobody_can_take_it_the_plan_says_what_each_broke():
    hybrid = q.Hybrid(
        [q.Cholesky(), q.QLSA()],
        classical=q.ClassicalMachine("by hand", "float32", (("cholesky", KernelTimes(1.0, 0.0, 0.0)),)),
    )
    plan = hybrid.init(lx.MatrixLinearOperator(jnp.diag(jnp.asarray([1.0, -1.0, 0.0])), lx.symmetric_tag), {}).plan
    assert int(plan.verdict[0]) == Verdict.NOBODY
    assert plan.offers.refusal[0].tolist() == [Refusal.NOT_DEFINITE, Refusal.NO_CONDITION_NUMBER]

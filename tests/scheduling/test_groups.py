"""Groups of equal systems: who may win is known from shapes, who does from numbers, and every candidate solves them."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qnewton as q
from qnewton._core.records import System
from qnewton._core.status import Refusal
from qnewton._hardware import KernelTimes
from qnewton._pricing.assumptions import ASSUMPTION_SETS
from qnewton._pricing.group import Group, bounds, nominal, price_group
from qnewton._pricing.least import least_of
from qnewton._scheduling.contests import contests
from qnewton._scheduling.families import default_scheduler, scheduler_of
from qnewton._scheduling.group_plan import PackedPlans
from qnewton._scheduling.one_system import product_of
from qnewton.testing import symmetric_with_spectrum

SOLVERS = (q.Inverse(), q.Cholesky(), q.LU(), q.CG(), q.QLSA())
KERNELS = {"inverse": 8.0, "cholesky": 2.0, "lu": 4.0, "cg": 30.0, "product": 0.2}


def machine(**faster: float) -> q.ClassicalMachine:
    """Kernels that take so many times 1e-10 seconds for an operation, in a ratio that measurements have."""
    kernels = KERNELS | faster
    return q.ClassicalMachine(
        "test", "float32", tuple((name, KernelTimes(s * 1e-7, 0.0, s * 1e-10)) for name, s in kernels.items())
    )


def scheduler(solvers=SOLVERS, gate_time_s=50e-9, **faster) -> q.Hybrid:
    return q.Hybrid(solvers, classical=machine(**faster), quantum=q.QuantumMachine(gate_time_s))


def matrices(group: Group, kappa: float) -> tuple[jax.Array, ...]:
    """The factors of every system, each of the condition number `kappa`, smallest eigenvalue 1."""
    return tuple(
        jnp.stack(
            [
                jnp.asarray(symmetric_with_spectrum(np.geomspace(1, kappa, n), seed=7 * k + n), jnp.float32)
                for k in range(group.count)
            ]
        )
        for n in group.factors
    )


def solved(group: Group, hybrid: q.Hybrid, kappa: float):
    (solver,) = contests(hybrid, [group])
    factors = matrices(group, kappa)
    floors = tuple(jnp.full(group.count, 0.5, jnp.float32) for _ in factors)
    shape = group.factors if len(group.factors) == 2 else (group.rows, group.vectors)
    vectors = jnp.asarray(np.random.default_rng(3).standard_normal((group.count, *shape)), jnp.float32)

    @jax.jit
    def run(factors, vectors):
        state, plan = solver.set_up(factors, floors)
        return PackedPlans.of(hybrid, [plan], vectors.dtype), *solver.solve(state, vectors)

    packed, *found = run(factors, vectors)
    return solver, factors, vectors, (packed.plans[0], *found)


@pytest.mark.parametrize("shape", [(6,), (5, 3)], ids=["plain", "kronecker"])
@pytest.mark.parametrize("one", [*SOLVERS, q.Eigh(), q.MINRES(), q.EmulatedQSVT()], ids=lambda one: one.name)
def test_every_candidate_solves_every_system(one, shape):
    group = Group("test", shape, 2, 3 if len(shape) == 1 else 1)
    _, factors, vectors, (plan, values, good) = solved(group, scheduler((one,), eigh=9.0, minres=1.0), 4.0)
    assert good.all()
    for k in range(group.count):
        expected = np.linalg.solve(np.asarray(factors[0][k], float), np.asarray(vectors[k], float))
        if len(shape) == 2:
            expected = np.linalg.solve(np.asarray(factors[1][k], float), expected.T).T
        # An iterative one stops where the step needs no more.
        loose = one.capabilities.iterative or one.execution == "emulated"
        np.testing.assert_allclose(values[k], expected, rtol=1e-4, atol=0.1 * np.abs(expected).max() if loose else 1e-5)
    assert plan.choice[0] == 0


def test_a_system_that_is_not_definite_keeps_its_right_hand_side_and_says_so():
    group = Group("test", (3,), 2)
    (solver,) = contests(default_scheduler(), [group])
    bad = jnp.stack([jnp.eye(3), jnp.diag(jnp.array([1.0, -2.0, 1.0]))])
    state, _ = solver.set_up((bad,), (jnp.zeros(2),))
    values, good = solver.solve(state, jnp.ones((2, 3, 1)))
    np.testing.assert_array_equal(good, [True, False])
    np.testing.assert_array_equal(values, np.ones((2, 3, 1)))


WINNERS = {
    "Inverse": {"inverse": 0.1},
    "Cholesky": {},
    "LU": {"lu": 0.1},
    "CG": {"cg": 0.001},
    "QLSA(jennings2023v1)": {"gate_time_s": 1e-15},
}


@pytest.mark.parametrize("shape", [(24,), (12, 4)], ids=["plain", "kronecker"])
@pytest.mark.parametrize("winner", list(WINNERS))
def test_the_choice_follows_the_machines(winner, shape):
    hybrid = scheduler(**WINNERS[winner])
    solver, *_, (plan, _, good) = solved(Group("test", shape, 1), hybrid, 10.0)
    assert plan.offers.names[int(plan.choice[0])] == winner
    assert good.all()
    assert solver.scheduler.solvers.index(hybrid.solvers[int(plan.choice[0])]) in solver.kept
    # Who was left out before anything was compiled is on record as undercut.
    left = set(range(len(SOLVERS))) - set(solver.kept)
    assert {int(plan.offers.refusal[0][place]) for place in left} <= {Refusal.UNDERCUT}
    assert not any(bool(plan.offers.feasible[0][place]) for place in left)


@settings(max_examples=15, deadline=None)
@given(
    rows=st.integers(2, 400),
    serves=st.integers(1, 20),
    vectors=st.integers(1, 3),
    log_gate=st.floats(-18, -7),
    cg=st.floats(-3, 1),
    log_kappa=st.floats(0, 14),
)
def test_bounds_never_change_the_choice(rows, serves, vectors, log_gate, cg, log_kappa):
    """Whoever wins at some condition number was kept, and what he asks lies between his bounds."""
    group = Group("test", (rows,), 1, vectors, serves)
    hybrid = scheduler(gate_time_s=10**log_gate, cg=10**cg)
    asked: Any = (hybrid.solvers, hybrid.assumptions, hybrid.classical, hybrid.quantum)
    ((least, most),) = bounds([group], *asked)
    system = dataclasses.replace(
        nominal(group),
        degree=np.asarray(rows),
        frobenius_norm=np.float32(rows**0.5),
        log_condition_number=np.float32(log_kappa),
    )
    offers = price_group(group, system, *asked)
    kept = hybrid.policy.contenders(hybrid.names, np.asarray(least.seconds[0]), most[0])
    assert int(np.argmin(offers.seconds[0])) in kept
    assert np.all(least.seconds <= offers.seconds * (1 + 1e-5))
    assert np.all(offers.seconds <= most * (1 + 1e-5))
    # An iteration takes one step at least, a factorisation none.
    assert [float(steps) for steps in np.atleast_2d(least.expected_steps)[0][:4]] == [0, 0, 0, 1]


def test_the_numbers_of_a_kronecker_product_are_those_of_the_matrix():
    rng = np.random.default_rng(4)
    roots = [np.tril(rng.standard_normal((n, n))) + 2 * np.eye(n) for n in (3, 2)]
    factors = [jnp.asarray(root @ root.T, jnp.float32) for root in roots]
    parts = [jax.jit(lambda m: q.estimators.Lanczos(3)(System.of(m, symmetric=True)))(one) for one in factors]
    found = product_of(Group("test", (3, 2), 1), parts)
    whole = np.kron(*(np.asarray(one, float) for one in factors))
    values = np.linalg.eigvalsh(whole)
    assert (found.n, int(found.degree)) == (6, np.count_nonzero(whole, axis=1).max())
    assert float(found.max_entry) == pytest.approx(np.abs(whole).max(), rel=1e-5)
    assert float(found.frobenius_norm) == pytest.approx(np.linalg.norm(whole), rel=1e-5)
    assert float(found.spectral_norm) == pytest.approx(values[-1], rel=1e-4)
    assert float(found.condition_number) == pytest.approx(values[-1] / values[0], rel=1e-3)
    # What conjugate gradients did with one factor says nothing of the product.
    assert parts[0].recurrence is not None
    assert found.recurrence is None
    assert product_of(Group("test", (3,), 1), parts[:1]) is parts[0]


def test_an_iteration_is_charged_for_the_accuracy_that_the_step_needs():
    """Chebyshev's bound at kappa 100, to a relative residual of 0.3 / sqrt(kappa), which keeps 0.3 in the energy."""
    group = Group("test", (50,), 1)
    system = dataclasses.replace(nominal(group), log_condition_number=np.float32(np.log(100)))
    offers = price_group(group, system, (q.CG(),), (ASSUMPTION_SETS["paper"],), machine(), q.QuantumMachine(50e-9))
    assert float(offers.expected_steps[0]) == pytest.approx(10 / 2 * np.log(2 * 10 / 0.03), rel=0.02)


def test_the_least_of_a_classical_candidate_is_counted_by_hand():
    """One factorisation for four solves; one step with a dense matrix, and none of the other's words."""
    n, asked = 100, ((ASSUMPTION_SETS["paper"],) * 2, machine(), q.QuantumMachine(50e-9), 4)
    direct, again = least_of(q.Cholesky(), n, "float32", *asked)
    assert direct == again
    assert float(direct["seconds"]) == pytest.approx(2e-7 + 2e-10 * (n**3 / 3 / 4 + 2 * n**2), rel=1e-6)
    step, _ = least_of(q.CG(), n, "float32", *asked)
    assert float(step["seconds"]) == pytest.approx(2 * 30e-7 + 30e-10 * (2 * n**2 + 10 * n), rel=1e-6)
    assert (float(direct["expected_steps"]), float(step["expected_steps"])) == (0, 1)
    moved = q.ClassicalMachine("test", "float32", (("cg", KernelTimes(0.0, 1.0, 0.0)),))
    step, _ = least_of(q.CG(), n, "float32", asked[0], moved, *asked[2:])
    assert float(step["seconds"]) == 4 * (n + n**2 + 12 * n)


@pytest.mark.parametrize("name", list(ASSUMPTION_SETS))
def test_the_least_of_a_quantum_candidate_lies_below_every_condition_number(name):
    """Some counts dip below their value at 1: no number in between may undercut the bound."""
    hybrid = default_scheduler()
    group, quantum = Group("test", (64,), 1), hybrid.quantum
    for model in q.queries.QUERY_MODELS.values():
        asked = (q.QLSA(model),), (ASSUMPTION_SETS[name],), machine(), quantum
        ((least, _),) = bounds([group], *asked)
        for log_kappa in np.linspace(0.0, 9.0, 13) + 0.013:
            system = dataclasses.replace(nominal(group), log_condition_number=np.float32(log_kappa))
            assert price_group(group, system, *asked).seconds[0, 0] >= least.seconds[0, 0]


def test_where_bounds_decide_nothing_is_estimated_and_one_candidate_is_compiled():
    group = Group("layers of 40 x 8", (40, 8), 1, serves=5)
    (solver,) = contests(default_scheduler(), [group])
    assert len(solver.kept) == 1
    text = str(
        jax.make_jaxpr(lambda *given: solver.set_up(*given)[0])(matrices(group, 2.0), (jnp.ones(1), jnp.ones(1)))
    )
    assert "cond[" not in text
    assert "eigh" not in text
    plan = solver.settled
    assert not plan.estimated
    assert bool(np.isnan(plan.offers.log_condition_number))
    assert [plan.offers.names[i] for i in np.flatnonzero(plan.offers.feasible[0])] == [
        plan.offers.names[int(plan.choice[0])]
    ]


def test_policies_keep_what_they_may_choose():
    names = ("a", "b", "c")
    least, most = np.array([1.0, 3.0, 0.5]), np.array([1.0, 3.0, np.inf])
    assert q.scheduling.Fastest().contenders(names, least, most) == (0, 2)
    assert q.scheduling.Hysteresis().contenders(names, least, most) == (0, 2)
    assert q.scheduling.FixedCandidate("b").contenders(names, least, most) == (1,)
    assert q.scheduling.Assigned().contenders(names, least, most) == (0, 1, 2)
    with pytest.raises(ValueError, match=r"unknown candidate 'd'\. Valid: a, b, c"):
        q.scheduling.FixedCandidate("d").contenders(names, least, most)


def test_what_is_no_scheduler_is_refused_by_name():
    with pytest.raises(TypeError, match="kfac: solver is 'lu': give Hybrid"):
        scheduler_of("lu", "kfac")  # pyright: ignore[reportArgumentType]
    somebody: Any = object()
    with pytest.raises(ValueError, match=r"kfac: solver has workers, .* so that no worker gets any: leave them out"):
        scheduler_of(q.Hybrid([q.LU()], workers=somebody), "kfac")
    wrong = q.Hybrid([q.LU()], classical=machine())
    with pytest.raises(ValueError, match=r"the systems are float64 and the classical machine .* float32"):
        contests(wrong, [Group("test", (3,), 1, dtype="float64")])

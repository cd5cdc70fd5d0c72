"""Policies on groups: who may still win, memory from refresh to refresh, budgets, and what has no meaning there."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import qnewton as q
from qnewton._core.status import Verdict
from qnewton._pricing.group import Group
from qnewton._pricing.offers import Offers
from qnewton._pricing.policies import Turn
from qnewton._scheduling.contests import contests
from qnewton._scheduling.families import scheduler_of
from qnewton._scheduling.group_plan import PackedPlans
from qnewton.estimators import Exact
from qnewton.scheduling import Assigned, Budget, Fastest, FixedCandidate, Hysteresis, KappaThreshold

from .test_groups import machine, matrices

NAMES = ("a", "b", "c")
POLICIES = (
    Fastest(),
    KappaThreshold(10.0),
    FixedCandidate("b"),
    Budget(1.0),
    Budget(1.0, classical_rate=3.0, quantum_rate=0.0),
    Budget(0.3, classical_rate=0.0, quantum_rate=2.0),
)


@pytest.mark.parametrize("policy", POLICIES, ids=str)
@given(
    least=st.lists(st.floats(0.01, 10), min_size=3, max_size=3),
    above=st.lists(st.floats(1, 5), min_size=3, max_size=3),
    up=st.lists(st.one_of(st.floats(1, 3), st.just(np.inf)), min_size=3, max_size=3),
    quantum=st.lists(st.booleans(), min_size=3, max_size=3),
    share=st.floats(0.1, 1),
)
def test_whoever_a_policy_chooses_was_kept(policy, least, above, up, quantum, share):
    """Whatever the seconds come to between their bounds."""
    seconds = np.array(least) * np.array(above)
    most = seconds * np.array(up)
    if not np.isfinite(most).any():
        most[0] = seconds[0]
    kept = policy.contenders(NAMES, np.array(least), most, quantum, share)
    offers = Offers(NAMES, tuple(quantum), jnp.asarray(seconds), jnp.ones(3, bool), jnp.asarray(1.0))
    turn = Turn(jnp.int32(-1), jnp.asarray(share))
    assert int(policy.choose(offers, turn).index) in kept


def planner(solver: Any) -> Any:
    return jax.jit(lambda *given: solver.set_up(*given)[1])


def test_a_group_stays_with_its_last_choice_where_the_policy_does():
    """Near the gate time at which both take as long hysteresis keeps whoever was there; the fastest is taken else."""
    group = Group("test", (24,), 1)
    factors, floors = matrices(group, 10.0), (jnp.full(1, 0.5, jnp.float32),)
    hybrid = q.Hybrid([q.Cholesky(), q.QLSA()], classical=machine(), quantum=q.QuantumMachine(1e-12))
    (solver,) = contests(hybrid, [group])
    plan = planner(solver)(factors, floors)
    classical, quantum = (float(one) for one in plan.offers.seconds[0])
    even = q.QuantumMachine(1e-12 * classical / quantum / 1.1)
    for policy, expected in ((Hysteresis(1.5), [0, 1]), (Fastest(), [1, 1])):
        (solver,) = contests(
            q.Hybrid([q.Cholesky(), q.QLSA()], classical=machine(), quantum=even, policy=policy), [group]
        )
        made = planner(solver)
        chosen = [int(made(factors, floors, jnp.full(1, last, jnp.int32)).choice[0]) for last in (0, 1)]
        assert chosen == expected
    packed = PackedPlans.of(hybrid, [plan], jnp.dtype("float32"))
    assert packed.last_choices(0).tolist() == [int(plan.choice[0])]
    assert PackedPlans.blank(hybrid, ["test"], jnp.dtype("float32"), [(1, 1)]).last_choices(0).tolist() == [-1]


def test_memory_goes_from_step_to_step_of_a_training():
    """As the damping falls the quantum solver becomes the slower one: then the fastest changes, and memory stays."""
    rng = np.random.default_rng(0)
    x, y = jnp.asarray(rng.standard_normal((2, 6, 8)), jnp.float32)
    start = {"w": jnp.asarray(rng.standard_normal((8, 14)) / 3, jnp.float32), "v": jnp.eye(14, 8) / 2}
    objective = q.Objective(lambda p, x: jnp.tanh(x @ p["w"]) @ p["v"], lambda o, t: jnp.sum((o - t) ** 2, axis=-1))

    def run(gate_time_s: float, policy: Any) -> Any:
        hybrid = q.Hybrid(
            [q.Cholesky(), q.QLSA()], classical=machine(), quantum=q.QuantumMachine(gate_time_s), policy=policy
        )
        optimizer: Any = q.dual_newton(objective, solver=hybrid)

        def step(carry: Any, _: None) -> Any:
            params, state = carry
            updates, state = optimizer.update(None, state, params, batch=(x, y))
            return (jax.tree.map(jnp.add, params, updates), state), state.info.packed

        def training() -> Any:
            return jax.lax.scan(step, (start, optimizer.init(start)), None, length=8)[1]

        (plan,) = jax.jit(training)().plans
        return np.asarray(plan.offers.seconds[:, 0]), plan.choice[:, 0].tolist()

    seconds, _ = run(1e-14, Fastest())
    ratios = seconds[:, 1] / seconds[:, 0]
    assert ratios[-1] > 1.3 * ratios[0]
    even = 1e-14 / float(ratios[0] * ratios[-1]) ** 0.5
    assert run(even, Fastest())[1][:: len(seconds) - 1] == [1, 0]
    assert run(even, Hysteresis(1e3))[1] == [1] * len(seconds)


def test_a_budget_has_the_groups_share_and_says_where_nobody_keeps_inside():
    hybrid = q.Hybrid([q.Cholesky(), q.LU()], classical=machine(), policy=Budget(1e-30), quantum=q.QuantumMachine(1e-3))
    small, large = contests(hybrid, [Group("small", (4,), 1), Group("large", (12,), 1)])
    assert (small.share, large.share) == (0.25, 0.75)
    assert large.settled.verdict[0] == Verdict.OVER_BUDGET
    roomy = dataclasses.replace(hybrid, policy=Budget(1e3))
    (solver,) = contests(roomy, [Group("small", (4,), 1)])
    assert solver.settled.verdict[0] == Verdict.CHOSEN


def test_the_second_estimator_is_recorded_and_decides_nothing():
    group = Group("test", (6, 4), 2)
    factors, floors = matrices(group, 7.0), (jnp.full(2, 0.5, jnp.float32),) * 2
    plain = q.Hybrid([q.Cholesky()], classical=machine())
    both = dataclasses.replace(plain, second=Exact())
    (without,), (with_it,) = contests(plain, [group]), contests(both, [group])
    assert np.isnan(without.settled.second)
    plan = planner(with_it)(factors, floors)
    np.testing.assert_allclose(np.exp(plan.second), 49.0, rtol=1e-3)
    np.testing.assert_allclose(plan.offers.seconds, without.settled.offers.seconds, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"policy": Assigned()}, "the policy Assigned"), ({"solves": 3}, "solves=3")],
    ids=["assigned", "solves"],
)
@pytest.mark.parametrize("user", ["kfac", "dual_newton", "fisher_newton"])
def test_what_has_no_meaning_for_a_group_is_refused_when_it_is_named(user, change, message):
    hybrid = q.Hybrid([q.Cholesky(), q.LU()], **change)
    objective = q.Objective(lambda p, x: x @ p, lambda o, t: (o - t) ** 2)
    with pytest.raises(ValueError, match=f"{user}: solver has {message}"):
        getattr(q, user)(objective, solver=hybrid)
    with pytest.raises(ValueError, match=message):
        scheduler_of(hybrid, "newton")

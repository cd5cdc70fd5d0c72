"""One contract for all policies, traced and eager; then each one's rule, which plain Python states a second time."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

import qnewton as q
from qnewton._core.status import Refusal, Verdict
from qnewton._scheduling import decide
from qnewton.testing import symmetric_with_spectrum

NAMES, QUANTUM = ("A", "B", "Q"), (False, False, True)


@dataclass(frozen=True)
class Case:
    """One system as plain numbers."""

    seconds: tuple[float, ...]
    feasible: tuple[bool, ...]
    kappa: float = 10.0
    last: int = -1
    share: float = 1.0

    @property
    def able(self) -> list[int]:
        return [i for i, (s, f) in enumerate(zip(self.seconds, self.feasible, strict=True)) if f and math.isfinite(s)]

    def least(self, among: list[int]) -> int:
        return min(among, key=lambda i: (self.seconds[i], i))


def by_threshold(case: Case) -> tuple[int | None, Verdict]:
    among = [i for i in case.able if not QUANTUM[i] or case.kappa <= 100]
    return (case.least(among), Verdict.CHOSEN) if among else (None, Verdict.NOBODY)


def by_speed(case: Case) -> tuple[int | None, Verdict]:
    return (case.least(case.able), Verdict.CHOSEN) if case.able else (None, Verdict.NOBODY)


def by_name(case: Case) -> tuple[int | None, Verdict]:
    return (1, Verdict.CHOSEN) if 1 in case.able else (None, Verdict.NOBODY)


def by_habit(case: Case) -> tuple[int | None, Verdict]:
    if case.last in case.able and case.seconds[case.last] <= 2 * case.seconds[case.least(case.able)]:
        return case.last, Verdict.CHOSEN
    return by_speed(case)


def by_money(case: Case) -> tuple[int | None, Verdict]:
    if not case.able:
        return None, Verdict.NOBODY
    spent = [s * (4 if quantum else 0.5) for s, quantum in zip(case.seconds, QUANTUM, strict=True)]
    inside = [i for i in case.able if spent[i] <= 2 * case.share]
    if inside:
        return case.least(inside), Verdict.CHOSEN
    return min(case.able, key=lambda i: (spent[i], i)), Verdict.OVER_BUDGET


def by_order(case: Case) -> tuple[int | None, Verdict]:
    return (case.last, Verdict.CHOSEN) if case.last in case.able else by_speed(case)


# One row each: the policy, and its rule.
POLICIES: dict[str, tuple[q.scheduling.AbstractPolicy, Callable[[Case], tuple[int | None, Verdict]]]] = {
    "fastest": (q.scheduling.Fastest(), by_speed),
    "kappa-threshold": (q.scheduling.KappaThreshold(100.0), by_threshold),
    "fixed": (q.scheduling.FixedCandidate("B"), by_name),
    "hysteresis": (q.scheduling.Hysteresis(2.0), by_habit),
    "budget": (q.scheduling.Budget(2.0, classical_rate=0.5, quantum_rate=4.0), by_money),
    "assigned": (q.scheduling.Assigned(), by_order),
}
everyone = pytest.mark.parametrize("name", POLICIES)


def chosen(policy: q.scheduling.AbstractPolicy, seconds, feasible, log_kappa, last, share) -> q.scheduling.Choice:
    offers = q.scheduling.Offers(NAMES, QUANTUM, seconds, feasible, log_kappa)
    return policy.choose(offers, q.scheduling.Turn(last, share))


@functools.cache
def jitted(name: str) -> Callable[..., q.scheduling.Choice]:
    return jax.jit(functools.partial(chosen, POLICIES[name][0]))


def ask(name: str, case: Case, how: Callable[..., q.scheduling.Choice] | None = None) -> q.scheduling.Choice:
    how = jitted(name) if how is None else how
    return how(
        jnp.asarray(case.seconds, jnp.float32),
        jnp.asarray(case.feasible),
        jnp.log(jnp.float32(case.kappa)),
        jnp.int32(case.last),
        jnp.float32(case.share),
    )


# Quarters, so that no rule hangs on rounding; with ties, and what is not a number.
SECONDS = st.one_of(st.integers(0, 16).map(lambda k: k / 4), st.sampled_from([math.nan, math.inf, 1e30]))
CASES = st.builds(
    Case,
    st.tuples(SECONDS, SECONDS, SECONDS),
    st.tuples(st.booleans(), st.booleans(), st.booleans()),
    kappa=st.sampled_from([1.0, 99.0, 101.0, math.inf, math.nan]),
    last=st.integers(-1, 2),
    share=st.sampled_from([1.0, 0.5, 0.125]),
)


@everyone
@hypothesis.given(case=CASES)
@hypothesis.example(case=Case((1.0, 1.0, 1.0), (True, True, True)))
@hypothesis.example(case=Case((math.nan, 2.0, 1.0), (True, True, True), kappa=math.nan, last=0))
@hypothesis.example(case=Case((math.inf, math.inf, math.inf), (False, True, True)))
def test_the_rule_in_plain_python(name, case):
    expected, verdict = POLICIES[name][1](case)
    choice = ask(name, case)
    assert int(choice.verdict) == verdict
    refused = [Refusal(int(code)) for code in choice.refusal]
    if expected is None:
        # Whoever is named cannot take it or may not.
        index = int(choice.index)
        assert index not in case.able or refused[index] != Refusal.NONE
        assert all(i not in case.able or refused[i] != Refusal.NONE for i in range(3))
    else:
        assert int(choice.index) == expected
        assert refused[expected] == Refusal.NONE


@everyone
def test_traced_and_eager_agree_and_have_one_structure(name):
    case = Case((3.0, 1.0, 2.0), (True, False, True))
    policy = POLICIES[name][0]
    eager, traced = ask(name, case, functools.partial(chosen, policy)), ask(name, case)
    for one, other in zip(jax.tree.leaves(eager), jax.tree.leaves(traced), strict=True):
        assert one.dtype == other.dtype == jnp.int32
        np.testing.assert_array_equal(one, other)
    assert traced.index.shape == traced.verdict.shape == ()
    assert traced.refusal.shape == (3,)


@everyone
def test_nothing_recompiles_when_the_choice_changes(name):
    count = []

    def counted(*arguments):
        count.append(1)
        return chosen(POLICIES[name][0], *arguments)

    how = jax.jit(counted)
    for case in (Case((3.0, 1.0, 2.0), (True,) * 3), Case((1.0, math.nan, 2.0), (False,) * 3, kappa=1e9, last=2)):
        ask(name, case, how)
    assert len(count) == 1


@everyone
def test_a_whole_training_at_once_is_one_system_after_the_other(name):
    rng = np.random.default_rng(5)
    policy, rule = POLICIES[name]
    seconds = rng.integers(1, 16, (6, 2, 3)) / 4
    feasible, kappa = rng.random((6, 2, 3)) < 0.8, np.where(rng.random((6, 2)) < 0.5, 10.0, 1e3)
    offers = q.scheduling.Offers(
        NAMES,
        QUANTUM,
        jnp.asarray(seconds, jnp.float32),
        jnp.asarray(feasible),
        jnp.log(jnp.asarray(kappa, jnp.float32)),
    )
    choices, verdicts, _ = decide(policy, offers, jnp.asarray([0.25, 0.75]))
    for block, share in enumerate((0.25, 0.75)):
        last = -1
        for step in range(6):
            case = Case(tuple(seconds[step, block]), tuple(feasible[step, block]), kappa[step, block], last, share)
            expected, verdict = rule(case)
            assert int(verdicts[step, block]) == verdict
            if expected is not None:
                assert int(choices[step, block]) == expected
                last = expected


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: q.scheduling.KappaThreshold(0.5), r"threshold is 0\.5.*at least 1"),
        (lambda: q.scheduling.KappaThreshold(math.inf), r"threshold is inf.*Fastest\(\)"),
        (lambda: q.scheduling.Hysteresis(0.9), r"factor is 0\.9.*at least 1"),
        (lambda: q.scheduling.Hysteresis(math.nan), "factor is nan"),
        (lambda: q.scheduling.Budget(0.0), r"limit is 0\.0.*positive"),
        (lambda: q.scheduling.Budget(1.0, classical_rate=-1.0), r"classical_rate is -1\.0.*watts"),
        (lambda: q.scheduling.Budget(1.0, quantum_rate=math.inf), "quantum_rate is inf"),
    ],
)
def test_bad_policies_say_what_is_wrong(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def plan_of(hybrid: q.Hybrid, spectrum: list[float]) -> q.scheduling.Plan:
    matrix = jnp.asarray(symmetric_with_spectrum(spectrum), jnp.float32)
    return hybrid.plan(q.curvature.System.of(matrix, symmetric=True))


def test_an_unknown_candidate_gets_the_nearest_name(machine_of):
    hybrid = q.Hybrid(classical=machine_of(), policy=q.scheduling.FixedCandidate("Cholesky2"))
    with pytest.raises(ValueError, match="unknown candidate 'Cholesky2': did you mean 'Cholesky'"):
        plan_of(hybrid, [1.0, 2.0])


@pytest.mark.parametrize(("kappa", "expected"), [(50.0, "QLSA(jennings2023v1)"), (200.0, "Cholesky")])
def test_the_threshold_acts_inside_the_scheduler_and_is_recorded(kappa, expected, machine_of):
    quick = q.QuantumMachine(1e-18)
    hybrid = q.Hybrid(classical=machine_of(), quantum=quick, policy=q.scheduling.KappaThreshold(100.0))
    plan = plan_of(hybrid, [1.0, kappa])
    assert hybrid.names[int(plan.choice[0])] == expected
    # What the policy says is no matter of what the candidate can do.
    assert bool(plan.offers.feasible[0, 2])
    assert int(plan.offers.refusal[0, 2]) == (Refusal.NONE if kappa < 100 else Refusal.ABOVE_THRESHOLD)
    assert int(plan.verdict[0]) == Verdict.CHOSEN


def test_where_nobody_can_the_plan_says_what_each_broke(machine_of):
    hybrid = q.Hybrid([q.Cholesky(), q.QLSA()], classical=machine_of(), policy=q.scheduling.KappaThreshold(100.0))
    plan = plan_of(hybrid, [-1.0, 200.0])
    assert int(plan.verdict[0]) == Verdict.NOBODY
    assert plan.offers.refusal[0].tolist() == [Refusal.NOT_DEFINITE, Refusal.ABOVE_THRESHOLD]
    said = plan.complaint(hybrid.names)
    assert said.startswith("nobody can take the system of 2 rows. Cholesky: ")
    assert f"; {hybrid.names[1]}: {Refusal.ABOVE_THRESHOLD.reason}" in said
    # And inside the solve it is NaN, not somebody else's solution.
    operator = lx.MatrixLinearOperator(jnp.asarray(symmetric_with_spectrum([-1.0, 200.0]), jnp.float32))
    solution = lx.linear_solve(operator, jnp.ones(2), solver=hybrid, throw=False)
    assert np.all(np.isnan(solution.value))


def test_a_prediction_that_is_not_finite_is_a_reason(machine_of):
    machine = machine_of(lu=math.inf)
    plan = plan_of(q.Hybrid([q.LU(), q.Cholesky()], classical=machine), [1.0, 2.0])
    assert int(plan.offers.refusal[0, 0]) == Refusal.NO_PREDICTION
    assert int(plan.choice[0]) == 1


def test_what_a_plan_had_itself_is_read_from_its_offers_and_says_so(machine_of):
    plan = plan_of(q.Hybrid([q.LU()], classical=machine_of()), [1.0, 2.0])
    with pytest.warns(DeprecationWarning, match=r"plan\.predicted_seconds is plan\.offers\.seconds now"):
        assert plan.predicted_seconds is plan.offers.seconds
    with pytest.raises(AttributeError, match="Plan has no attribute 'price'"):
        assert plan.price

"""`newton` with a `Reuse`: asked as seldom as it says, in one compilation."""

from typing import Any

import pytest

import qnewton as qn
from qnewton._hardware import KernelTimes

KERNELS = ("cg", "cholesky", "forming", "lu")


def optimizer_of(problem, solvers, estimator) -> Any:
    machine = qn.ClassicalMachine("made by hand", "float64", tuple((k, KernelTimes(1e-3, 0, 0)) for k in KERNELS))
    hybrid = qn.Hybrid(solvers, classical=machine, estimator=estimator)
    return qn.newton(problem.objective, 0.5, solver=hybrid, partition=qn.per_layer, conditioning=[qn.Damp(0.1)])


@pytest.mark.parametrize(
    ("solvers", "formed"),
    [((qn.Cholesky(),), True), ((qn.CG(1e-10), qn.Cholesky()), False)],
    ids=("formed", "unformed"),
)
def test_newton_asks_when_the_answer_is_too_old(solvers, formed, problem_of, step_of, x64):
    problem = problem_of("float64")
    optimizer = optimizer_of(problem, solvers, qn.estimators.Reuse(max_age=3))
    step, traces = step_of(optimizer, problem.objective)
    params, state = problem.params, optimizer.init(problem.params)
    asked = []
    for _ in range(5):
        params, state, _ = step(params, state, problem.batch)
        # Of blocks that are not formed the norms take four products in every step.
        least = 0 if formed else 4
        asked.append([int(info.plan.estimate.matvecs) > least for info in state.info.blocks])
        for info in state.info.blocks:
            found = info.plan.estimate
            assert int(info.status) == qn.Status.OK
            assert 1 <= float(found.condition_number) <= 1e6
            assert found.kinds.frobenius_norm is (qn.estimators.Kind.EXACT if formed else qn.estimators.Kind.ESTIMATE)
    assert asked == [[True] * 2, [False] * 2, [False] * 2, [True] * 2, [False] * 2]
    assert len(traces) == 1
    assert [int(remembered.age) for remembered in state.estimates] == [2, 2]


def test_without_it_nothing_is_remembered(problem_of, x64):
    problem = problem_of("float64")
    assert optimizer_of(problem, (qn.Cholesky(),), qn.estimators.Automatic()).init(problem.params).estimates == ()

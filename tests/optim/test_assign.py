"""Blocks dealt out among machines between two steps, in one compilation."""

from typing import Any

import pytest

import qnewton as qn
from qnewton._core.status import Verdict
from qnewton._hardware import KernelTimes

MACHINE = qn.ClassicalMachine(
    "by hand", "float64", (("cholesky", KernelTimes(1.0, 0, 0)), ("lu", KernelTimes(1.5, 0, 0)))
)


def optimizer_of(problem, hybrid) -> Any:
    damp = [qn.Damp(0.1)]
    return qn.newton(
        problem.objective, 0.5, solver=hybrid, partition=qn.per_layer, conditioning=damp, adaptation=qn.Fixed()
    )


def test_two_blocks_on_two_machines(problem_of, step_of, x64):
    problem = problem_of("float64")
    hybrid = qn.Hybrid([qn.Cholesky(), qn.LU()], classical=MACHINE, policy=qn.scheduling.Assigned())
    optimizer = optimizer_of(problem, hybrid)
    step, traces = step_of(optimizer, problem.objective)
    params, state = problem.params, optimizer.init(problem.params)
    assert [last.tolist() for last in state.choices] == [[-1], [-1]]
    machines = [qn.scheduling.Machine("one", ("Cholesky",)), qn.scheduling.Machine("other", ("LU",))]
    with pytest.raises(ValueError, match="before the first step"):
        qn.scheduling.assign(state, hybrid, machines)
    params, state, _ = step(params, state, problem.batch)
    # The fastest, for want of anything better, which a block then stays with.
    assert [int(info.plan.choice[0]) for info in state.info.blocks] == [0, 0]
    state, found = qn.scheduling.assign(state, hybrid, machines)
    # Together they take 1.5 s on two machines, and 2 on the faster one.
    assert sorted(found.candidates.tolist()) == [0, 1]
    assert found.schedule.makespan_s == 1.5
    for _ in range(2):
        params, state, _ = step(params, state, problem.batch)
        assert [int(info.plan.choice[0]) for info in state.info.blocks] == found.candidates.tolist()
        assert all(int(info.status) == qn.Status.OK for info in state.info.blocks)
    assert len(traces) == 1
    with pytest.raises(ValueError, match=r"policy is Fastest.*policy=Assigned"):
        qn.scheduling.assign(state, qn.Hybrid([qn.LU()]), machines)
    with pytest.raises(ValueError, match="unknown candidate 'Lu': did you mean 'LU'"):
        qn.scheduling.assign(state, hybrid, [qn.scheduling.Machine("one", ("Lu",))])


def test_a_budget_is_split_by_rows(problem_of, step_of, x64):
    problem = problem_of("float64")
    rows = [block.n for block in qn.per_layer(problem.params)]
    # The larger block's part is 1.2 s, in which Cholesky fits alone; the other's is too small for either.
    limit = 1.2 * sum(rows) / max(rows)
    hybrid = qn.Hybrid([qn.LU(), qn.Cholesky()], classical=MACHINE, policy=qn.scheduling.Budget(limit))
    optimizer = optimizer_of(problem, hybrid)
    step, _ = step_of(optimizer, problem.objective)
    state = optimizer.init(problem.params)
    assert state.choices == ()
    _, state, _ = step(problem.params, state, problem.batch)
    verdicts = [Verdict(int(info.plan.verdict[0])).label for info in state.info.blocks]
    expected = ["chosen" if n == max(rows) else "over_budget" for n in rows]
    assert verdicts == expected
    assert "over_budget" in expected
    assert [int(info.plan.choice[0]) for info in state.info.blocks] == [1, 1]

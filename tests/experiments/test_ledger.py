"""A ledger's lines about systems that nothing could solve."""

import dataclasses
import gc
import tracemalloc

import jax.numpy as jnp
import numpy as np
import pytest

import qnewton as q
from qnewton._core.operators import Path
from qnewton._hardware import KernelTimes
from qnewton._pricing.problem import Problem
from qnewton._scheduling import Executed
from qnewton.lab._experiments.ledger import Ledger
from qnewton.lab._runfile import plain

QUANTUM = "QLSA(jennings2023v1)"


def info_of(hybrid, *matrices, status):
    """A step's info as the host sees it, one block per matrix."""
    zero, nan = jnp.zeros(()), jnp.full((), jnp.nan)
    blocks = []
    for matrix in matrices:
        plan = hybrid.plan(q.curvature.System.of(jnp.asarray(matrix, jnp.float32), symmetric=True))
        blocks.append(
            q.optim.BlockInfo(
                plan=plan,
                status=jnp.asarray(status),
                relative_residual=zero + 0.25,
                iterations=jnp.zeros((), jnp.int32),
                executed=Executed(zero, zero + 1, jnp.zeros((), jnp.int32)),
                outer_steps=jnp.ones((), jnp.int32),
                exact_residual=zero + 0.75,
                proven_decrease=zero,
                path=jnp.asarray(Path.LAYERS),
                independence=jnp.zeros((), jnp.int32),
                damping=zero,
                kept_fraction=zero + 1,
                perturbation=zero,
                damping_scale=zero + 1,
                reduction_ratio=nan,
                owner=jnp.full((), -1, jnp.int32),
            )
        )
    return q.optim.StepInfo(
        zero,
        zero,
        zero,
        zero,
        zero,
        nan,
        jnp.ones((), bool),
        jnp.zeros((), jnp.int32),
        jnp.zeros((), bool),
        nan,
        tuple(blocks),
    )


def ledger_of(made, solvers, count, **how):
    machine = q.ClassicalMachine(
        "made by hand", "float32", (("cholesky", KernelTimes(1e-3, 0, 0)), ("lu", KernelTimes(1e-3, 0, 0)))
    )
    hybrid = q.Hybrid(solvers, classical=machine, **how)
    blocks = [q.Block(name=f"block {i}", leaves=(i,), n=2) for i in range(count)]
    return hybrid, Ledger(hybrid, blocks, made.stages(blocks), gate_times_s=[1e-9, 1e-18])


SINGULAR, GOOD, INDEFINITE = np.zeros((2, 2)), np.eye(2), np.diag([1.0, -1.0])
BROKEN = np.full((2, 2), np.nan)


@pytest.mark.parametrize("matrix", [SINGULAR, BROKEN], ids=["singular", "not finite"])
def test_a_system_without_candidates_counts_for_nobody(matrix, made):
    hybrid, ledger = ledger_of(made, [q.QLSA(), q.Cholesky()], 2)
    info = info_of(hybrid, matrix, GOOD, status=q.Status.NO_CANDIDATE)
    step, lines = ledger.record(info, epoch=0.0, measured_seconds=0.5)
    entry = lines[0].assumptions["paper"]
    assert set(entry.refused) == {QUANTUM, "Cholesky"}
    assert lines[0].status == "no_candidate"
    assert lines[0].ran == "gradient step"
    assert (lines[0].relative_residual, lines[0].exact_residual) == (0.25, 0.75)
    # The identity goes to the quantum candidate: some 1e4 queries of a nanosecond against a millisecond.
    assert lines[1].assumptions["paper"].refused == {}
    assert lines[1].assumptions["paper"].choice == QUANTUM
    totals = ledger.totals()
    assert totals["quantum_share"] == 0.5
    # At the acting gate time both ways to the share agree.
    assert totals["by_gate_time"][0].quantum_share == totals["quantum_share"]
    assert totals["solved_by"] == {}
    assert totals["statuses"] == {"no_candidate": 2}
    solves = step.predicted_seconds["paper"]
    chosen = lines[1].assumptions["paper"]
    assert chosen.choice is not None
    parts = (solves.solve_classical or 0.0, solves.solve_quantum or 0.0)
    assert sum(parts) == chosen.predicted_seconds[chosen.choice]
    written = plain(lines[0])["assumptions"]["paper"]
    assert written["predicted_seconds"] == {QUANTUM: None, "Cholesky": None}
    assert written["break_even_gate_time_s"][QUANTUM] is None


def test_the_reason_of_a_refusal_is_the_right_one(made):
    hybrid, ledger = ledger_of(made, [q.Cholesky(), q.LU(), q.QLSA()], 3)
    _, lines = ledger.record(
        info_of(hybrid, INDEFINITE, SINGULAR, BROKEN, status=q.Status.OK), epoch=0.0, measured_seconds=0.5
    )
    indefinite, singular, broken = (line.assumptions["paper"].refused for line in lines)
    assert set(indefinite) == {"Cholesky"}
    assert "positive definite" in indefinite["Cholesky"]
    assert set(singular) == {"Cholesky", QUANTUM}
    assert "range" in singular[QUANTUM]
    assert set(broken) == {"Cholesky", "LU", QUANTUM}
    assert all("not finite" in reason for reason in broken.values())
    assert lines[1].condition_number == np.inf
    assert plain(lines[1])["condition_number"] is None


# Policy, and for a system of condition number 1, one of 1e4 and both again: who takes it at 1e-9 and at 1e-18 s.
POLICIES = {
    "fastest": (q.scheduling.Fastest(), [QUANTUM, "LU"] * 2, [QUANTUM] * 4),
    "threshold": (q.scheduling.KappaThreshold(50.0), [QUANTUM, "LU"] * 2, [QUANTUM, "LU"] * 2),
    "fixed": (q.scheduling.FixedCandidate("LU"), ["LU"] * 4, ["LU"] * 4),
    "hysteresis": (q.scheduling.Hysteresis(2.0), [QUANTUM, "LU"] * 2, [QUANTUM] * 4),
}


@pytest.mark.parametrize("name", POLICIES)
def test_the_sweep_over_gate_times_asks_the_policy(name, made):
    policy, slow, fast = POLICIES[name]
    # At a microsecond per query LU takes everything that the policy leaves open.
    hybrid, ledger = ledger_of(made, [q.LU(), q.QLSA()], 2, policy=policy, quantum=q.QuantumMachine(1e-6))
    info = info_of(hybrid, GOOD, np.diag([1.0, 1e4]), status=q.Status.OK)
    for _ in range(2):
        _, lines = ledger.record(info, epoch=0.0, measured_seconds=0.5)
        assert [line.assumptions["paper"].choice for line in lines] == ["LU", "LU"]
        assert [line.assumptions["paper"].verdict for line in lines] == ["chosen", "chosen"]
    rows = ledger.totals()["by_gate_time"]
    for row, expected in zip(rows, (slow, fast), strict=True):
        assert row.quantum_share == expected.count(QUANTUM) / 4
        # Of the classical solves, and what the quantum ones add: below a millisecond each, since they won.
        classical = 1e-3 * expected.count("LU")
        assert classical <= row.predicted_solve_seconds * (1 + 1e-6)
        assert row.predicted_solve_seconds < classical + 1e-3 * expected.count(QUANTUM) + 1e-9


def test_what_the_policy_passed_over_is_in_the_record(made):
    hybrid, ledger = ledger_of(made, [q.QLSA(), q.LU()], 1, policy=q.scheduling.Budget(1e-9))
    _, (line,) = ledger.record(info_of(hybrid, GOOD, status=q.Status.OK), epoch=0.0, measured_seconds=0.5)
    entry = line.assumptions["paper"]
    assert (entry.verdict, entry.refused) == ("over_budget", {})
    hybrid, ledger = ledger_of(made, [q.QLSA(), q.LU()], 1, policy=q.scheduling.FixedCandidate("LU"))
    _, (line,) = ledger.record(info_of(hybrid, GOOD, status=q.Status.OK), epoch=0.0, measured_seconds=0.5)
    entry = line.assumptions["paper"]
    assert (entry.verdict, entry.refused) == ("chosen", {QUANTUM: "the policy names another candidate"})
    assert 0 < (entry.predicted_seconds[QUANTUM] or 0.0) < np.inf


def test_at_the_break_even_gate_time_both_take_as_long(made):
    profile = q.load_profile("superconducting")
    assert isinstance(profile, q.hardware.QuantumProfile)
    # A load of 4 entries takes half of what LU takes, and no clock scales it.
    loading = dataclasses.replace(q.assumptions.end_to_end(), readout=None, norm=None, entries_per_s=4 / 5e-4)
    slow = dataclasses.replace(loading, label="slow", entries_per_s=4 / 2e-3)
    matrix = np.array([[2.0, 0.5], [0.5, 1.0]])
    values = np.linalg.eigvalsh(matrix)
    problem = Problem(
        2, values[1] / values[0], 1e-2, max_entry=2.0, frobenius_norm=np.linalg.norm(matrix), spectral_norm=values[1]
    )

    def seconds(assumed, gate_time_s):
        solver = q.assumptions.CountedSolver.of(q.queries.jennings2023v1)
        return float(assumed.charge(solver, problem.numbers, 1e-2, q.assumptions.Clock(gate_time_s, profile)).seconds)

    # A machine near the answer, or the load would be lost in the seconds of the gates.
    near = 5e-4 / seconds(dataclasses.replace(loading, loading=False), 1.0)
    machine = q.QuantumMachine(3 * near, profile)
    hybrid, ledger = ledger_of(
        made, [q.LU(), q.QLSA()], 1, quantum=machine, assumptions=(loading, slow), estimator=q.estimators.Exact()
    )
    _, (line,) = ledger.record(info_of(hybrid, matrix, status=q.Status.OK), epoch=0.0, measured_seconds=0.5)
    entry = line.assumptions["end_to_end"]
    found = entry.break_even_gate_time_s[QUANTUM]
    assert found is not None
    assert seconds(loading, found) == pytest.approx(1e-3, rel=1e-3)
    # It would be twice that if the load were forgotten.
    assert seconds(dataclasses.replace(loading, loading=False), 2 * found) == pytest.approx(1e-3, rel=1e-3)
    for gate_time_s, predicted in entry.predicted_quantum_seconds_by_gate_time[QUANTUM]:
        assert predicted == pytest.approx(seconds(loading, gate_time_s), rel=1e-3)
    # Where the load alone takes longer than LU no gate time does it.
    assert line.assumptions["slow"].break_even_gate_time_s[QUANTUM] == 0


def test_an_empty_ledger_has_totals(made):
    _, ledger = ledger_of(made, [q.LU(), q.QLSA()], 1)
    totals = ledger.totals()
    assert totals["quantum_share"] == 0
    assert totals["predicted_seconds"] == {"paper": 0}
    assert totals["predicted_seconds_all_classical"] == 0


def test_a_long_run_keeps_no_lines(made):
    hybrid, ledger = ledger_of(made, [q.QLSA(), q.Cholesky()], 6)
    info = info_of(hybrid, *[GOOD] * 6, status=q.Status.OK)

    def take(steps: int) -> None:
        for _ in range(steps):
            ledger.record(info, epoch=0.0, measured_seconds=0.5)

    take(20)
    gc.collect()
    tracemalloc.start()
    try:
        take(100)
        gc.collect()
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # 100,000 steps in 300 MiB are 3 kB for each; the lines of one are 30 kB.
    assert grown / 100 < 1500
    assert ledger.totals()["statuses"] == {"ok": 720}

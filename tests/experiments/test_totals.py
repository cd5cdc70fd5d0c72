"""The totals of a run, added up a second time from its lines; what is measured and what is predicted stay apart."""

import itertools
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest

from qnewton.lab._experiments import loop, runner

SETS, QUANTUM = "paper", "QLSA(jennings2023v1)"


def entries(files):
    return [line["assumptions"][SETS] for line in files.blocks]


def classical_seconds(entry):
    return min(v for k, v in entry["predicted_seconds"].items() if k != QUANTUM and v is not None)


def quantum_seconds(entry, gate_time_s):
    """From the queries, not from what the run says about gate times."""
    return math.inf if QUANTUM in entry["refused"] else entry["queries"][QUANTUM] * gate_time_s


def fixed_seconds(files, made):
    per_block = made.curvature + made.conditioning + made.estimation
    return len(files.steps) * (made.gradient + len(files.config["model"]["blocks"]) * per_block)


def test_the_run_decides_in_both_ways(mixed):
    machines = {entry["machine"] for entry in entries(mixed)}
    assert machines == {"classical", "quantum"}
    assert {line["definite"] for line in mixed.blocks} == {True, False}
    assert any("Cholesky" in entry["refused"] for entry in entries(mixed))


def test_a_steps_seconds_are_the_sum_of_its_parts(mixed, made):
    for step in mixed.steps:
        parts = dict(step["predicted_seconds"][SETS])
        total = parts.pop("total")
        assert total == pytest.approx(sum(parts.values()), rel=1e-12)
        assert parts.pop("gradient") == made.gradient
        assert parts.pop("curvature") == 3 * made.curvature
        assert parts.pop("conditioning") == 3 * made.conditioning
        assert parts.pop("estimation") == 3 * made.estimation
        mine = [line["assumptions"][SETS] for line in mixed.blocks if line["step"] == step["step"]]
        for machine in ("classical", "quantum"):
            solves = [e["predicted_seconds"][e["choice"]] for e in mine if e["machine"] == machine]
            assert parts.pop(f"solve_{machine}") == pytest.approx(sum(solves), rel=1e-12)
        assert not parts


def test_the_summary_adds_the_steps(mixed):
    total = sum(step["predicted_seconds"][SETS]["total"] for step in mixed.steps)
    assert mixed.summary["predicted_seconds"] == {SETS: pytest.approx(total, rel=1e-12)}
    assert mixed.summary["steps"] == len(mixed.steps) == 4
    measured = sum(step["measured_seconds"] for step in mixed.steps)
    evaluations = sum(step["measured_evaluation_seconds"] for step in mixed.steps)
    breakdown = mixed.summary["measured_breakdown"]
    assert breakdown["steps"] == pytest.approx(measured)
    assert breakdown["evaluations"] == pytest.approx(evaluations)
    assert mixed.summary["measured_seconds"] == pytest.approx(measured + evaluations)


def test_shares_and_counts(mixed):
    quantum = [entry["machine"] == "quantum" for entry in entries(mixed)]
    assert mixed.summary["quantum_share"] == pytest.approx(sum(quantum) / 12)
    assert mixed.summary["acting"] == SETS
    choices = [line["solver"] for line in mixed.blocks]
    assert mixed.summary["solved_by"] == {name: choices.count(name) for name in set(choices)}
    assert mixed.summary["statuses"] == {"ok": 12}


def test_all_classical_is_every_system_on_its_fastest_classical_candidate(mixed, made):
    # Nothing is chosen then, so no condition number is estimated.
    fixed = fixed_seconds(mixed, made) - len(entries(mixed)) * made.estimation
    expected = fixed + sum(map(classical_seconds, entries(mixed)))
    assert mixed.summary["predicted_seconds_all_classical"] == pytest.approx(expected, rel=1e-6)
    # Which is Cholesky where it may, and LU elsewhere.
    definite = [line["presumed_definite"] for line in mixed.blocks]
    by_hand = sum(made.cholesky if d else made.lu for d in definite)
    assert expected - fixed == pytest.approx(by_hand, rel=1e-5)


def test_every_gate_time_is_decided_anew_from_the_queries(mixed, made):
    shares = []
    for row in mixed.summary["by_gate_time"]:
        times = [(classical_seconds(e), quantum_seconds(e, row["gate_time_s"])) for e in entries(mixed)]
        assert all(abs(a / b - 1) > 1e-4 for a, b in times), "no decision hangs on rounding"
        quantum = [b < a for a, b in times]
        assert row["quantum_share"] == pytest.approx(sum(quantum) / len(quantum))
        expected = fixed_seconds(mixed, made) + sum(map(min, times))
        assert row["predicted_seconds"] == pytest.approx(expected, rel=1e-6)
        shares.append(row["quantum_share"])
    # The list falls from microseconds to attoseconds: never fewer quantum solves, from none to all.
    assert shares[0] == 0
    assert shares[-1] == 1
    assert all(later >= earlier for earlier, later in itertools.pairwise(shares))
    assert any(0 < share < 1 for share in shares)


def test_the_acting_gate_time_agrees_with_its_own_row(mixed):
    (row,) = [row for row in mixed.summary["by_gate_time"] if row["gate_time_s"] == mixed.summary["gate_time_s"]]
    assert row["quantum_share"] == mixed.summary["quantum_share"]
    assert row["predicted_seconds"] == pytest.approx(mixed.summary["predicted_seconds"][SETS], rel=1e-6)


def test_break_even_is_where_the_decision_flips(mixed):
    for entry in entries(mixed):
        gate_time_s = entry["break_even_gate_time_s"][QUANTUM]
        if QUANTUM in entry["refused"]:
            assert gate_time_s in (None, 0)
            continue
        assert quantum_seconds(entry, 0.999 * gate_time_s) < classical_seconds(entry)
        assert quantum_seconds(entry, 1.001 * gate_time_s) > classical_seconds(entry)


def test_a_fresh_run_at_another_gate_time_decides_as_predicted(mixed, run, mixed_options, tmp_path):
    rows = {row["gate_time_s"]: row for row in mixed.summary["by_gate_time"]}
    other = next(gate for gate in rows if rows[gate]["quantum_share"] not in (0, 1, mixed.summary["quantum_share"]))
    scheduling = replace(mixed_options.scheduling, gate_time_s=other)
    fresh = run(replace(mixed_options, scheduling=scheduling), tmp_path / "fresh")
    assert fresh.summary["gate_time_s"] == other
    assert fresh.summary["quantum_share"] == rows[other]["quantum_share"]
    assert fresh.summary["predicted_seconds"][SETS] == pytest.approx(rows[other]["predicted_seconds"], rel=1e-6)
    predicted = [quantum_seconds(e, other) < classical_seconds(e) for e in entries(mixed)]
    assert [line["solver"] == QUANTUM for line in fresh.blocks] == predicted
    # The choice is about cost alone: but for rounding, the training is the same.
    assert [step["loss"] for step in fresh.steps] == pytest.approx([step["loss"] for step in mixed.steps], rel=1e-3)


def test_measured_seconds_come_from_the_clock_and_predicted_ones_do_not(run, quick, made, tmp_path, monkeypatch):
    ticks = itertools.count(step=1024.0)
    for module in (runner, loop):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    files = run(quick(steps=3), tmp_path / "clock")
    assert [step["measured_seconds"] for step in files.steps] == [1024.0] * 3
    assert [step["measured_evaluation_seconds"] for step in files.steps] == [1024.0] * 3
    assert files.summary["measured_seconds"] == 6 * 1024.0
    assert files.summary["measured_breakdown"] == {
        "steps": 3 * 1024.0,
        "evaluations": 3 * 1024.0,
        "compilation": 1024.0,
        "calibration": 1024.0,
    }
    assert files.calibration["measured_seconds"] == 1024.0
    per_step = made.gradient + made.curvature + made.conditioning + made.estimation + made.lu
    assert files.summary["predicted_seconds"][SETS] == pytest.approx(3 * per_step, rel=1e-6)
    alone = 3 * (per_step - made.estimation)
    assert files.summary["predicted_seconds_all_classical"] == pytest.approx(alone, rel=1e-6)


def test_where_nothing_classical_may_solve_the_total_is_null_and_not_zero(run, quick, tmp_path):
    files = run(quick(solvers=("qlsa",), gate_times_s=(1e-9,)), tmp_path / "quantum")
    assert files.summary["predicted_seconds_all_classical"] is None
    assert files.summary["quantum_share"] == 1
    assert files.summary["by_gate_time"][0]["quantum_share"] == 1
    assert all(entry["break_even_gate_time_s"] == {QUANTUM: None} for entry in entries(files))

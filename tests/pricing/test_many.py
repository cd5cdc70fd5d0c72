"""Ten thousand random problems at once: every verdict against the hand order of its own table, and the sets' order."""

import dataclasses
import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import qnewton as q
from qnewton._hardware import ClassicalProfile, QuantumProfile, profile_names
from qnewton._pricing.assumptions import ASSUMPTION_SETS
from qnewton._pricing.breakeven import Question, orders
from qnewton._pricing.classical import ClassicalHost
from qnewton._pricing.clock import Clock
from qnewton._pricing.paper import charged, counts_for, predicted, takes
from qnewton._pricing.problem import Problem
from qnewton._pricing.structure import Structure
from qnewton._pricing.table import table
from qnewton._pricing.verdict import verdicts

QUANTUM = [p for p in map(q.load_profile, ("superconducting", "majorana-e6")) if isinstance(p, QuantumProfile)]
CLASSICAL = [p for p in map(q.load_profile, profile_names()) if isinstance(p, ClassicalProfile)]
HOSTS = [ClassicalHost.of(profile) for profile in CLASSICAL]
SETS = tuple(ASSUMPTION_SETS.values())
ORDER = ("paper", "logical", "end_to_end")


def random_problem(rng: np.random.Generator, count: int, *, definite: bool, structured: bool) -> Problem:
    n = np.round(10.0 ** rng.uniform(0, 10, count))
    degree = np.clip(np.round(n ** rng.uniform(0, 1, count)), 1, n)
    # One in four is so well conditioned that the paper's theorem says nothing of it.
    kappa = 10.0 ** (rng.uniform(0, 8, count) * rng.choice([1.0, 0.08], count, p=[0.75, 0.25]))
    kappa[n == 1] = 1.0
    band = np.minimum(degree * 10.0 ** rng.uniform(0, 2, count), n - 1)
    fill = np.minimum(n * degree * 10.0 ** rng.uniform(0, 2, count), n * (n + 1) / 2)
    known = Structure(
        bandwidth=band,
        fill=fill,
        factor_flops=fill**2 / n,
        preconditioned_kappa=kappa ** rng.uniform(0, 1, count),
        root_rows=np.round(n ** rng.uniform(0, 1, count)),
    )
    return Problem(
        n=n,
        condition_number=kappa,
        precision=10.0 ** rng.uniform(-12, -0.5, count),
        degree=degree,
        definite=definite,
        structure=known if structured else Structure(),
    )


def rows_of(problem: Problem) -> list[dict[str, Any]]:
    """What a table says, as arrays over the problems."""
    size, found = np.shape(problem.n), []
    clocks = [(profile.name, Clock.of(profile.machine)) for profile in QUANTUM]
    for one in charged(problem, clocks, SETS, axes=1):
        for place, model in enumerate(one.group.models):
            if takes(model, problem) and counts_for(one.assumed, model):
                found.append(
                    {
                        "kind": "quantum",
                        "solver": model.name,
                        "hardware": one.machine,
                        "assumptions": one.assumed.name,
                        "evidence": model.evidence.value,
                        "seconds": np.broadcast_to(one.charge.seconds[place], size),
                    }
                )
    for one in predicted(problem, HOSTS):
        found.append(
            {
                "kind": "classical",
                "solver": one.rival.name,
                "hardware": one.host.name,
                "assumptions": one.host.basis,
                "evidence": one.rival.guarantee,
                "seconds": np.broadcast_to(np.where(one.found.valid, one.found.seconds, np.inf), size),
            }
        )
    return found


def best(rows: list[dict[str, Any]], size: int) -> np.ndarray:
    return np.min([row["seconds"] for row in rows] or [np.full(size, np.inf)], axis=0)


def check(problem: Problem, verdict_every: int) -> None:
    rows, size = rows_of(problem), len(problem.n)
    # What is counted by hand: everything but growth rates and solves of something else.
    classical = best(
        [r for r in rows if r["kind"] == "classical" and r["solver"] not in ("quantum-inspired", "K-FAC")], size
    )
    assert np.all(classical > 0)
    ours: dict[str, np.ndarray] = {}
    for name in ASSUMPTION_SETS:
        own = [row for row in rows if row["assumptions"] == name]
        proven = best([row for row in own if row["evidence"] == "proven"], size)
        ours[name] = np.where(
            np.isfinite(proven), proven, best([r for r in own if r["evidence"] != "asymptotic"], size)
        )
    for at in range(0, size, verdict_every):
        lines: Any = []
        for row in rows:
            seconds = float(row["seconds"][at])
            lines.append(SimpleNamespace(**{**row, "seconds": seconds if np.isfinite(seconds) else None}))
        for verdict in verdicts(lines):
            left, right = ours[verdict.assumptions][at], classical[at]
            if not (np.isfinite(left) and np.isfinite(right)):
                assert verdict.orders is None
                continue
            assert verdict.orders == pytest.approx(np.log10(left / right), abs=1e-9)
            assert verdict.orders is not None
            if abs(verdict.orders) >= 0.05:
                assert verdict.sentence.startswith("classical" if left > right else "quantum")
    seconds = {(row["solver"], row["hardware"], row["assumptions"]): row["seconds"] for row in rows}
    for less, more in itertools.pairwise(ORDER):
        both = np.isfinite(ours[less]) & np.isfinite(ours[more])
        assert np.all(ours[less][both] <= ours[more][both] * (1 + 1e-9)), (less, more)
        for (solver, machine, name), dear in seconds.items():
            cheap = seconds.get((solver, machine, "paper-best" if less == "paper" else less))
            if name == more and cheap is not None:
                # A single number takes no gates, and half of the error may take fewer queries: counts have steps.
                both = np.isfinite(dear) & np.isfinite(cheap) & (problem.n > 1)
                assert np.all(cheap[both] <= dear[both] * (1 + 1e-9)), (solver, machine, name)


@pytest.mark.parametrize("definite", [True, False])
def test_no_verdict_of_a_thousand_flips_against_its_own_table(definite: bool) -> None:
    rng = np.random.default_rng(20261201)
    check(random_problem(rng, 500, definite=definite, structured=definite), verdict_every=5)


def test_no_verdict_of_ten_thousand_flips_against_its_own_table() -> None:
    rng = np.random.default_rng()
    for definite, structured in ((True, True), (True, False), (False, True), (False, False)):
        check(random_problem(rng, 2500, definite=definite, structured=structured), verdict_every=1)


def test_arrays_say_what_tables_of_single_problems_say() -> None:
    problem = random_problem(np.random.default_rng(7), 3, definite=True, structured=False)
    rows = {(r["kind"], r["solver"], r["hardware"], r["assumptions"]): r["seconds"] for r in rows_of(problem)}
    for at in range(3):
        one = dataclasses.replace(
            problem,
            n=problem.n[at],
            condition_number=problem.condition_number[at],
            precision=problem.precision[at],
            degree=problem.degree[at],
        )
        machines = [(profile.name, profile.machine) for profile in QUANTUM]
        for row in table(one, machines, SETS, HOSTS):
            key = (row.kind, row.solver, row.hardware, row.assumptions)
            assert row.reason == "needs a positive definite matrix" or key in rows or row.kind == "bound"
            if row.seconds is not None and key in rows:
                assert row.seconds == pytest.approx(float(rows[key][at]), rel=1e-9), key
        own = [row for row in verdicts(table(one, machines[:1], SETS[3:4], HOSTS)) if row.orders is not None]
        for verdict in own:
            found = orders(Question(one, SETS[3], machines[0][1], HOSTS), {})
            assert float(found) == pytest.approx(verdict.orders, abs=1e-9)

"""How near schedules come to the shortest there is, and how long finding them takes.

Seeded random instances: seconds uniform in [1, 100]; log-uniform over three decades; correlated (a size of the block, a
speed of the machine, 20 % of noise); and `qpu`, classical workers that are alike with a few quantum ones which take
three blocks in ten fifty times faster and the others twenty times slower, behind a queue of 5 s and transfers of 0.5 s.

Up to 30 blocks the reference is the integer optimum (HiGHS, relative gap 1e-6; an instance whose optimum was not
proven within the limit is compared with the proven bound and counted). From 20 blocks per machine it is the linear
programme's bound. `heuristic` is list scheduling by prices with local search, `schedule` what a caller gets: with the
bound, and the integer programme or more search where the two lie apart. Seconds are measured, wall clock.

Prints one JSON object as its last line, and exits with status 1 if a target was missed: gaps of 5 %, 2 s.

    .venv/bin/python benchmarks/makespan.py [--seeds 3] [--limit 30]
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from qnewton._hardware import describe_machine
from qnewton._scheduling.makespan import Jobs, schedule
from qnewton._scheduling.makespan.bound import lower_bound
from qnewton._scheduling.makespan.exact import exact
from qnewton._scheduling.makespan.heuristic import heuristic
from qnewton._scheduling.makespan.problem import finish_of

SMALL = ((10, 2), (10, 5), (20, 3), (30, 3), (30, 6))
LARGE = ((200, 10), (400, 20), (1280, 64), (5000, 64))


def uniform(generator: np.random.Generator, jobs: int, width: int) -> Jobs:
    return Jobs.of(generator.uniform(1, 100, (jobs, width)))


def log_uniform(generator: np.random.Generator, jobs: int, width: int) -> Jobs:
    return Jobs.of(10 ** generator.uniform(0, 3, (jobs, width)))


def correlated(generator: np.random.Generator, jobs: int, width: int) -> Jobs:
    size, speed = 10 ** generator.uniform(0, 2, (jobs, 1)), 10 ** generator.uniform(0, 0.7, (1, width))
    return Jobs.of(size * speed * generator.uniform(0.8, 1.2, (jobs, width)))


def qpu(generator: np.random.Generator, jobs: int, width: int) -> Jobs:
    quantum = np.arange(width) >= width - max(1, width // 8)
    size = 10 ** generator.uniform(-1, 2, (jobs, 1))
    fast = generator.random((jobs, 1)) < 0.3
    return Jobs.of(np.where(quantum, np.where(fast, size / 50, size * 20) + 0.5, size), np.where(quantum, 5.0, 0.0))


KINDS = {"uniform": uniform, "log_uniform": log_uniform, "correlated": correlated, "qpu": qpu}


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    return function(), time.perf_counter() - start


def measure(problem: Jobs, *, small: bool, limit_s: float) -> dict[str, Any]:
    assignment, seconds = timed(lambda: heuristic(problem))
    makespan = float(finish_of(problem, assignment).max())
    found, whole = timed(lambda: schedule(problem))
    bound, bounding = timed(lambda: lower_bound(problem, makespan))
    proven, solving = True, 0.0
    if small:
        solved, solving = timed(lambda: exact(problem, makespan, 0.0, limit_s))
        best = float(finish_of(problem, solved.assignment).max()) if solved.assignment is not None else makespan
        proven = best <= solved.bound_s * (1 + 1e-5)
        bound = best if proven else max(bound, solved.bound_s)
    return {
        "heuristic_gap": makespan / bound - 1,
        "schedule_gap": found.makespan_s / bound - 1,
        "stated_gap": found.gap,
        "proven": proven,
        "heuristic_measured_seconds": seconds,
        "schedule_measured_seconds": whole,
        "bound_measured_seconds": bounding,
        "exact_measured_seconds": solving,
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {"instances": len(rows), "proven": sum(row["proven"] for row in rows)}
    for key in ("heuristic_gap", "schedule_gap", "stated_gap"):
        found[key] = {"median": statistics.median(r[key] for r in rows), "worst": max(r[key] for r in rows)}
    for key in rows[0]:
        if key.endswith("seconds"):
            found[key] = {"median": statistics.median(r[key] for r in rows), "worst": max(r[key] for r in rows)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--limit", type=float, default=30.0, help="seconds of one integer programme")
    arguments = parser.parse_args()
    heuristic(KINDS["uniform"](np.random.default_rng(0), 20, 3))  # the first call imports and warms up
    report: dict[str, dict[str, Any]] = {"to_30_blocks": {}, "from_20_per_machine": {}}
    for part, sizes in zip(report, (SMALL, LARGE), strict=True):
        for kind, make in KINDS.items():
            for jobs, width in sizes:
                # Seeds below 100 were used while the heuristic was written.
                generators = (np.random.default_rng([100 + seed, jobs, width]) for seed in range(arguments.seeds))
                problems = [make(generator, jobs, width) for generator in generators]
                rows = [measure(p, small=part == "to_30_blocks", limit_s=arguments.limit) for p in problems]
                report[part][f"{kind} {jobs}x{width}"] = summary(rows)
                print(part, kind, jobs, width, json.dumps(report[part][f"{kind} {jobs}x{width}"]), flush=True)
    worst = {
        part: {
            key: max(row[key]["worst"] for row in rows.values())
            for key in ("heuristic_gap", "schedule_gap", "heuristic_measured_seconds", "schedule_measured_seconds")
        }
        for part, rows in report.items()
    }
    met = {
        "within_0.05_to_30_blocks": worst["to_30_blocks"]["schedule_gap"] <= 0.05,
        "within_0.05_from_20_per_machine": worst["from_20_per_machine"]["schedule_gap"] <= 0.05,
        "heuristic_in_2_s": max(part["heuristic_measured_seconds"] for part in worst.values()) <= 2,
    }
    result = {"benchmark": "makespan", "machine": describe_machine(), **report, "worst": worst, "targets_met": met}
    print(json.dumps(result))
    sys.exit(0 if all(met.values()) else 1)


if __name__ == "__main__":
    main()

"""Whether any answer is silently wrong: thousands of drawn cases, each judged by an oracle that is not ours.

Three families. `solvers`: every solver on spectra, faults and scales, by the true residual. `optimizers`: every
optimizer on faults in values and on scales of loss and parameters, by what becomes of loss and parameters. `models`:
curvature blocks of models with and without coupled examples, by dense derivatives of the whole batch's loss.

A case is `right`; `flagged`, by a status or by an exception of ours that says what to do; `silent`, wrong without
either; or `deep`, an error from below our code. `false_refusals` are exceptions where the oracle solves the case,
`right_share` is the share of right answers among those that it solves.

    .venv/bin/python benchmarks/robustness.py [--cases N] [--seed S] [--only FAMILY ...] [--jobs N]
    .venv/bin/python benchmarks/robustness.py --case FAMILY:INDEX [--seed S]

A case is a function of seed, family and index: `--case solvers:17` runs one again and tells it. Each family's faults
are listed by kind. The last line of the output is one JSON object.
"""

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version

# Nearly all of the time is compilation, so programs are compiled the quick way, as the tests' are (tests/conftest.py).
# `XLA_FLAGS=` compiles as users do. JAX reads this when it first computes.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_parallel_codegen_split_count=1"
    + (" --xla_cpu_use_fusion_emitters=false" if version("jaxlib").startswith("0.10.") else ""),
)

import jax
from robustness_parts import curvature_blocks, linear_solves, trainings
from robustness_parts.judge import Outcome, faults_by_kind, summary

# Share of the cases; part of a family's first cases; one case.
FAMILIES: dict[str, tuple[float, Callable[..., Iterator[Outcome]], Callable[[int, int], Outcome]]] = {
    "solvers": (0.35, linear_solves.cases, linear_solves.run_case),
    "optimizers": (0.35, trainings.cases, trainings.run_case),
    "models": (0.3, curvature_blocks.cases, curvature_blocks.run_case),
}


def work(name: str, seed: int, count: int, part: int = 0, parts: int = 1) -> tuple[list[Outcome], float]:
    """The outcomes of one part of a family, and its seconds."""
    # Where an exception was raised is what is judged, so jax must not shorten its traceback.
    jax.config.update("jax_traceback_filtering", "off")
    start = time.perf_counter()
    return list(FAMILIES[name][1](seed, count, part, parts)), time.perf_counter() - start


def outcomes_of(counts: dict[str, int], seed: int, jobs: int) -> Iterator[tuple[str, list[Outcome], float]]:
    """Each family with its outcomes and the processes' seconds in all."""
    if jobs == 1:
        for name, count in counts.items():
            yield name, *work(name, seed, count)
        return
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        running = {
            name: [pool.submit(work, name, seed, count, part, jobs) for part in range(jobs)]
            for name, count in counts.items()
        }
        for name, futures in running.items():
            done = [future.result() for future in futures]
            own = sorted((o for part, _ in done for o in part), key=lambda outcome: outcome.index)
            yield name, own, sum(seconds for _, seconds in done)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--cases", type=int, default=3000, help="of all families that are run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=list(FAMILIES), default=list(FAMILIES))
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes at once")
    parser.add_argument("--case", help="FAMILY:INDEX, to run again alone")
    options = parser.parse_args()
    if options.case:
        jax.config.update("jax_traceback_filtering", "off")
        family, index = options.case.split(":")
        print(FAMILIES[family][2](options.seed, int(index)))
        return
    start = time.perf_counter()
    shares = sum(FAMILIES[name][0] for name in options.only)
    counts = {name: round(options.cases * FAMILIES[name][0] / shares) for name in options.only}
    outcomes, families = [], {}
    for name, own, seconds in outcomes_of(counts, options.seed, options.jobs):
        families[name] = {**summary(own), "process_seconds": round(seconds, 1)}
        print(f"{name}: {json.dumps(families[name])}", *faults_by_kind(own), sep="\n", flush=True)
        outcomes += own
    total = {**summary(outcomes), "seed": options.seed, "seconds": round(time.perf_counter() - start, 1)}
    print(json.dumps({**total, "families": families}))


if __name__ == "__main__":
    main()

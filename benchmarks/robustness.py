"""Whether any answer is silently wrong: thousands of drawn cases, each judged by an oracle that is not ours.

Three families. `solvers`: every solver on spectra, faults and scales, by the true residual. `optimizers`: every
optimizer on faults in values and on scales of loss and parameters, by what becomes of loss and parameters. `models`:
curvature blocks of models with and without coupled examples, by dense derivatives of the whole batch's loss.

A case is `right`; `flagged`, by a status or by an exception of ours that says what to do; `silent`, wrong without
either; or `deep`, an error from below our code. `false_refusals` are exceptions where the oracle solves the case,
`right_share` is the share of right answers among those that it solves.

    .venv/bin/python benchmarks/robustness.py [--cases N] [--seed S] [--only FAMILY ...] [--case FAMILY:INDEX]

A case is a function of seed, family and index: `--case solvers:17` runs one again and tells it. The last line of the
output is one JSON object.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator

# Nearly all of the time is compilation, so programs are compiled the quick way, as the tests' are (tests/conftest.py).
# `XLA_FLAGS=` compiles as users do. JAX reads this when it first computes.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
)

import jax
from robustness_parts import curvature_blocks, linear_solves, trainings
from robustness_parts.judge import Outcome, faults_by_kind, summary

# Share of the cases, function of seed and count, and of seed and index.
FAMILIES: dict[str, tuple[float, Callable[[int, int], Iterator[Outcome]], Callable[[int, int], Outcome]]] = {
    "solvers": (0.35, linear_solves.cases, linear_solves.run_case),
    "optimizers": (0.35, trainings.cases, trainings.run_case),
    "models": (0.3, curvature_blocks.cases, curvature_blocks.run_case),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--cases", type=int, default=3000, help="of all families that are run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=list(FAMILIES), default=list(FAMILIES))
    parser.add_argument("--case", help="FAMILY:INDEX, to run again alone")
    options = parser.parse_args()
    # Where an exception was raised is what is judged, so jax must not shorten its traceback.
    jax.config.update("jax_traceback_filtering", "off")
    if options.case:
        family, index = options.case.split(":")
        print(FAMILIES[family][2](options.seed, int(index)))
        return
    start = time.perf_counter()
    shares = sum(FAMILIES[name][0] for name in options.only)
    outcomes, parts = [], {}
    for name in options.only:
        share, cases, _ = FAMILIES[name]
        began = time.perf_counter()
        own = list(cases(options.seed, round(options.cases * share / shares)))
        parts[name] = {**summary(own), "seconds": round(time.perf_counter() - began, 1)}
        print(f"{name}: {json.dumps(parts[name])}", *faults_by_kind(own), sep="\n", flush=True)
        outcomes += own
    total = {**summary(outcomes), "seed": options.seed, "seconds": round(time.perf_counter() - start, 1)}
    print(json.dumps({**total, "families": parts}))


if __name__ == "__main__":
    main()

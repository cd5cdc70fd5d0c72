"""The kernels against their bounds, each measured beside ours in the same run.

- `cholesky`: our factorisation and solve against `scipy.linalg.cho_factor` and `cho_solve`; at most 1.3 times.
- `formation`: a block, formed, against one matrix product of the same operations; at most 2 times.
- `matvec`: a formed block against the fastest way to read it, an unformed one against its two matrix products; at most
  2 times.
- `memory`: the peak of a dense step against its largest block and that block's factor; at most 1.2 times. Each in a
  process of its own: the larger of what XLA planned and what the process held above what it held before the step.
- `compilation`: seconds to trace and compile a Newton step, against the number of identical layers.

The ways of a case take turns; `ratio` is the median of the rounds' ratios, seconds are medians, compilation is apart
and every call is waited for. The same BLAS threads for all; XLA's own matrix products take every core.

    .venv/bin/python benchmarks/kernels.py [--only NAME ...] [--quick]

The last line of the output is one JSON object.
"""

import argparse
import importlib.metadata
import json
import os
import sys

import jax
import scipy.linalg  # noqa: F401  # jax calls its BLAS, and threadpoolctl limits only what is loaded
from kernels_parts.cholesky import cholesky
from kernels_parts.compilation import compilation
from kernels_parts.formation import formation
from kernels_parts.matvec import matvec
from kernels_parts.memory import child, memory
from threadpoolctl import threadpool_limits

from qnewton._hardware import describe_machine

PACKAGES = ("qnewton", "jax", "jaxlib", "lineax", "scipy", "numpy")
PARTS = ("cholesky", "formation", "matvec", "memory", "compilation")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds: to try it out")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="BLAS threads")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    quick, rounds = options.quick, 3 if options.quick else 15
    runs = {
        "cholesky": lambda: cholesky([64, 256] if quick else [256, 1000, 2000, 4000], rounds),
        "formation": lambda: formation(quick, rounds),
        "matvec": lambda: matvec(quick, rounds),
        "memory": lambda: memory(__file__, quick, options.threads),
        "compilation": lambda: compilation([1, 2] if quick else [1, 2, 4, 8, 16], 1 if quick else 3),
    }
    with threadpool_limits(options.threads, user_api="blas"):
        if options.child:
            print(json.dumps(child(options.child, quick)))
            return
        result = {
            "benchmark": "kernels",
            "quick": quick,
            "machine": describe_machine(),
            "versions": {package: importlib.metadata.version(package) for package in PACKAGES},
            "blas_threads": options.threads,
            "load_at_start": os.getloadavg()[0],
        }
        for part in options.only:
            print(f"{part} ...", file=sys.stderr, flush=True)
            result[part] = runs[part]()
            for case in result[part]:
                print("  " + _line(case), file=sys.stderr, flush=True)
            jax.clear_caches()
    bounded = [case for part in options.only for case in result[part] if "met" in case]
    result["met"], result["bounded"] = sum(case["met"] for case in bounded), len(bounded)
    print(json.dumps(result))


def _line(case: dict) -> str:
    return ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in case.items()
    )


if __name__ == "__main__":
    main()

"""Phase factors: seconds and certificates against the degree.

For each degree the optimal inversion polynomial whose error is 1e-6 or so (kappa = degree / 17), over 1.01 times its
largest value, so that it comes within 1 % of 1. Every degree runs in a process of its own, which has computed nothing
before: `seconds` is the first call, with compilation; `seconds_again` the second. `coefficients_s` are the seconds for
the polynomial itself. Targets: degree 5,000 within 5 s, 15,000 within 30 s, certificates below 1e-10.

    .venv/bin/python benchmarks/phases.py [--degrees 4999 14999 ...]

The last line of the output is one JSON object.
"""

import argparse
import json
import subprocess
import sys
import time

from qnewton import qsp
from qnewton._hardware import describe_machine

DEGREES = (999, 4999, 14999, 49999)
SECONDS = {4999: 5.0, 14999: 30.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--degrees", type=int, nargs="+", default=list(DEGREES), metavar="DEGREE")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        print(json.dumps(measure(options.child)))
        return
    rows = []
    for degree in options.degrees:
        command = [sys.executable, __file__, "--child", str(degree)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        rows.append(json.loads(output.splitlines()[-1]))
        print("{degree:>7,}: {seconds:.2f} s, again {seconds_again:.2f} s, {certificate:.1e}".format(**rows[-1]))
    met = all(row["certificate"] < 1e-10 and row["seconds"] <= SECONDS.get(row["degree"], 1e9) for row in rows)
    print(json.dumps({"benchmark": "phases", "rows": rows, "met": met, "machine": describe_machine()}))


def measure(degree: int) -> dict[str, float]:
    kappa = degree / 17
    started = time.perf_counter()
    polynomial = qsp.InversePolynomial(kappa, degree)
    coefficients = polynomial.coefficients() / (1.01 * polynomial.maximum)
    ready = time.perf_counter()
    found = qsp.symmetric_phases(coefficients)
    once = time.perf_counter()
    qsp.symmetric_phases(coefficients)
    again = time.perf_counter()
    return {
        "degree": degree,
        "kappa": kappa,
        "coefficients_s": ready - started,
        "seconds": once - ready,
        "seconds_again": again - once,
        "certificate": found.certificate,
    }


if __name__ == "__main__":
    main()

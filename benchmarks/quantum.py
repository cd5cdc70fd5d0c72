"""Emulated quantum solves: what they take, what single precision leaves, what tomography errs, and digits trained.

- The seconds of an emulated solve over degree times the measured seconds of a product (limit 1.5), n = 1,000 and 4,000.
- The relative error that is left in float32, however little is asked for.
- Tomography's error against the copies that the cost library charges for, n = 16 to 1,024, and a figure of it.
- The constant of the discrete walk by size, with its interval, and what emulated solvers execute of their charge.
- Digits to 0.95 test accuracy with emulated solves at epsilon = 1e-2, with 100,000 and 1,000,000 shots and without.

    .venv/bin/python benchmarks/quantum.py [--parts emulation floor tomography walk digits] [--figure tomography.png]

The last line of the output is one JSON object.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from quantum_parts import digits, emulation, tomography, walk

from qnewton._hardware import describe_machine

PARTS = ("emulation", "floor", "tomography", "walk", "digits")
LIMIT = 1.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--figure", type=Path, help="where to draw the tomography, e.g. tomography.png")
    options = parser.parse_args()
    result: dict[str, Any] = {"benchmark": "quantum"}
    if "emulation" in options.parts:
        result["emulation"] = emulation.ratios()
        result["emulation_met"] = all(row["ratio"] <= LIMIT for row in result["emulation"])
    if "floor" in options.parts:
        result["float32_floor"] = emulation.floors()
    if "tomography" in options.parts:
        rows = tomography.errors()
        result["tomography"] = rows
        result["tomography_fit"] = tomography.slopes(rows)
        result["tomography_met"] = all(row["largest_error"] <= row["precision"] for row in rows)
        if options.figure is not None:
            tomography.draw(rows, options.figure)
    if "walk" in options.parts:
        result["walk_constants"], result["charges"] = walk.constants(), walk.charges()
        result["charges_met"] = all(row["high"] <= 1 + 1e-9 for row in result["charges"])
    if "digits" in options.parts:
        result["digits"] = digits.runs()
        result["digits_met"] = all(row["test_accuracy"] >= 0.95 for row in result["digits"])
    print(json.dumps(result | {"machine": describe_machine()}))


if __name__ == "__main__":
    main()

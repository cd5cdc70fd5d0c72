"""Digits trained with emulated solves, by the command line."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PRECISION = 1e-2
RUNS = {"no read-out noise": (None, 8), "1,000,000 shots": (1_000_000, 8), "100,000 shots": (100_000, 9)}


def runs() -> list[dict[str, Any]]:
    """Test accuracy, measured seconds and queries for each number of shots; default preset, every system quantum."""
    rows = []
    for name, (shots, steps) in RUNS.items():
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-c", "import sys; from qnewton.lab._cli import main; sys.exit(main())"]
            reading = "infinite" if shots is None else f"shots({shots})"
            solver = f"emulated-qsvt(precision={PRECISION}, measurement={reading}, length=line-fit)"
            command += ["train", "digits-mlp", "--solvers", solver, "--steps", str(steps), "--out", folder]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            summary = json.loads((Path(folder) / "summary.json").read_text())
            lines = [json.loads(line) for line in (Path(folder) / "blocks.jsonl").read_text().splitlines()]
        rows.append(
            {
                "shots": shots,
                "precision": PRECISION,
                "steps": steps,
                "test_accuracy": summary["test_accuracy"],
                "final_loss": summary["final_loss"],
                "measured_seconds": summary["measured_seconds"],
                "largest_condition_number": max(line["condition_number"] for line in lines),
                "executed_queries": sum(line["executed_queries"] for line in lines),
            }
        )
        print("{name}: test accuracy {test_accuracy:.3f} after {steps} steps".format(name=name, **rows[-1]), flush=True)
    return rows

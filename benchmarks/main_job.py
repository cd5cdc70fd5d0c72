"""How long the two commands take: `make train` from a bare clone, and again with the environment there.

Clones the committed state of this checkout into a temporary folder and runs `make train` twice in it. Reports
wall-clock seconds to the first line that the program prints and to the end, and the test accuracy that each run
reached. Prints one JSON object, and exits with status 1 if one of the project's targets was missed: 180 s with
installation; 3 s to the first line and 25 s to the end without; accuracy 0.95.

    python3 benchmarks/main_job.py
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run(folder: Path) -> dict[str, float]:
    """One `make train`; its output is passed over but for the moment of the program's first line."""
    start = time.perf_counter()
    first = None
    process = subprocess.Popen(
        ["make", "train"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if first is None and line.startswith("digits-mlp"):
            first = time.perf_counter() - start
    if process.wait() != 0 or first is None:
        raise RuntimeError(f"make train failed with status {process.returncode}")
    total = time.perf_counter() - start
    newest = max((folder / "runs").glob("*/summary.json"), key=lambda path: path.stat().st_mtime_ns)
    summary = json.loads(newest.read_text())
    return {
        "measured_seconds_to_first_line": first,
        "measured_seconds_to_end": total,
        "test_accuracy": summary["test_accuracy"],
        **{f"measured_seconds_{name}": seconds for name, seconds in summary["measured_breakdown"].items()},
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "qnewton"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
        bare, again = run(folder), run(folder)
    met = {
        "bare_in_180_s": bare["measured_seconds_to_end"] <= 180,
        "again_starts_in_3_s": again["measured_seconds_to_first_line"] <= 3,
        "again_in_25_s": again["measured_seconds_to_end"] <= 25,
        "accuracy_0.95": min(bare["test_accuracy"], again["test_accuracy"]) >= 0.95,
    }
    print(json.dumps({"benchmark": "main_job", "bare": bare, "again": again, "targets_met": met}))
    sys.exit(0 if all(met.values()) else 1)


if __name__ == "__main__":
    main()

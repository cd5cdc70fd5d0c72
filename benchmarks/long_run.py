"""Reads a run of many lines by every command that reads one, and measures the memory that it takes.

The lines of a small training (softmax regression, two blocks, LU against CG and QLSA) are repeated with the numbers of
later steps and the checksums of their place, so that the run is whole; its manifest is made by what seals a run. Each
command then reads a short and a long one in a process of its own, whose largest resident memory is compared.

Prints one JSON object as its last line, and exits with status 1 where a command fails or takes more than `--growth`
MiB more for the long run.

    .venv/bin/python benchmarks/long_run.py [--lines 1000000] [--only replay]
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
from damage import clouds, said

from qnewton.lab._experiments.task_options import TASKS, Registered
from qnewton.lab._runfile import RunDirectory, chain, read_summary

STEPS = 8
SHORT = 3_000
COMMANDS: dict[str, tuple[str, ...]] = {
    "report": ("report", "run"),
    "explain": ("explain", "run", "--step", "-1"),
    "replay": ("replay", "run"),
    "plan": ("plan", "run", "--hardware", "superconducting"),
    "breakeven": ("breakeven", "run", "--out", "out"),
}
CALL = """
import re, sys
from pathlib import Path
from qnewton.lab._cli import main
status = main(sys.argv[1:])
# Of this program alone: what getrusage says begins with what its parent had.
print(int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024, file=sys.stderr)
sys.exit(status)
"""


def template() -> None:
    """A training, in the folder `run`."""
    TASKS["clouds"] = Registered(clouds)
    status, words = said(
        (
            *("train", "clouds", "--preset", "blocks", "--partition", "per-tensor", "--estimator", "exact"),
            *("--solvers", "lu", "cg", "qlsa", "--batch-size", "8", "--steps", str(STEPS), "--out", "template"),
        )
    )
    if status:
        raise RuntimeError(words)


def lengthened(run: Path, lines: int) -> int:
    """Make a run of so many lines of steps and blocks, and return its steps."""
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree("template", run)
    steps = lines // 3
    for name in ("steps.jsonl", "blocks.jsonl"):
        own = [chain.unchained(line, 0)[0] for line in (Path("template") / name).read_bytes().splitlines()]
        each = len(own) // STEPS
        before = chain.origin(run)
        with (run / name).open("wb") as file:
            for step in range(steps):
                place = step % STEPS * each
                for line in own[place : place + each]:
                    later = re.sub(rb'^\{"step":\d+', b'{"step":%d' % step, line)
                    text, before = chain.chained(later, before)
                    file.write(text + b"\n")
    directory = RunDirectory(run)
    directory.write("summary.json", msgspec.structs.replace(read_summary(Path("template")), steps=steps))
    directory.seal()
    return steps


def measured(arguments: tuple[str, ...]) -> tuple[int, int, float]:
    """Status, largest MiB and seconds of a command in a process of its own."""
    shutil.rmtree("out", ignore_errors=True)
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", CALL, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout[-1000:] + done.stderr[-2000:], flush=True)
        return done.returncode, 0, time.monotonic() - start
    return 0, int(done.stderr.split()[-1]), time.monotonic() - start


def main() -> int:
    """Parse, measure all commands, print."""
    parser = argparse.ArgumentParser(description="Reads a long run, and measures the memory that it takes.")
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--growth", type=float, default=100.0, help="MiB")
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=tuple(COMMANDS))
    arguments = parser.parse_args()
    home = Path.cwd()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="qnewton-long-") as folder:
        os.chdir(folder)
        try:
            template()
            for lines in (SHORT, arguments.lines):
                steps = lengthened(Path("run"), lines)
                size = sum(path.stat().st_size for path in Path("run").iterdir() if path.is_file()) / 2**20
                print(f"{lines} lines, {steps} steps, {size:.0f} MiB", flush=True)
                for name in arguments.only:
                    status, memory, seconds = measured(COMMANDS[name])
                    own = found.setdefault(name, {"status": [], "mebibytes": [], "seconds": []})
                    own["status"].append(status)
                    own["mebibytes"].append(memory)
                    own["seconds"].append(round(seconds, 1))
                    print(f"  {name}: status {status}, {memory} MiB, {seconds:.1f} s", flush=True)
        finally:
            os.chdir(home)
    for own in found.values():
        own["growth"] = own["mebibytes"][1] - own["mebibytes"][0]
    print(json.dumps({"lines": [SHORT, arguments.lines], "commands": found}))
    sound = all(not any(own["status"]) and own["growth"] <= arguments.growth for own in found.values())
    return int(not sound)


if __name__ == "__main__":
    sys.exit(main())

"""Kills a training at random moments, again and again, and looks at what is left.

A `qnewton train` in a process of its own (a physics-informed network, random batches, damping that is adapted, LU
against QLSA) is killed with SIGKILL: four times in five some moments after it began to take steps, else while it
starts, reads its files or sets lines aside. Before each resume the report's reader must read the directory, and the
resume must go on from at most one checkpoint interval before the last whole step. In the end the run that was killed
must be, bit for bit, the one that was not: the same config and calibration, trained without a stop. Runs that finish
are compared, and the next one begins, until there were enough kills.

Prints one JSON object as its last line, and exits with status 1 if anything was corrupted, lost or different, or if
there was no time for as many kills and one comparison.

    .venv/bin/python benchmarks/soak.py [--kills 50] [--seed 0] [--minutes 15]
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from qnewton.lab._experiments.checkpoints import checkpoint_steps, read_checkpoint
from qnewton.lab._runfile import read_run

STEPS, EVERY = 600, 10
TRAIN = (sys.executable, "-c", "import sys; from qnewton.lab._cli import main; sys.exit(main())", "train")
TASK = (
    *("poisson-pinn", "--preset", "default", "--width", "4", "--depth", "1", "--interior", "32", "--boundary", "8"),
    *("--batch-size", "16", "--solvers", "lu", "qlsa", "--evaluate-every", "100"),
    *("--steps", str(STEPS), "--checkpoint-every", str(EVERY)),
)


class Soak:
    """Counts what happens."""

    def __init__(self, folder: Path, seed: int):
        self.folder, self.random = folder, random.Random(seed)
        self.found: dict[str, Any] = {
            "kills": 0,
            "killed_at_start": 0,
            "killed_while_saving": 0,
            "resumed": 0,
            "resumed_from_the_start": 0,
            "corrupted": 0,
            "lost_more_than_interval": 0,
            "most_steps_lost": 0,
            "runs_compared": 0,
            "bitwise_equal": True,
        }
        # The program is always the same one: compiled once, so that kills do not all hit the compiler.
        self.environment = {
            **os.environ,
            "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            (*TRAIN, *arguments), env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def whole(self, *arguments: str) -> None:
        done = self.start(*arguments)
        said, _ = done.communicate()
        if done.returncode:
            self.corrupt(said.decode())

    def corrupt(self, said: str) -> None:
        self.found["corrupted"] += 1
        print(said[-2000:], flush=True)

    def attempt(self, run: Path, resume: bool) -> bool:
        """Start or resume, and kill; False where the run was finished before, or could not begin."""
        before, resumed = lines(run), resumes(run) + resume
        process = self.start("--resume", str(run)) if resume else self.start(*TASK, "--out", str(run))
        at_start = resume and self.random.random() < 0.2
        if at_start:
            self.wait(process, self.random.uniform(0.0, 12.0), lambda: lines(run) not in (before, 0))
        else:
            # Lines are set aside before the first step, so their number falls before it rises.
            self.wait(process, 600.0, lambda: resumes(run) >= resumed and lines(run) > self.origin(run))
            self.wait(process, self.random.uniform(0.0, 2.0), lambda: False)
        if process.poll() is not None:
            said = process.communicate()[0].decode()
            if process.returncode:
                self.corrupt(said)
            return False
        process.kill()
        process.communicate()
        self.found["kills"] += 1
        self.found["killed_at_start"] += at_start
        partial = run / "checkpoints"
        self.found["killed_while_saving"] += partial.is_dir() and any(partial.glob("*-tmp*"))
        print(f"kill {self.found['kills']}: {lines(run)} lines of steps", flush=True)
        # The last moments of a process are after the run's: what they write is the report, and no resume is due.
        return not finished(run)

    def wait(self, process: subprocess.Popen[bytes], seconds: float, until: Any) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and process.poll() is None and not until():
            time.sleep(0.002)

    def origin(self, run: Path) -> int:
        return last_resume(run)["step"] if resumes(run) else 0

    def check(self, run: Path, whole_before: int, resumed_before: int) -> None:
        """What the resume since then went on from, if it came so far."""
        if resumes(run) == resumed_before:
            return
        step = last_resume(run)["step"]
        self.found["resumed"] += 1
        self.found["resumed_from_the_start"] += step == 0
        lost = whole_before - step
        self.found["most_steps_lost"] = max(lost, self.found["most_steps_lost"])
        self.found["lost_more_than_interval"] += lost > EVERY

    def readable(self, run: Path) -> None:
        if (run / "config.json").exists():
            try:
                read_run(run)
            except Exception as error:
                self.corrupt(f"{run}: {error!r}")

    def one_run(self, run: Path, kills: int, deadline: float) -> None:
        """A run that is killed until it is finished, or there were enough kills, and then left to finish."""
        alive = self.attempt(run, resume=False)
        while alive and self.found["kills"] < kills and time.monotonic() < deadline:
            self.readable(run)
            before, resumed = whole_steps(run), resumes(run)
            alive = self.attempt(run, resume=True)
            self.check(run, before, resumed)
        if alive:
            before, resumed = whole_steps(run), resumes(run)
            self.whole("--resume", str(run))
            self.check(run, before, resumed)
        twin = self.folder / f"{run.name}-twin"
        twin.mkdir()
        for name in ("config.json", "calibration.json"):
            shutil.copy(run / name, twin)
        self.whole("--resume", str(twin))
        self.found["runs_compared"] += 1
        self.found["bitwise_equal"] &= same(run, twin)


def lines(run: Path) -> int:
    file = run / "steps.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


def whole_steps(run: Path) -> int:
    """Steps with all their lines; there is one system."""
    blocks = run / "blocks.jsonl"
    return min(lines(run), blocks.read_bytes().count(b"\n") if blocks.exists() else 0)


def finished(run: Path) -> bool:
    file = run / "summary.json"
    return file.exists() and json.loads(file.read_text())["status"] == "finished"


def resumes(run: Path) -> int:
    file = run / "resumes.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


def last_resume(run: Path) -> dict[str, Any]:
    return json.loads((run / "resumes.jsonl").read_text().splitlines()[-1])


def same(run: Path, twin: Path) -> bool:
    """Parameters, state, losses and decisions, bit for bit; all but what the clock measured."""

    def unclocked(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: unclocked(item) for key, item in value.items() if not key.startswith(("measured", "crc32"))}
        return value

    for name in ("steps.jsonl", "blocks.jsonl"):
        ours, theirs = ([unclocked(json.loads(line)) for line in (r / name).open()] for r in (run, twin))
        if ours != theirs:
            return False
    if checkpoint_steps(run)[0] != STEPS or checkpoint_steps(twin)[0] != STEPS:
        return False
    ours, theirs = (read_checkpoint(r, STEPS).arrays for r in (run, twin))
    return {g: list(own) for g, own in ours.items()} == {g: list(own) for g, own in theirs.items()} and all(
        own[name].tobytes() == theirs[group][name].tobytes() for group, own in ours.items() for name in own
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=15.0, help="no further kill after these")
    options = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="qnewton-soak-") as folder:
        soak = Soak(Path(folder), options.seed)
        number = 0
        while soak.found["kills"] < options.kills and time.monotonic() < begun + 60 * options.minutes:
            number += 1
            soak.one_run(Path(folder) / f"run-{number}", options.kills, begun + 60 * options.minutes)
    found = {**soak.found, "checkpoint_every": EVERY, "steps": STEPS, "seed": options.seed}
    found["measured_seconds"] = time.monotonic() - begun
    print(json.dumps(found))
    sound = found["bitwise_equal"] and not (found["corrupted"] or found["lost_more_than_interval"])
    return int(not (sound and found["kills"] >= options.kills and found["runs_compared"]))


if __name__ == "__main__":
    sys.exit(main())

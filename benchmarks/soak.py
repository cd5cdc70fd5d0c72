"""Disturbs a training at random moments, again and again, and looks at what is left.

A `qnewton train` in a process of its own (a physics-informed network, random batches, damping that is adapted, LU
against QLSA), on a small file system of its own where one may be mounted, is disturbed in one of these ways (most
processes are forked from one that has imported everything, which takes seconds; those disturbed as they start are not):

    kill        SIGKILL
    term, hup   that signal, after which the run ends by itself, with the status 128 and its number
    twice       SIGTERM two times, at which it ends at once
    full        the disk is filled (where none can be mounted: no file may grow any more), and is emptied afterwards
    purge       the directory is moved, removed or replaced by a copy, or a file is moved out of it; the status is 3

One time in five this comes while the process starts, reads its files or sets lines aside, else some moments after it
began to take steps; one time in ten a second process asks for the same directory before. After each the process must
end as stated, and have left nothing that begins in the middle; what was moved is put back. Then the report has to
read the directory, and the resume must go on from at most one checkpoint interval before the last whole step. In the
end the run that was disturbed must be, bit for bit, the one that was not: the same config and calibration, trained
without a stop. Runs that finish are compared, and the next one begins, until there were enough disturbances.

    corrupted   what could not be read, gone on with or verified; ends other than stated
    lost        more steps than one interval
    confused    two owners of a directory, or files in the place of those that were moved
    littered    a checkpoint that stands where the directory was removed, of no harm but for that

Prints one JSON object as its last line, and exits with status 1 if any of these is not 0, if a run differs, or if
there was no time for as many disturbances and one comparison.

    .venv/bin/python benchmarks/soak.py [--kills 100] [--seed 0] [--minutes 30] [--only purge]

With --workers the training runs on a local Ray, and its workers are killed instead: `lost` are blocks that nobody
solved, `wrong` steps whose loss is not, bit for bit, that of a training without workers.
"""

import argparse
import collections
import contextlib
import json
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from qnewton.lab._experiments.checkpoints import checkpoint_steps, read_checkpoint
from qnewton.lab._experiments.exits import BAD_INPUT, FAILED, LOST
from qnewton.lab._runfile import read_run
from qnewton.lab._runfile.manifest import NAME, manifest_of

STEPS, EVERY = 1000, 10
TRAIN = (sys.executable, "-c", "import sys; from qnewton.lab._cli import main; sys.exit(main())", "train")
TASK = (
    *("poisson-pinn", "--preset", "blocks", "--width", "4", "--depth", "1", "--interior", "32", "--boundary", "8"),
    *("--batch-size", "16", "--solvers", "lu", "qlsa", "--evaluate-every", "100"),
    *("--steps", str(STEPS), "--checkpoint-every", str(EVERY)),
)
IMPORTED = ("_cli.train", "_experiments.runner", "_experiments.loggers", "_report", "_cli.progress")
"""Modules of the lab that `qnewton train` imports."""
KINDS = {"kill": 6, "term": 3, "hup": 2, "twice": 1, "full": 4, "purge": 4}
"""How often each comes."""
ROOM = "48m"
"""Of the file system that is filled; a run has some 5 MB, with what was set aside."""
FILES = ("config.json", "calibration.json", "steps.jsonl", "blocks.jsonl", "checkpoints.jsonl", "resumes.jsonl")


class Training:
    """A `qnewton train` in a process of its own.

    Attributes:
        pid: of the process.
    """

    def __init__(self, arguments: tuple[str, ...], said: Path, *, fresh: bool):
        """Start it.

        Args:
            arguments: of the command.
            said: file that takes what it prints.
            fresh: whether it imports everything itself, as from a shell.
        """
        self._said = said
        self._process: Any
        if fresh:
            with said.open("wb") as file:
                self._process = subprocess.Popen((*TRAIN, *arguments), stdout=file, stderr=subprocess.STDOUT)
        else:
            self._process = multiprocessing.get_context("forkserver").Process(target=trained, args=(arguments, said))
            self._process.start()
        self.pid: int = self._process.pid

    @property
    def status(self) -> int | None:
        """Exit status, or less than 0 the signal that killed it; None while it goes on."""
        return self._process.poll() if isinstance(self._process, subprocess.Popen) else self._process.exitcode

    def signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def ended(self, seconds: float | None = None) -> str | None:
        """Wait for its end, and return what it printed; None if it goes on after so many seconds."""
        if isinstance(self._process, subprocess.Popen):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        else:
            self._process.join(seconds)
        return None if self.status is None else self._said.read_text(errors="replace")


def trained(arguments: tuple[str, ...], said: Path) -> None:
    """Train in this process, which is a fork, and exit."""
    handle = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    from qnewton.lab._cli import main

    sys.exit(main(["train", *arguments]))


class Soak:
    """Counts what happens.

    Attributes:
        disk: the folder of the runs, and whether it is a file system of its own.
        kills: how many disturbances there are to be.
    """

    def __init__(self, folder: Path, disk: tuple[Path, bool], seed: int, kills: int):
        self.kills = kills
        self.folder, (self.disk, self.mounted), self.random = folder, disk, random.Random(seed)
        self.kinds: collections.Counter[str] = collections.Counter()
        self.ends: collections.Counter[str] = collections.Counter()
        self.found: dict[str, Any] = {
            "kills": 0,
            "at_start": 0,
            "while_saving": 0,
            "rivals": 0,
            "resumed": 0,
            "resumed_from_the_start": 0,
            "corrupted": 0,
            "lost_more_than_interval": 0,
            "confused": 0,
            "littered": 0,
            "most_steps_lost": 0,
            "runs_compared": 0,
            "bitwise_equal": True,
        }
        self.started = 0
        # The program is always the same one: compiled once, so that kills do not all hit the compiler.
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder / "compiled")
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
        imported = [f"qnewton.lab.{name}" for name in IMPORTED]
        multiprocessing.set_forkserver_preload(["__main__", *imported, "orbax.checkpoint"])

    def start(self, *arguments: str, fresh: bool = False) -> Training:
        self.started += 1
        return Training(arguments, self.folder / f"said-{self.started}", fresh=fresh)

    def whole(self, *arguments: str) -> None:
        done = self.start(*arguments)
        said = done.ended()
        if done.status:
            self.corrupt(said or "")

    def corrupt(self, said: str) -> None:
        self.found["corrupted"] += 1
        print(f"corrupted: {said[-2000:]}", flush=True)

    def confuse(self, said: str) -> None:
        self.found["confused"] += 1
        print(f"confused: {said[-2000:]}", flush=True)

    def attempt(self, run: Path, kind: str, resume: bool) -> bool:
        """Start or resume, and disturb; False where the run was finished before, or could not begin."""
        before, resumed, there = lines(run), resumes(run) + resume, (run / "config.json").exists()
        at_start = resume and self.random.random() < 0.2
        command = ("--resume", str(run)) if resume else (*TASK, "--out", str(run))
        process = self.start(*command, fresh=at_start)
        if at_start:
            self.wait(process, self.random.uniform(0.0, 12.0), lambda: lines(run) not in (before, 0))
        else:
            # Lines are set aside before the first step, so their number falls before it rises.
            self.wait(process, 600.0, lambda: resumes(run) >= resumed and lines(run) > self.origin(run))
            if self.random.random() < 0.1:
                self.rival(process, run)
            self.wait(process, self.random.uniform(0.0, 2.0), lambda: False)
        if process.status is not None:
            if process.status:
                self.corrupt(process.ended() or "")
            return False
        # From then on it owns the directory.
        owned = resumes(run) >= resumed and (run / "config.json").exists()
        with self.disturbed(process, run, kind, owned=owned) as allowed:
            said = process.ended(120)
            if said is None:
                process.signal(signal.SIGKILL)
                said = f"{kind}: goes on: {process.ended()}"
                self.corrupt(said)
        assert process.status is not None, "it has ended"
        started = resumes(run) >= resumed and lines(run) > self.origin(run)
        self.ended(process.status, kind, allowed, said, run, begun=started or not there)
        self.found["kills"] += 1
        self.found["at_start"] += at_start
        self.kinds[kind] += 1
        self.ends[f"{kind}: {process.status}"] += 1
        partial = run / "checkpoints"
        self.found["while_saving"] += partial.is_dir() and any(partial.glob("*-tmp*"))
        print(f"{self.found['kills']} {kind}: {process.status}, {lines(run)} lines of steps", flush=True)
        # The last moments of a process are after the run's: what they write is the report, and no resume is due.
        return not finished(run)

    def ended(self, status: int, kind: str, allowed: set[int], said: str, run: Path, *, begun: bool) -> None:
        """Compare the end of a process with what the kind of disturbance allows."""
        # The run was over before it was disturbed.
        allowed = allowed | ({0} if finished(run) else set())
        if not begun and kind in ("full", "purge"):  # no room, or no run, before there was anything to lose
            allowed = allowed | {BAD_INPUT}
        elif not begun or kind == "twice":  # Python does not handle signals yet, or no more
            allowed = allowed | {128 - min(allowed - {0})}
        if status not in allowed or "Traceback" in said:
            self.corrupt(f"{kind}: ended with {status}, not one of {sorted(allowed)}:\n{said}")

    @contextlib.contextmanager
    def disturbed(self, process: Training, run: Path, kind: str, *, owned: bool) -> Iterator[set[int]]:
        """Disturb, yield the statuses with which the process may end, and put right what can be."""
        if kind == "full":
            with self.filled(process):
                yield {FAILED}
        elif kind == "purge":
            # A process that has not come so far may take what it finds there for the run.
            ways = [self.moved, self.removed, self.replaced, self.without] if owned else [self.moved]
            with self.random.choice(ways)(process, run):
                yield {LOST}
        else:
            number = {"kill": signal.SIGKILL, "hup": signal.SIGHUP}.get(kind, signal.SIGTERM)
            process.signal(number)
            if kind == "twice":
                time.sleep(self.random.uniform(0.0, 0.05))
                process.signal(number)
            yield {-number if kind == "kill" else 128 + number}

    @contextlib.contextmanager
    def filled(self, process: Training) -> Iterator[None]:
        """Leave no room on the disk, up to a random number of bytes."""
        if not self.mounted:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (self.random.randrange(4096), resource.RLIM_INFINITY))
            yield
            return
        filler = self.disk / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(bytes(1 << 16)):
                pass
        os.truncate(filler, max(filler.stat().st_size - self.random.randrange(1 << 16), 0))
        yield
        filler.unlink()

    @contextlib.contextmanager
    def moved(self, process: Training, run: Path) -> Iterator[None]:
        away = run.with_name("away")
        run.rename(away)
        yield
        self.put_back(away, run)

    @contextlib.contextmanager
    def removed(self, process: Training, run: Path) -> Iterator[None]:
        away = run.with_name("away")
        with paused(process):
            shutil.copytree(run, away)
        while run.exists():
            shutil.rmtree(run, ignore_errors=True)
        yield
        self.put_back(away, run)

    @contextlib.contextmanager
    def replaced(self, process: Training, run: Path) -> Iterator[None]:
        away = run.with_name("away")
        with paused(process):
            run.rename(away)
            shutil.copytree(away, run)
        before = manifest_of(run).digest
        yield
        if manifest_of(run).digest != before:
            self.confuse(f"{run}: a run wrote into the directory that stood in the place of its own")
        shutil.rmtree(run)
        self.put_back(away, run)

    @contextlib.contextmanager
    def without(self, process: Training, run: Path) -> Iterator[None]:
        file = run / self.random.choice([name for name in FILES if (run / name).exists()])
        away = run.with_name(file.name)
        file.rename(away)
        yield
        if file.exists():
            self.confuse(f"{file} began in the middle")
        away.rename(file)

    def put_back(self, away: Path, run: Path) -> None:
        """Put a directory back, where nothing may stand now."""
        if run.exists():
            left = [path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()]
            self.found["littered"] += 1
            print(f"{run} was made anew, with {left}", flush=True)
            if any(name in FILES for name in left):
                self.confuse(f"{run} begins in the middle")
            shutil.rmtree(run)
        away.rename(run)

    def rival(self, process: Training, run: Path) -> None:
        """Ask for a run that goes on."""
        other = self.start("--resume", str(run))
        said = other.ended() or ""
        if process.status is None:
            self.found["rivals"] += 1
            right = "belongs to a run that is going on", "the run is finished"
            if other.status != BAD_INPUT or not any(words in " ".join(said.split()) for words in right):
                self.confuse(f"a second process ended with {other.status}: {said}")

    def wait(self, process: Training, seconds: float, until: Callable[[], bool]) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and process.status is None and not until():
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
        if lost > EVERY:
            print(f"lost: {run} goes on from {step} of {whole_before}", flush=True)

    def readable(self, run: Path) -> None:
        if (run / "config.json").exists():
            try:
                read_run(run)
            except Exception as error:
                self.corrupt(f"{run}: {error!r}")

    def one_run(self, run: Path, kinds: Iterator[str], deadline: float) -> None:
        """A run that is disturbed until it is finished, or there were enough of it, and then left to finish."""
        alive, resume = True, False
        while alive and time.monotonic() < deadline and self.found["kills"] < self.kills:
            # What is over before it is disturbed counts as none, so there are more of them than disturbances.
            kind = next(kinds)
            before, resumed = whole_steps(run), resumes(run)
            alive = self.attempt(run, kind, resume)
            self.check(run, before, resumed)
            self.readable(run)
            # What was ended before it began is no run.
            resume = (run / "config.json").exists()
        if alive:
            before, resumed = whole_steps(run), resumes(run)
            self.whole(*(("--resume", str(run)) if resume else (*TASK, "--out", str(run))))
            self.check(run, before, resumed)
        if json.loads((run / NAME).read_text())["digest"] != manifest_of(run).digest:
            self.corrupt(f"{run} is not what its manifest says")
        twin = self.disk / f"{run.name}-twin"
        twin.mkdir()
        for name in ("config.json", "calibration.json"):
            if (run / name).exists():
                shutil.copy(run / name, twin)
        self.whole("--resume", str(twin))
        self.found["runs_compared"] += 1
        self.found["bitwise_equal"] &= same(run, twin)
        shutil.rmtree(twin)
        shutil.rmtree(run)


@contextlib.contextmanager
def paused(process: Training) -> Iterator[None]:
    process.signal(signal.SIGSTOP)
    while process.status is None and not re.search(r"^State:\s*[Tt]", _state(process.pid), re.MULTILINE):
        time.sleep(0.001)
    try:
        yield
    finally:
        process.signal(signal.SIGCONT)


def _state(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/status").read_text()
    return ""


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[tuple[Path, bool]]:
    """A folder that is a file system of its own, where this process may mount one."""
    disk = folder / "disk"
    disk.mkdir()
    try:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(disk)], capture_output=True)
        mounted = done.returncode == 0
    except OSError:
        mounted = False
    try:
        yield disk, mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(disk)], check=True)


def lines(run: Path) -> int:
    return _count(run / "steps.jsonl")


def whole_steps(run: Path) -> int:
    """Steps with all their lines; there is one system."""
    return min(lines(run), _count(run / "blocks.jsonl"))


def resumes(run: Path) -> int:
    return _count(run / "resumes.jsonl")


def _count(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


def finished(run: Path) -> bool:
    file = run / "summary.json"
    return file.exists() and json.loads(file.read_text())["status"] == "finished"


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


def shuffled(rng: random.Random, only: str | None) -> Iterator[str]:
    """Kinds without an end, each in its share whatever the seed, in random order."""
    pool = [kind for kind, share in KINDS.items() for _ in range(share) if only in (None, kind)]
    while True:
        yield from rng.sample(pool, len(pool))


def kill_workers(count: int, seed: int) -> int:
    """Kill workers of a training on Ray at random moments, whatever they are at."""
    from workers import kills

    found = kills(count, seed)
    print(json.dumps(found))
    return int(found["kills"] < count or found["lost"] != 0 or found["wrong"] != 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=30.0, help="no further disturbance after these")
    parser.add_argument("--only", choices=KINDS)
    parser.add_argument("--workers", action="store_true", help="kill workers of a training, and nothing else")
    options = parser.parse_args()
    if options.workers:
        return kill_workers(options.kills, options.seed)
    begun = time.monotonic()
    deadline = begun + 60 * options.minutes
    with tempfile.TemporaryDirectory(prefix="qnewton-soak-") as folder, small_disk(Path(folder)) as disk:
        soak = Soak(Path(folder), disk, options.seed, options.kills)
        kinds = shuffled(soak.random, options.only)
        number = 0
        while soak.found["kills"] < options.kills and time.monotonic() < deadline:
            number += 1
            soak.one_run(disk[0] / f"run-{number}", kinds, deadline)
    found = {**soak.found, "kinds": soak.kinds, "ends": soak.ends, "disk_of_its_own": disk[1]}
    found |= {"checkpoint_every": EVERY, "steps": STEPS, "seed": options.seed}
    found["measured_seconds"] = time.monotonic() - begun
    print(json.dumps(found))
    wrong = found["corrupted"] or found["lost_more_than_interval"] or found["confused"]
    enough = found["kills"] >= options.kills and found["runs_compared"]
    return int(not (found["bitwise_equal"] and not wrong and enough))


if __name__ == "__main__":
    sys.exit(main())

"""Calls every command with random arguments, and looks at how it ends.

A case begins with arguments that work, on a small training, its run (finished, killed, or of a complete optimizer) or
a small matrix, and adds options of the command with values: good ones, numbers at and beyond every limit, words of
parts with parameters that are mangled, paths that are not there, text with markup, escapes and bytes that are no text.
Then arguments may be dropped, doubled, swapped or cut. A case is a function of seed and index, so `--case` runs one
again and shows what it printed. All are called in this process, and stopped after some seconds as by Ctrl-C.

    right          0 (with --json: exactly one JSON object on standard output), 1, 3, 130; 2 with one message
    tracebacks     an exception that the command line does not explain, or the word in what it printed
    undocumented   another status, 2 without a word, or --json with 0 and something else than one object
    escapes        control characters in what it printed

Prints one JSON object as its last line, and exits with status 1 unless all are right and there was time for all.

    .venv/bin/python benchmarks/command_lines.py [--cases 1000] [--seed 0] [--minutes 60] [--case INDEX]
"""

import argparse
import collections
import contextlib
import functools
import io
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Nearly all of the time is compilation, so programs are compiled the quick way, as the tests' are.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")

import jax
import numpy as np
from damage import STEPS, clouds, kill, said

from qnewton.lab._cli.main import COMMANDS
from qnewton.lab._cli.main import main as qnewton
from qnewton.lab._cli.streams import OBEYED
from qnewton.lab._experiments.parts import catalogue
from qnewton.lab._experiments.task_options import TASKS, Registered

SECONDS = 25.0
"""After which a case is stopped."""
STATUSES = {0, 1, 2, 3, 130}
BASES: dict[str, list[list[str]]] = {
    "train": [
        ["clouds", "--steps", "2", "--out", "new"],
        ["clouds", "--preset", "blocks", "--partition", "per-tensor", "--steps", "2", "--out", "new"],
        ["--resume", "killed", "--steps", str(STEPS)],
        ["--resume", "finished"],
    ],
    "compare": [["clouds", "--steps", "2", "--trials", "1", "--seeds", "0", "--methods", "sgd", "--out", "new"]],
    "report": [["finished"], ["killed"], ["groups"]],
    "explain": [["finished"], ["killed", "--step", "-1"], ["groups", "--json"]],
    "replay": [["finished"], ["killed", "--gate-time", "1e-12"], ["groups", "--json"]],
    "spectrum": [["finished", "--out", "new"], ["matrix.npy", "--out", "new"], ["graph.mtx", "--out", "new"]],
    "tradeoff": [["clouds", "--warmup", "1", "--steps", "1", "--out", "new"]],
    "noise": [["clouds", "--steps", "1", "--epsilons", "0.1", "--shots", "100", "--out", "new"]],
    "reproduce": [["nothing", "--out", "new"], ["all", "--replot", "missing"], ["gates", "--replot", "finished"]],
    "plan": [["--n", "100", "--kappa", "50"], ["finished"], ["killed"], ["matrix.npy"], ["graph.mtx", "--json"]],
    "breakeven": [["--n", "100", "--kappa", "50", "--out", "new"], ["finished", "--out", "new"]],
    "explore": [["--out", "new.html"], ["finished", "--out", "new.html"]],
    "calibrate": [["--sizes", "8", "16", "--repeats", "2", "--directory", "new"]],
    "circuit": [["--n", "2", "--kappa", "2", "--epsilon", "0.2"], ["matrix.npy", "--epsilon", "0.3"]],
    "parts": [[], ["solver"], ["policy", "--json"]],
    "completion": [["bash"], ["zsh"]],
}
WEIGHTS = {"train": 6, "compare": 2, "tradeoff": 2, "noise": 2, "plan": 6, "explain": 5, "replay": 5, "circuit": 5}
"""How often each is called; those that are not here: 3."""
GOOD: dict[str, list[str]] = {
    "--block": ["weight", "0", "1"],
    "--step": ["0", "3", "-1"],
    "--set": ["paper", "end_to_end"],
    "--assumptions": ["paper", "logical", "end_to_end"],
    "--hardware": ["superconducting", "nvidia-h100-sxm", "transmon-cultivated"],
    "--classical": ["nvidia-h100-sxm"],
    "--gate-time-s": ["1e-8", "1e-20"],
    "--figures": ["svg", "pdf", "png"],
    "--preset": ["blocks", "kfac", "paper", "default"],
    "--dtype": ["float32", "float64"],
    "--draw": ["drawing.svg", "drawing.txt"],
    "--qasm": ["circuit.qasm"],
    "--out": ["new", "finished", "matrix.npy"],
    "--level": ["elementary", "block-unitary"],
    "--layout": ["sequential", "reaction-limited"],
    "--log": ["tensorboard"],
}
NEVER = ("--processes", "--tyro-print-completion", "--tyro-write-completion", "--interactive")
"""Starts other processes, in which the small task is not; tyro's own."""
NUMBERS = ["0", "1", "2", "3", "7", "-1", "0.5", "1e-3", "1e-300", "1e300", "1e400", "-1e400", "nan", "inf", "1_000"]
NUMBERS += ["0x10", "1e12", "999999999999999999999999", "1.5", "+3", " 4", "1,5", "½"]
TEXTS = [
    "",
    " ",
    "[bold]x[/bold]",
    "[/]",
    "<script>alert(1)</script>",
    "\x1b[31mred\x1b[0m",
    "a\nb",
    "\u202eabc",
    "\x07",
]
TEXTS += ["none", "None", "true", "-", "--", "---", "x" * 300, "../..", "/dev/null", "/proc/self/mem", "missing/file"]
TEXTS += [
    "finished",
    "matrix.npy",
    "text.txt",
    "\udcff",
    "ä€😀",
    "a:b",
    "text.txt:task",
    "{}",
    "%s%n",
    "$(id)",
    "\\",
    "'",
    '"',
]


@functools.cache
def options(command: str) -> list[str]:
    """All options of a command, as its own help has them."""
    status, words = said((command, "--help", "all"))
    if status != 0:
        status, words = said((command, "--help"))
    found = sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", words)) - {"--help", *NEVER})
    return [name for name in found if not name.startswith("--tyro")]


@functools.cache
def words() -> list[str]:
    """Those of the parts that options name."""
    return [word for kind in catalogue().values() for word in kind]


def mangled(rng: random.Random) -> str:
    """A word of a part with parameters that are not what they should be."""
    word, other = rng.choice(words()), rng.choice(words())
    return rng.choice(
        [
            word,
            f"{word}()",
            f"{word}({other})",
            f"{word}({other}={rng.choice(NUMBERS)})",
            f"{word}(rtol={rng.choice(NUMBERS)})",
            f"{word}(name={rng.choice(TEXTS)})",
            f"{word}(",
            f"{word})(",
            f"{word}(a=1, a=2)",
            word + "(x=" * rng.choice([1, 3, 2000]) + ")" * 3,
            f"{word}(__class__={other})",
            f"{word}(x=[1, 2)",
            f"{word}={other}",
            word.upper(),
        ]
    )


def value(option: str, rng: random.Random) -> list[str]:
    """Arguments behind an option."""
    kind = rng.random()
    if kind < 0.35 and option in GOOD:
        return [rng.choice(GOOD[option])]
    if kind < 0.7:
        return [rng.choice(NUMBERS)]
    if kind < 0.8:
        return [mangled(rng) for _ in range(rng.choice([1, 1, 2]))]
    if kind < 0.95:
        return [rng.choice(TEXTS)]
    return []


def case(seed: int, index: int, commands: Sequence[str] = tuple(BASES)) -> list[str]:
    """The arguments of a case of one of these commands."""
    rng = random.Random(f"{seed}:{index}")
    (command,) = rng.choices(commands, [WEIGHTS.get(name, 3) for name in commands])
    arguments = list(rng.choice(BASES[command]))
    for _ in range(rng.choice([0, 1, 1, 1, 2, 2, 3])):
        if own := options(command):
            option = rng.choice(own)
            given = value(option, rng)
            arguments += [f"{option}={given[0]}"] if given and rng.random() < 0.2 else [option, *given]
    if rng.random() < 0.15:
        arguments.append("--json")
    if rng.random() < 0.1:
        arguments.append("--unverified")
    if arguments and rng.random() < 0.25:
        place = rng.randrange(len(arguments))
        change = rng.choice(["drop", "double", "swap", "cut", "text"])
        if change == "drop":
            del arguments[place]
        elif change == "double":
            arguments.insert(place, arguments[place])
        elif change == "swap":
            other = rng.randrange(len(arguments))
            arguments[place], arguments[other] = arguments[other], arguments[place]
        elif change == "cut":
            arguments[place] = arguments[place][: len(arguments[place]) // 2]
        else:
            arguments[place] = rng.choice(TEXTS)
    if rng.random() < 0.02:
        return arguments
    return [command if rng.random() < 0.99 else rng.choice(TEXTS), *arguments]


@dataclass
class End:
    """How a case ended."""

    status: Any
    out: str
    err: str
    stopped: bool

    @property
    def verdict(self) -> str:
        """Whether that is right; see above."""
        if self.status == "traceback" or "Traceback (most recent call last)" in self.out + self.err:
            return "tracebacks"
        if re.search(f"[{OBEYED}]", self.out + self.err):
            return "escapes"
        documented = self.status in STATUSES and (self.status != 130 or self.stopped)
        return "right" if documented and (self.status != 2 or (self.out + self.err).strip()) else "undocumented"


def ended(arguments: list[str]) -> End:
    """Call a command."""
    out, err = io.StringIO(), io.StringIO()
    stopped = []

    def stop(number: int, frame: object) -> None:
        stopped.append(number)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    status: Any
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                status = qnewton(arguments)
            except SystemExit as end:
                status = end.code
            except BaseException:
                status = "traceback"
                traceback.print_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    found = End(status, out.getvalue(), err.getvalue(), bool(stopped))
    if status == 0 and "--json" in arguments and not {"-h", "--help"} & set(arguments):
        try:
            whole = isinstance(json.loads(found.out), dict)
        except ValueError:
            whole = False
        found.status = 0 if whole else "no JSON object"
    return found


def prepared() -> None:
    """Runs and matrices, in the present directory."""
    TASKS["clouds"] = Registered(clouds)
    train = ("train", "clouds", "--batch-size", "8", "--steps", str(STEPS), "--checkpoint-every", "3", "--out")
    blocks = ("--preset", "blocks", "--partition", "per-tensor", "--solvers", "lu", "cg", "qlsa")
    for name, more in (("finished", blocks), ("killed", blocks), ("groups", ("--preset", "kfac"))):
        status, words = said((*train, name, *more))
        if status:
            raise RuntimeError(words)
    kill(Path("killed"))
    rng = np.random.default_rng(0)
    square = rng.standard_normal((4, 4))
    np.save("matrix.npy", square @ square.T + 4 * np.eye(4))
    edges = [f"{i} {i} 3" for i in range(1, 9)] + [f"{i + 1} {i} -1" for i in range(1, 8)]
    Path("graph.mtx").write_text(
        "\n".join(["%%MatrixMarket matrix coordinate real symmetric", "8 8 15", *edges]) + "\n"
    )
    Path("text.txt").write_text("no matrix, no task\n")


@contextlib.contextmanager
def workplace() -> Iterator[Callable[[], None]]:
    """A folder of its own with what cases need; yields what brings it back to that."""
    home = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="qnewton-lines-") as folder:
        os.chdir(folder)
        jax.config.update("jax_compilation_cache_dir", f"{folder}/compiled")
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
        # What is kept for the user, is kept here.
        os.environ["XDG_DATA_HOME"] = f"{folder}/data"
        try:
            prepared()
            kept = {path.name for path in Path.cwd().iterdir()}
            runs = {name: snapshot(Path(name)) for name in ("finished", "killed", "groups")}
            yield functools.partial(restore, kept, runs)
        finally:
            os.chdir(home)


def snapshot(run: Path) -> dict[str, bytes]:
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def restore(kept: set[str], runs: dict[str, dict[str, bytes]]) -> None:
    """Remove what a case wrote, and undo what it changed."""
    import shutil

    for path in Path.cwd().iterdir():
        if path.name not in kept:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for name, files in runs.items():
        if snapshot(Path(name)) != files:
            shutil.rmtree(name, ignore_errors=True)
            for inner, content in files.items():
                target = Path(name, inner)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)


def cases(seed: int, indices: range, minutes: float = 60.0) -> dict[str, Any]:
    """Run them, tell those that are not right, and return the record."""
    found: collections.Counter[str] = collections.Counter()
    statuses: collections.Counter[str] = collections.Counter()
    commands: collections.Counter[str] = collections.Counter()
    start, slow = time.monotonic(), 0
    with workplace() as clean:
        for index in indices:
            if time.monotonic() > start + 60 * minutes:
                break
            arguments = case(seed, index)
            end = ended(arguments)
            found[end.verdict] += 1
            statuses[str(end.status)] += 1
            commands[arguments[0] if arguments and arguments[0] in COMMANDS else "none"] += 1
            slow += end.stopped
            if end.verdict != "right" or len(indices) == 1:
                print(f"{end.verdict}: {index}: {arguments!r} ended with {end.status!r}", flush=True)
                print((end.out[-500:] + end.err[-1500:]).encode("ascii", "backslashreplace").decode(), flush=True)
            clean()
            if index % 20 == 19:
                jax.clear_caches()
    record: dict[str, Any] = {"cases": found.total(), "seed": seed}
    record |= {name: found[name] for name in ("right", "tracebacks", "undocumented", "escapes")}
    record |= {"stopped": slow, "statuses": dict(statuses), "commands": dict(commands)}
    return record | {"seconds": round(time.monotonic() - start, 1)}


def main() -> int:
    """Parse, try all cases, print."""
    parser = argparse.ArgumentParser(description="Calls every command with random arguments.")
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60.0, help="no further case after these")
    parser.add_argument("--case", type=int, help="this one alone, with what it printed")
    arguments = parser.parse_args()
    one = arguments.case
    indices = range(arguments.cases) if one is None else range(one, one + 1)
    record = cases(arguments.seed, indices, arguments.minutes)
    print(json.dumps(record))
    return int(record["right"] < len(indices))


if __name__ == "__main__":
    sys.exit(main())

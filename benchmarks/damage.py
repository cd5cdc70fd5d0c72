"""Damages the files of a run, and looks at what every command that reads them makes of it.

A small training (softmax regression, four blocks, LU against CG and QLSA) leaves three runs: one that finished, one
that was interrupted, and one that was killed, which has neither summary nor manifest. A case damages one file of one of
them in one of 12 ways and calls one command in this process. Right is a refusal with status 2 that names the file; the
numbers of the undamaged run; or other ones of a run that was killed (as one without summary is taken to be), if the
output says what is missing.

    silent      other numbers, and no word
    tracebacks  an error that the command line does not explain
    unnamed     a refusal that does not name the file

Prints one JSON object as its last line, and exits with status 1 if any of these three is not 0, or if
there was no time for all cases.

    .venv/bin/python benchmarks/damage.py [--cases 2000] [--seed 0] [--minutes 60]
"""

import argparse
import collections
import contextlib
import io
import json
import os
import random
import re
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import optax

import qnewton as q
from qnewton.lab import read_params
from qnewton.lab._cli.main import main as qnewton
from qnewton.lab._experiments.task_options import TASKS, Registered
from qnewton.lab._experiments.tasks.base import Data, Task
from qnewton.lab._runfile import RunDirectory, read_summary

STEPS, EVERY = 8, 3
TRAIN = (
    *(
        "train",
        "clouds",
        "--preset",
        "blocks",
        "--partition",
        "per-tensor",
        "--estimator",
        "exact",
        "--solvers",
        "lu",
        "cg",
        "qlsa",
    ),
    *("--batch-size", "8", "--evaluate-every", "4", "--steps", str(STEPS), "--checkpoint-every", str(EVERY)),
)
COMMANDS: dict[str, tuple[str, ...]] = {
    "report": ("report", "run"),
    "explain": ("explain", "run", "--step", "2"),
    "explain-json": ("explain", "run", "--step", "-1", "--json"),
    "replay": ("replay", "run"),
    "replay-json": ("replay", "run", "--gate-time", "1e-12", "--json"),
    "plan": ("plan", "run", "--hardware", "superconducting"),
    "breakeven": ("breakeven", "run", "--out", "out"),
    "spectrum": ("spectrum", "run", "--out", "out"),
    "resume": ("train", "--resume", "run"),
    "read_params": (),
}
WEIGHTS = (10, 10, 6, 8, 6, 8, 1, 3, 6, 6)
"""How often each is called: those that take a second or more more rarely."""
WRITTEN = {"report": "run/report.html", "breakeven": "out/breakeven.json", "spectrum": "out/spectrum.json"}
Damage = Callable[[bytes, random.Random, bytes], bytes | None]
"""Bytes of a file, and of that of another run, to what is left of them; None: no file."""


def clouds(dtype: str) -> Task:
    """Softmax regression from 7 numbers to 3 classes."""
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 3, 40).astype(np.int32)
    inputs = (rng.standard_normal((3, 7))[targets] + rng.standard_normal((40, 7))).astype(dtype)

    def predict(params: Any, x: Any) -> jax.Array:
        return x @ params["weight"] + params["bias"]

    return Task(
        name="clouds",
        model="softmax regression",
        source="three clouds",
        init=lambda key: {"bias": jnp.zeros(3, dtype), "weight": jax.random.normal(key, (7, 3), dtype)},
        objective=q.Objective(predict, optax.softmax_cross_entropy_with_integer_labels),
        accuracy=lambda params, batch: jnp.mean(jnp.argmax(predict(params, batch[0]), axis=-1) == batch[1]),
        train=Data(inputs[:32], targets[:32]),
        test=Data(inputs[32:], targets[32:]),
    )


def flipped(raw: bytes, rng: random.Random, _: bytes) -> bytes:
    place = rng.randrange(len(raw))
    return raw[:place] + bytes([raw[place] ^ 1 << rng.randrange(8)]) + raw[place + 1 :]


def digit(raw: bytes, rng: random.Random, _: bytes) -> bytes:
    places = [found.start() for found in re.finditer(rb"\d", raw)] or range(len(raw))
    place = rng.choice(places)
    return raw[:place] + rng.choice(b"0123456789").to_bytes() + raw[place + 1 :]


def truncated(raw: bytes, rng: random.Random, _: bytes) -> bytes:
    return raw[: rng.randrange(len(raw))]


def garbage(raw: bytes, rng: random.Random, _: bytes) -> bytes:
    return raw + rng.randbytes(rng.randrange(1, 64))


def pieces(raw: bytes) -> list[bytes]:
    """Lines, or what stands for them in a file that has none."""
    lines = raw.splitlines(keepends=True)
    return lines if raw.isascii() and len(lines) > 1 else [raw[k : k + 16] for k in range(0, len(raw), 16)]


def swapped(raw: bytes, rng: random.Random, _: bytes) -> bytes:
    lines = pieces(raw)
    if len(lines) < 2:
        return raw
    first, second = rng.sample(range(len(lines)), 2)
    lines[first], lines[second] = lines[second], lines[first]
    return b"".join(lines)


def doubled(raw: bytes, rng: random.Random, _: bytes) -> bytes:
    lines = pieces(raw)
    place = rng.randrange(len(lines))
    return b"".join([*lines[:place], lines[place], *lines[place:]])


def zeroed(raw: bytes, rng: random.Random, _: bytes) -> bytes:
    place = rng.randrange(len(raw))
    count = min(rng.randrange(1, 512), len(raw) - place)
    return raw[:place] + bytes(count) + raw[place + count :]


def another_type(raw: bytes, rng: random.Random, _: bytes) -> bytes:
    """One value in it, or in one of its lines, of another JSON type."""
    lines = raw.splitlines()
    whole = raw.startswith(b"{\n") or len(lines) < 2
    place = 0 if whole else rng.randrange(len(lines))
    try:
        value = json.loads(raw if whole else lines[place])
    except ValueError:
        return b"null\n"
    holder = value
    while True:
        key = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        if not (isinstance(holder[key], dict | list) and holder[key]) or rng.random() < 0.2:
            break
        holder = holder[key]
    holder[key] = rng.choice([other for other in (7, "seven", [7], None, True) if type(other) is not type(holder[key])])
    text = json.dumps(value, indent=2 if whole else None).encode()
    return text + b"\n" if whole else b"\n".join([*lines[:place], text, *lines[place + 1 :]]) + b"\n"


def encoded(raw: bytes, rng: random.Random, _: bytes) -> bytes:
    return raw.decode("latin-1").encode(rng.choice(["utf-16", "utf-32", "utf-8-sig"]))


DAMAGES: dict[str, Damage] = {
    "bit flipped": flipped,
    "digit changed": digit,
    "truncated": truncated,
    "emptied": lambda raw, rng, other: b"",
    "removed": lambda raw, rng, other: None,
    "garbage appended": garbage,
    "lines swapped": swapped,
    "line doubled": doubled,
    "block zeroed": zeroed,
    "of another run": lambda raw, rng, other: other,
    "another type": another_type,
    "another encoding": encoded,
}


def said(arguments: tuple[str, ...]) -> tuple[Any, str]:
    """Exit status of a command, and what it printed; status `traceback` for an error of its own."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            status: Any = qnewton(list(arguments))
        except SystemExit as end:
            status = end.code
        except Exception:
            status = "traceback"
            traceback.print_exc()
    return status, output.getvalue()


def outcome(command: str) -> tuple[Any, str, Any]:
    """Status, words and numbers of a command on `run`."""
    if command == "read_params":
        try:
            return 0, "", {name: array.tolist() for name, array in read_params("run").items()}
        except (ValueError, OSError) as error:
            return 2, str(error), None
        except Exception:
            return "traceback", traceback.format_exc(), None
    shutil.rmtree("out", ignore_errors=True)
    status, words = said(COMMANDS[command])
    if status != 0:
        return status, words, None
    if command == "resume":
        return status, words, trained(Path("run"))
    if command not in WRITTEN:
        return status, words, words
    found = Path(WRITTEN[command]).read_text()
    if command == "spectrum":  # when it was made is no number
        found = json.loads(found)["blocks"]
    return status, words, found


def trained(run: Path) -> Any:
    """Parameters, losses and choices: what does not depend on the clock."""
    lines = [[json.loads(line) for line in (run / f"{name}.jsonl").read_text().splitlines()] for name in LINES]
    params = {name: array.tolist() for name, array in read_params(run).items()}
    kept = [
        {name: line.get(name) for name in ("step", "loss", "test_loss", "block", "choice", "norm")}
        for line in lines[0] + lines[1]
    ]
    return params, kept


LINES = ("steps", "blocks")


class Cases:
    """Runs in three states, and what was found on them."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.states = prepared()
        self.wanted: dict[tuple[str, str], tuple[Any, str, Any]] = {}
        self.found: collections.Counter[str] = collections.Counter()
        self.by_command: collections.Counter[str] = collections.Counter()
        self.seconds: collections.Counter[str] = collections.Counter()

    def reference(self, state: str, command: str) -> tuple[Any, str, Any]:
        if (state, command) not in self.wanted:
            copied(self.states[state])
            self.wanted[state, command] = outcome(command)
        return self.wanted[state, command]

    def one(self) -> None:
        """Draw a case, and judge its outcome."""
        rng = self.random
        state = rng.choice(list(self.states))
        (command,) = rng.choices(list(COMMANDS), WEIGHTS)
        wanted = self.reference(state, command)
        copied(self.states[state])
        file = drawn(Path("run"), rng)
        other = Path("other") / file.relative_to("run")
        raw = file.read_bytes()
        while True:
            kind = rng.choice(list(DAMAGES))
            left = DAMAGES[kind](raw, rng, other.read_bytes() if other.is_file() else b"another run's")
            if left != raw:
                break
        if left is None:
            file.unlink()
        else:
            file.write_bytes(left)
        start = time.monotonic()
        found = outcome(command)
        verdict = judged(found, wanted, file, killed=state == "killed" or (file.name, left) == ("summary.json", None))
        self.found[verdict] += 1
        self.by_command[command] += 1
        self.seconds[command] += time.monotonic() - start
        if verdict != "right":
            print(f"{verdict}: {command} of a run {state}, {file} {kind}\n    {found[1][-600:].strip()}", flush=True)


def judged(found: tuple[Any, str, Any], wanted: tuple[Any, str, Any], file: Path, *, killed: bool) -> str:
    (status, words, numbers), (usual, usual_words, usual_numbers) = found, wanted
    names = {file.name, *([f"checkpoints/{file.parts[2]}"] if "checkpoints" in file.parts else [])}
    if status == "traceback":
        return "tracebacks"
    if status == usual and (numbers == usual_numbers if status == 0 else words == usual_words):
        return "right"
    if status != 0:
        flat = re.sub(r"\s+", "", words)
        return "right" if status == 2 and any(name in flat for name in names) else "unnamed"
    text = words + (numbers if isinstance(numbers, str) else "")
    usual_text = usual_words + (usual_numbers if isinstance(usual_numbers, str) else "")
    return "right" if killed and text.count(file.name) > usual_text.count(file.name) else "silent"


def copied(run: Path) -> None:
    shutil.rmtree("run", ignore_errors=True)
    shutil.copytree(run, "run")


def drawn(run: Path, rng: random.Random) -> Path:
    """Any file that a run has, those of the checkpoints together as often as three others."""
    files = [path for path in sorted(run.iterdir()) if path.is_file() and path.name != "report.html"]
    inner = [path for path in sorted((run / "checkpoints").rglob("*")) if path.is_file() and path.stat().st_size]
    return (
        rng.choice(inner) if rng.random() < 3 / (len(files) + 3) else rng.choice([f for f in files if f.stat().st_size])
    )


def prepared() -> dict[str, Path]:
    """Train, kill and go on, so that every file is there; and another run."""
    TASKS["clouds"] = Registered(clouds)
    for name, seed in (("finished", "0"), ("other", "1")):
        whole(*TRAIN, "--seed", seed, "--out", name)
        kill(Path(name))
        whole("train", "--resume", name)
        shutil.rmtree(f"{name}/aside")
        RunDirectory(Path(name)).seal()
    for name in ("killed", "interrupted"):
        shutil.copytree("finished", name)
    summary = read_summary(Path("finished"))
    kill(Path("killed"))
    kill(Path("interrupted"), params=True)
    left = RunDirectory(Path("interrupted"))
    left.write(
        "summary.json", msgspec.structs.replace(summary, status="interrupted", steps=STEPS - 1, signal="SIGTERM")
    )
    left.seal()
    return {name: Path(name) for name in ("finished", "interrupted", "killed")}


def whole(*arguments: str) -> None:
    status, words = said(arguments)
    if status:
        raise RuntimeError(words)


def kill(run: Path, *, params: bool = False) -> None:
    """Leave what a kill after the last step but one leaves."""
    for name in ("summary.json", "manifest.json", "report.html", *(() if params else ("params.npz",))):
        (run / name).unlink(missing_ok=True)
    for name in LINES:
        file = run / f"{name}.jsonl"
        lines = file.read_bytes().splitlines(keepends=True)
        file.write_bytes(b"".join(line for line in lines if json.loads(line)["step"] < STEPS - 1))


def main() -> int:
    """Parse, try all cases, print."""
    parser = argparse.ArgumentParser(description="Damages the files of a run, and calls what reads them.")
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60.0, help="no further case after these")
    arguments = parser.parse_args()
    start, home = time.monotonic(), Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        jax.config.update("jax_compilation_cache_dir", f"{folder}/compiled")
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
        try:
            cases = Cases(arguments.seed)
            for _ in range(arguments.cases):
                if time.monotonic() > start + 60 * arguments.minutes:
                    break
                cases.one()
        finally:
            os.chdir(home)
    found = {name: cases.found[name] for name in ("right", "silent", "tracebacks", "unnamed")}
    record = {"cases": cases.found.total(), "seed": arguments.seed, **found, "kinds": len(DAMAGES)}
    record |= {"by_command": dict(cases.by_command)}
    record |= {"seconds_by_command": {name: round(taken, 1) for name, taken in cases.seconds.items()}}
    record |= {"seconds": round(time.monotonic() - start, 1)}
    print(json.dumps(record))
    return 1 if found["right"] < arguments.cases else 0


if __name__ == "__main__":
    sys.exit(main())

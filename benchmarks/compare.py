"""What a change costs: two commits against each other, or two results of one benchmark.

    .venv/bin/python benchmarks/compare.py HEAD~1 .                       a commit and this working tree
    .venv/bin/python benchmarks/compare.py benchmarks/baseline.json .     what was kept, and this working tree
    .venv/bin/python benchmarks/compare.py old.json new.json              the last lines of two runs of any benchmark

OLD and NEW are each a commit, a checkout, or a file with a result. Commits and checkouts are measured: each
optimizer's step (its gradient and its update, compiled together) runs on an MLP 64-16-16-10 with 256 digits, in a
process of its own for each tree, in turn, `--rounds` times. Compile seconds are processor time of tracing, lowering and
compiling, which other load disturbs less than the clock, the least of three; a step's are the mean of ten, two of which
refresh what is refreshed; `lines` are those of the lowered program. A ratio is the median over rounds of NEW over OLD;
its spread stands beside it.

A result that was kept comes from another hour, and perhaps another machine: its figures are divided by those of
`optax.adam`, measured in the same run, before they are compared. `--save FILE` keeps those of NEW, and needs no OLD:

    .venv/bin/python benchmarks/compare.py . --save benchmarks/baseline.json

Of two results of another benchmark every number that both have is compared.

The last line of the output is one JSON object.
"""

import argparse
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parent.parent
MEASURES = ("trace", "compile", "step", "lines")
YARDSTICK = "adam"
WAYS = (
    YARDSTICK,
    "newton_cholesky",
    "newton_cg",
    "newton_per_tensor",
    "kfac",
    "kfac_klclip",
    "dual_newton",
    "dual_newton_sampled",
)
SIZES, BATCH = (64, 16, 16, 10), 256


def optimizer(way: str, qn, objective):
    import optax

    return {
        YARDSTICK: lambda: optax.with_extra_args_support(optax.adam(1e-3)),
        "newton_cholesky": lambda: qn.newton(objective, solver=qn.Cholesky()),
        "newton_cg": lambda: qn.newton(objective, solver=qn.CG(rtol=0.3, preconditioner=qn.KFAC())),
        "newton_per_tensor": lambda: qn.newton(objective, solver=qn.Cholesky(), partition=qn.per_tensor),
        "kfac": lambda: qn.kfac(objective),
        "kfac_klclip": lambda: qn.kfac(objective, step=qn.KLClip()),
        "dual_newton": lambda: qn.dual_newton(objective, sample=None),
        "dual_newton_sampled": lambda: qn.dual_newton(objective),
    }[way]()


def child(way: str) -> None:
    import jax
    import jax.numpy as jnp
    import optax
    from sklearn.datasets import load_digits

    import qnewton as qn

    def predict(params, x):
        for weight, bias in params[:-1]:
            x = jnp.tanh(x @ weight + bias)
        weight, bias = params[-1]
        return x @ weight + bias

    def loss(logits, labels):
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels)

    objective = qn.Objective(predict, loss)
    x, y = load_digits(return_X_y=True)
    batch = jnp.asarray(x[:BATCH] / 16, jnp.float32), jnp.asarray(y[:BATCH])
    keys = jax.random.split(jax.random.key(0), len(SIZES) - 1)
    params = [
        (jax.random.normal(k, (i, o), jnp.float32) / i**0.5, jnp.zeros(o, jnp.float32))
        for k, i, o in zip(keys, SIZES[:-1], SIZES[1:], strict=True)
    ]
    opt = optimizer(way, qn, objective)
    state = opt.init(params)

    def step(params, state, batch):
        gradient = jax.grad(objective)(params, batch)
        update, state = opt.update(gradient, state, params, batch=batch)
        return optax.apply_updates(params, update), state

    def compile_it():
        jax.clear_caches()
        start = time.process_time()
        traced = jax.jit(step).lower(params, state, batch)
        lowered = time.process_time()
        compiled = traced.compile()
        return (time.process_time() - start, lowered - start), f"{traced.as_text()}", compiled

    tries = [compile_it() for _ in range(3)]
    (compile_seconds, trace_seconds), text, compiled = min(tries, key=lambda found: found[0])
    params, state = jax.block_until_ready(compiled(params, state, batch))
    turns = []
    for _ in range(3):
        begin = time.perf_counter()
        for _ in range(10):
            params, state = compiled(params, state, batch)
        jax.block_until_ready(params)
        turns.append((time.perf_counter() - begin) / 10)
    print(
        json.dumps(
            {
                "trace": trace_seconds,
                "compile": compile_seconds,
                "step": min(turns),
                "lines": text.count("\n"),
                "loss": float(objective(params, batch)),
            }
        )
    )


Figures = dict[str, dict[str, list[float]]]
"""By way and measure, one number of each round."""


def source_of(given: str, folder: Path) -> Path:
    """The `src` of a checkout or commit; of a commit it is unpacked into the folder."""
    for found in (Path(given) / "src", Path(given)):
        if (found / "qnewton").is_dir():
            return found.resolve()
    command = ["git", "-C", str(CHECKOUT), "archive", given, "src"]
    archive = subprocess.run(command, capture_output=True, check=False)
    if archive.returncode:
        raise SystemExit(f"{given} is no file, no checkout and no commit: {archive.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return folder / "src"


def described(given: str) -> str:
    """The commit, with `-dirty` where a checkout holds more than that."""
    where, what = (given, []) if Path(given).is_dir() else (str(CHECKOUT), [given])
    dirty = [] if what else ["--dirty"]
    command = ["git", "-C", where, "describe", "--always", "--exclude=*", *dirty, *what]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or given


def measured(sources: dict[str, Path], ways: list[str], rounds: int) -> dict[str, Figures]:
    """Of every tree its figures, the trees in turn."""
    figures: dict[str, Figures] = {name: {} for name in sources}
    for turn in range(rounds):
        for way in ways:
            for name in sorted(sources, reverse=bool(turn % 2)):
                environment = os.environ | {"PYTHONPATH": str(sources[name]), "OMP_NUM_THREADS": "1"}
                command = [sys.executable, __file__, "--child", way]
                ran = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
                figure = json.loads(str(ran.stdout).splitlines()[-1])
                for measure in MEASURES:
                    figures[name].setdefault(way, {}).setdefault(measure, []).append(figure[measure])
                print(turn, way, name, {k: round(v, 5) for k, v in figure.items()}, file=sys.stderr, flush=True)
    return figures


def in_yardsticks(figures: Figures) -> Figures:
    """Every number divided by the yardstick's of the same round."""
    return {
        way: {
            measure: [one / unit for one, unit in zip(numbers, figures[YARDSTICK][measure], strict=True)]
            for measure, numbers in of_way.items()
        }
        for way, of_way in figures.items()
        if way != YARDSTICK
    }


def ratios(old: Figures, new: Figures, paired: bool) -> dict[str, dict[str, Any]]:
    """NEW over OLD, of every way and measure that both have.

    Args:
        old: figures.
        new: figures.
        paired: whether rounds of equal number belong together; else each of NEW meets the median of OLD.
    """
    result: dict[str, dict[str, Any]] = {}
    for way in (way for way in new if way in old):
        for measure in (measure for measure in new[way] if measure in old[way]):
            now, then = new[way][measure], old[way][measure]
            against = then if paired else [statistics.median(then)] * len(now)
            found = [a / b if b else float("nan") for a, b in zip(now, against, strict=True)]
            result.setdefault(way, {})[measure] = {
                "ratio": statistics.median(found),
                "ratio_of_least": min(now) / min(then) if min(then) else float("nan"),
                "spread": [min(found), max(found)],
                "old": statistics.median(then),
                "new": statistics.median(now),
            }
    return result


def numbers_in(result: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a result of any benchmark, with the names on the way to it."""
    if isinstance(result, dict):
        for name, value in result.items():
            yield from numbers_in(value, f"{path}.{name}" if path else str(name))
    elif isinstance(result, list):
        for place, value in enumerate(result):
            yield from numbers_in(value, f"{path}[{place}]")
    elif isinstance(result, int | float) and not isinstance(result, bool):
        yield path, float(result)


def last_object(file: Path) -> Any:
    """The JSON object on the last line of a file, or the whole file."""
    text = file.read_text(encoding="utf-8").strip()
    try:
        return json.loads(text.splitlines()[-1])
    except json.JSONDecodeError:
        return json.loads(text)


def of_results(old: Any, new: Any) -> dict[str, dict[str, float]]:
    """The numbers of two results that both have and that differ."""
    before, after = dict(numbers_in(old)), dict(numbers_in(new))
    return {
        name: {"old": before[name], "new": value, "ratio": value / before[name] if before[name] else float("nan")}
        for name, value in after.items()
        if name in before and value != before[name]
    }


def compared(options: argparse.Namespace) -> dict[str, Any]:
    """What the last line says, of two results, or after measuring."""
    given = {name: getattr(options, name) for name in ("old", "new") if getattr(options, name) is not None}
    kept = {name: last_object(Path(what)) for name, what in given.items() if Path(what).is_file()}
    if len(kept) == 2 and not all("figures" in one for one in kept.values()):
        return {"differ": of_results(kept["old"], kept["new"])}
    ways = list(dict.fromkeys([*([YARDSTICK] if kept or options.save else []), *options.ways]))
    with tempfile.TemporaryDirectory() as folder:
        sources = {name: source_of(what, Path(folder) / name) for name, what in given.items() if name not in kept}
        figures = {name: one["figures"] for name, one in kept.items()} | measured(sources, ways, options.rounds)
    if options.save:
        names = ("jax", "jaxlib", "optax", "lineax", "numpy")
        about: dict[str, Any] = {"commit": described(options.new), "load": round(os.getloadavg()[0], 1)}
        about |= {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        about |= {"python": platform.python_version(), "versions": {name: version(name) for name in names}}
        text = json.dumps({**about, "date": time.strftime("%Y-%m-%d"), "figures": figures["new"]}, indent=1)
        options.save.write_text(text + "\n", encoding="utf-8")
    if options.old is None:
        return {"figures": figures["new"]}
    if kept:
        figures = {name: in_yardsticks(one) for name, one in figures.items()}
    return {
        "unit": YARDSTICK if kept else "seconds",
        "ways": ratios(figures["old"], figures["new"], paired=not kept),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", nargs="?", help="commit, checkout, or file with a result")
    parser.add_argument("new", help="the same")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ways", nargs="+", default=WAYS, choices=WAYS)
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep the figures of NEW, for another day")
    options = parser.parse_args()
    if options.old is None and options.save is None:
        parser.error("with what is it to be compared? Give OLD and NEW, or --save FILE to keep the figures of one")
    result = {"benchmark": "compare", "rounds": options.rounds, "load": os.getloadavg()[0], **compared(options)}
    print(json.dumps(result))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2])
    else:
        main()

"""Empirical-Fisher Newton against tuned SGD with momentum and tuned AdamW on both language models, at equal wall clock.

Every method gets the same number of trials, learning rates a factor of two apart, each of the same measured seconds:
`--steps` is what SGD with momentum may take, and the others as many as fit into its time. What a step takes is measured
before, the methods taking turns in one process (ten steps each, so that the refresh of the curvature counts; medians;
compilation, data and evaluation outside). The rate is chosen on seed 0, by the loss on held-out text, and that of other
seeds is reported: means, and the median seconds per step measured there again. All methods warm up linearly over a
tenth of their steps, and fall to 0 along a cosine; momentum is 0.9 (Nesterov's); two versions of SGD run, one with
gradients clipped to norm 1, and `below_momentum` compares with the better one. Models: 3 layers, hidden 32,
intermediate 64, the text inside CPython.

Prints one JSON object as its last line. `--state FILE` keeps every finished piece, so that a run that was stopped goes
on; it must be of the same options.

    .venv/bin/python benchmarks/language.py [--steps 250] [--seeds 3] [--rates 7] [--state FILE]
"""

import argparse
import json
import math
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import threadpoolctl

import qnewton as qn
from qnewton.experiments.task_options import BertOptions, GptOptions, TextOptions
from qnewton.experiments.tasks import make_task
from qnewton.experiments.tasks.base import Task, batches
from qnewton.experiments.tasks.evaluation import mean
from qnewton.hardware import describe_machine

TASKS = {"bert-tiny": BertOptions, "gpt-tiny": GptOptions}
TURN, ROUNDS = 10, 12
"""Steps of a method's turn, and turns, when what a step takes is measured."""


@dataclass(frozen=True)
class Method:
    """An optimizer whose learning rate is a factor on its step.

    Attributes:
        make: from the objective, at rate 1.
        middle: of the rates that are tried.
    """

    make: Callable[[qn.Objective], Any]
    middle: float


METHODS = {
    "momentum": Method(lambda objective: optax.sgd(1.0, 0.9, nesterov=True), 0.5),
    "momentum, clipped": Method(
        lambda objective: optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(1.0, 0.9, nesterov=True)), 0.5
    ),
    "adamw": Method(lambda objective: optax.adamw(1.0, weight_decay=0.01), 0.01),
    "fisher_newton": Method(lambda objective: qn.fisher_newton(objective, 1.0), 0.02),
}
RIVALS = ("momentum", "momentum, clipped")


def rates(middle: float, count: int) -> list[float]:
    """A factor of two apart."""
    return [middle * 2.0 ** (k - count // 2) for k in range(count)]


def schedule(step: int, steps: int) -> float:
    """Factor on the rate: linear over the first tenth, then a cosine to 0."""
    warm = max(1, steps // 10)
    if step < warm:
        return (step + 1) / warm
    return (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))) / 2


class Bench:
    """A task with one compiled step per method."""

    def __init__(self, task: Task, size: int):
        self.task, self.size = task, size
        params = task.init(jax.random.key(0))
        first = next(batches(task.train, size, 0))
        self.methods: dict[str, tuple[Callable, Callable]] = {}
        self.compile_seconds: dict[str, float] = {}
        for name, method in METHODS.items():
            optimizer = optax.with_extra_args_support(method.make(task.objective))

            def step(params: Any, state: Any, batch: Any, rate: Any, optimizer: Any = optimizer) -> Any:
                gradients = jax.grad(task.objective)(params, batch)
                updates, state = optimizer.update(gradients, state, params, batch=batch)
                return jax.tree.map(lambda w, u: w + rate * u, params, updates), state

            start = time.perf_counter()
            compiled = (
                jax.jit(step, donate_argnums=(0, 1))
                .lower(params, optimizer.init(params), first, np.float32(0))
                .compile()
            )
            self.compile_seconds[name] = time.perf_counter() - start
            self.methods[name] = (optimizer.init, compiled)
        self.held_out = jax.jit(lambda p: mean(task.objective, p, task.test.batch))

    def step_seconds(self) -> dict[str, float]:
        """Of each method, taking turns."""
        given = [jax.device_put(batch) for batch in islice(batches(self.task.train, self.size, 0), TURN)]
        params = {name: self.task.init(jax.random.key(0)) for name in self.methods}
        states = {name: init(params[name]) for name, (init, _) in self.methods.items()}
        seconds: dict[str, list[float]] = {name: [] for name in self.methods}
        for round in range(ROUNDS + 1):
            for name, (_, step) in self.methods.items():
                start = time.perf_counter()
                for batch in given:
                    params[name], states[name] = step(params[name], states[name], batch, np.float32(0))
                jax.block_until_ready(states[name])
                if round:  # the first warms the caches
                    seconds[name].append((time.perf_counter() - start) / TURN)
        return {name: statistics.median(found) for name, found in seconds.items()}

    def train(self, plan: dict[str, tuple[float, int]], seed: int) -> dict[str, dict[str, float]]:
        """All methods of the plan, each with its rate and steps, in turns of ten steps."""
        params = {name: self.task.init(jax.random.key(seed)) for name in plan}
        states = {name: self.methods[name][0](params[name]) for name in plan}
        given = {name: batches(self.task.train, self.size, seed) for name in plan}
        turns: dict[str, list[float]] = {name: [] for name in plan}
        longest = max(steps for _, steps in plan.values())
        for first in range(0, longest, TURN):
            for name, (rate, steps) in plan.items():
                here = range(first, min(first + TURN, steps))
                if not here:
                    continue
                block = [jax.device_put(batch) for batch in islice(given[name], len(here))]
                factors = [np.float32(rate * schedule(k, steps)) for k in here]
                jax.block_until_ready(block)
                start = time.perf_counter()
                for batch, factor in zip(block, factors, strict=True):
                    params[name], states[name] = self.methods[name][1](params[name], states[name], batch, factor)
                jax.block_until_ready(params[name])
                turns[name].append((time.perf_counter() - start) / len(here))
        return {
            name: {
                "held_out_loss": float(self.held_out(params[name])),
                "steps": steps,
                "median_measured_seconds_per_step": statistics.median(turns[name]),
                "measured_seconds": sum(turns[name]) * TURN,
            }
            for name, (_, steps) in plan.items()
        }


class Pieces:
    """Finished pieces, kept in a file where there is one."""

    def __init__(self, path: Path | None, options: dict[str, Any]):
        self._path, self._pieces = path, {"options": options}
        if path is not None and path.exists():
            self._pieces = json.loads(path.read_text())
            if self._pieces["options"] != options:
                raise SystemExit(f"{path} is of other options, {self._pieces['options']}: name another file")

    def get(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._pieces:
            self._pieces[name] = make()
            if self._path is not None:
                scratch = self._path.with_suffix(".part")
                scratch.write_text(json.dumps(self._pieces))
                os.replace(scratch, self._path)
            print(name, json.dumps(self._pieces[name]), flush=True)
        return self._pieces[name]


def compare(name: str, bench: Callable[[], Bench], pieces: Pieces, steps: int, seeds: int, tried: int) -> Any:
    """The table of one task."""
    timing = pieces.get(
        f"{name}: seconds", lambda: {"step": bench().step_seconds(), "compile": bench().compile_seconds}
    )
    seconds = timing["step"]
    allowed = {method: max(TURN, round(steps * seconds["momentum"] / own)) for method, own in seconds.items()}
    found: dict[str, dict[float, float]] = {method: {} for method in METHODS}
    for k in range(tried):
        plan = {method: (rates(METHODS[method].middle, tried)[k], allowed[method]) for method in METHODS}
        done = pieces.get(f"{name}: rates {k}", lambda plan=plan: bench().train(plan, 0))
        for method, (rate, _) in plan.items():
            found[method][rate] = done[method]["held_out_loss"]
    best = {
        method: min(losses, key=lambda r: (not math.isfinite(losses[r]), losses[r])) for method, losses in found.items()
    }
    plan = {method: (best[method], allowed[method]) for method in METHODS}
    finals = [
        pieces.get(f"{name}: seed {seed}", lambda seed=seed: bench().train(plan, seed)) for seed in range(1, seeds + 1)
    ]

    def column(method: str, key: str) -> list[float]:
        return [final[method][key] for final in finals]

    table = {
        method: {
            "learning_rate": best[method],
            "at_edge_of_grid": best[method] in (min(found[method]), max(found[method])),
            "tuning_losses": {f"{rate:g}": loss for rate, loss in found[method].items()},
            "steps": allowed[method],
            "held_out_loss": statistics.mean(column(method, "held_out_loss")),
            "held_out_losses": column(method, "held_out_loss"),
            "measured_seconds_per_step": statistics.median(column(method, "median_measured_seconds_per_step")),
            "measured_seconds": statistics.mean(column(method, "measured_seconds")),
            "measured_compile_seconds": timing["compile"][method],
        }
        for method in METHODS
    }
    bar = min(table[rival]["held_out_loss"] for rival in RIVALS)
    for row in table.values():
        row["below_momentum"] = row["held_out_loss"] < bar
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--steps", type=int, default=250, help="of SGD with momentum; the others fit into its time")
    parser.add_argument("--seeds", type=int, default=3, help="of the comparison, besides the one of the tuning")
    parser.add_argument("--rates", type=int, default=7, help="tried by each method")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--length", type=int, default=32, help="tokens of a sequence")
    parser.add_argument("--vocabulary", type=int, default=512)
    parser.add_argument("--state", type=Path, help="file to keep pieces in")
    options = parser.parse_args()
    text = TextOptions(vocabulary=options.vocabulary, length=options.length)
    asked = {name: value for name, value in vars(options).items() if name != "state"}
    pieces = Pieces(options.state, asked)
    tables = {}
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        for name in options.tasks:
            made: list[Bench] = []

            def bench(name: str = name, made: list[Bench] = made) -> Bench:
                if not made:
                    task = make_task(name, "float32", TASKS[name](hidden=32, intermediate=64, text=text))
                    made.append(Bench(task, options.batch))
                return made[0]

            tables[name] = compare(name, bench, pieces, options.steps, options.seeds, options.rates)
    print(json.dumps({"benchmark": "language", "options": asked, "machine": describe_machine(), "tasks": tables}))


if __name__ == "__main__":
    main()

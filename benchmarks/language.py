"""Empirical-Fisher Newton against tuned SGD with momentum and tuned AdamW on both language models, at equal wall clock.

Every method gets the same number of trials, learning rates a factor of two apart, each of the same measured seconds of
steps: those of `--steps` steps of SGD with momentum (compilation, data and evaluation outside). The methods train side
by side in one process, and whoever has had the least time takes the next ten steps, so that a busy machine slows all of
them alike. The rate is chosen by the loss on held-out text for seed 0 (`--tuning-seeds 2` asks for more, since the
moment at which BERT leaves its plateau is chance), and the losses of `--seeds` others are reported. All methods warm
up linearly over a tenth of the time, and fall to 0 along a cosine; momentum is 0.9 (Nesterov's), and runs twice, once
with gradients clipped to norm 1: `below_momentum` compares with the better one. Models: 3 layers, hidden 32,
intermediate 64, on the text inside CPython.

Prints one JSON object as its last line. `--state FILE` keeps every finished piece, so that a run that was stopped goes
on; it must be of the same options.

    .venv/bin/python benchmarks/language.py [--steps 400] [--seeds 3] [--rates 7] [--state FILE]
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
import jax.numpy as jnp
import numpy as np
import optax
import threadpoolctl

import qnewton as qn
from qnewton._hardware import describe_machine
from qnewton.lab._experiments.task_options import BertOptions, GptOptions, TextOptions
from qnewton.lab._experiments.tasks import make_task
from qnewton.lab._experiments.tasks.base import Task, batches
from qnewton.lab._experiments.tasks.evaluation import mean

TASKS = {"bert-tiny": BertOptions, "gpt-tiny": GptOptions}
TURN = 10
"""Steps of a method's turn."""
DISTURBED = 0.2
"""Share of a method's seconds in one turn that means another process stopped us."""
CLOCK, RIVALS = "momentum", ("momentum", "momentum, clipped")


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


def rates(middle: float, count: int) -> list[float]:
    """A factor of two apart."""
    return [middle * 2.0 ** (k - count // 2) for k in range(count)]


def schedule(progress: float) -> float:
    """Factor on the rate: linear over the first tenth of the time, then a cosine to 0."""
    if progress < 0.1:
        return max(progress, 1e-3) / 0.1
    return (1 + math.cos(math.pi * min(1, (progress - 0.1) / 0.9))) / 2


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
                value, gradients = jax.value_and_grad(task.objective)(params, batch)
                updates, state = optimizer.update(gradients, state, params, batch=batch, value=value)
                return jax.tree.map(lambda w, u: w + rate * u, params, updates), state

            start = time.perf_counter()
            compiled = (
                jax.jit(step, donate_argnums=(0, 1))
                .lower(params, optimizer.init(params), first, np.float32(0))
                .compile()
            )
            self.compile_seconds[name] = time.perf_counter() - start
            # A buffer that stands in the state twice cannot be given away.
            self.methods[name] = (lambda p, init=optimizer.init: jax.tree.map(jnp.array, init(p)), compiled)
        self.held_out = jax.jit(lambda p: mean(task.objective, p, task.test.batch))

    def undisturbed(self, chosen: dict[str, float], seed: int, steps: int) -> dict[str, dict[str, float]]:
        """`train`, once more (at most twice) where another process had stopped us: a turn took much of the time."""
        found = self.train(chosen, seed, steps)
        for _ in range(2):
            if all(one["longest_turn_seconds"] < DISTURBED * one["measured_seconds"] for one in found.values()):
                break
            found = self.train(chosen, seed, steps)
        return found

    def train(self, chosen: dict[str, float], seed: int, steps: int) -> dict[str, dict[str, float]]:
        """All methods, each at its rate, for the seconds of `steps` steps of SGD with momentum.

        Whoever has had the least time takes the next turn, so all are as far as the clock, which is `momentum`'s steps.
        """
        params = {name: self.task.init(jax.random.key(seed)) for name in chosen}
        states = {name: self.methods[name][0](params[name]) for name in chosen}
        given = {name: batches(self.task.train, self.size, seed) for name in chosen}
        spent, done, longest = dict.fromkeys(chosen, 0.0), dict.fromkeys(chosen, 0), dict.fromkeys(chosen, 0.0)
        while done[CLOCK] < steps or min(spent.values()) < spent[CLOCK]:
            open_to = [name for name in chosen if name != CLOCK or done[CLOCK] < steps]
            name = min(open_to, key=spent.__getitem__)
            block = [jax.device_put(batch) for batch in islice(given[name], TURN)]
            # Within a turn the clock goes on as it has so far.
            ahead = done[CLOCK] / done[name] if done[name] else 1.0
            factors = [chosen[name] * schedule((done[CLOCK] + ahead * k) / steps) for k in range(TURN)]
            factors = jax.block_until_ready([jax.device_put(np.float32(factor)) for factor in factors])
            jax.block_until_ready(block)
            start = time.perf_counter()
            for batch, factor in zip(block, factors, strict=True):
                params[name], states[name] = self.methods[name][1](params[name], states[name], batch, factor)
            jax.block_until_ready(params[name])
            turn = time.perf_counter() - start
            spent[name] += turn
            longest[name] = max(longest[name], turn)
            done[name] += TURN
        return {
            name: {
                "held_out_loss": float(self.held_out(params[name])),
                "steps": done[name],
                "measured_seconds": spent[name],
                "longest_turn_seconds": longest[name],
            }
            for name in chosen
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


def compare(
    name: str, bench: Callable[[], Bench], pieces: Pieces, steps: int, seeds: int, tuning: int, tried: int
) -> Any:
    """The table of one task."""
    grid = {method: rates(made.middle, tried) for method, made in METHODS.items()}
    found: dict[str, list[float]] = {method: [] for method in METHODS}
    for k in range(tried):
        plan = {method: grid[method][k] for method in METHODS}
        done = [
            pieces.get(
                f"{name}: rates {k}, seed {seed}", lambda seed=seed, plan=plan: bench().undisturbed(plan, seed, steps)
            )
            for seed in range(tuning)
        ]
        for method in METHODS:
            loss = statistics.mean(one[method]["held_out_loss"] for one in done)
            found[method].append(loss if math.isfinite(loss) else math.inf)
    best = {method: grid[method][losses.index(min(losses))] for method, losses in found.items()}
    finals = [
        pieces.get(f"{name}: seed {seed}", lambda seed=seed: bench().undisturbed(best, seed, steps))
        for seed in range(tuning, tuning + seeds)
    ]
    compiling = pieces.get(f"{name}: compilation", lambda: bench().compile_seconds)

    def column(method: str, key: str) -> list[float]:
        return [final[method][key] for final in finals]

    table = {
        method: {
            "learning_rate": best[method],
            "at_edge_of_grid": best[method] in (grid[method][0], grid[method][-1]),
            # JSON has no infinity: a loss that is not finite is null.
            "tuning_losses": {
                f"{rate:g}": loss if math.isfinite(loss) else None
                for rate, loss in zip(grid[method], found[method], strict=True)
            },
            "held_out_loss": statistics.mean(column(method, "held_out_loss")),
            "held_out_losses": column(method, "held_out_loss"),
            "steps": statistics.median(column(method, "steps")),
            "measured_seconds": statistics.mean(column(method, "measured_seconds")),
            "measured_seconds_per_step": sum(column(method, "measured_seconds")) / sum(column(method, "steps")),
            "measured_compile_seconds": compiling[method],
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
    parser.add_argument("--steps", type=int, default=400, help="of SGD with momentum, in whose seconds all train")
    parser.add_argument("--seeds", type=int, default=3, help="of the comparison, besides those of the tuning")
    parser.add_argument("--tuning-seeds", type=int, default=1, help="whose mean loss chooses the rate")
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

            tables[name] = compare(
                name, bench, pieces, options.steps, options.seeds, options.tuning_seeds, options.rates
            )
    print(json.dumps({"benchmark": "language", "options": asked, "machine": describe_machine(), "tasks": tables}))


if __name__ == "__main__":
    main()

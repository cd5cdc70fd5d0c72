"""Newton, AdamW, Muon and SOAP on one accelerator: steps, time to target, memory, and curvature in TF32.

A residual network on 28x28 images and a language model in Mistral's form, 10 million parameters and more at `--size
full`. All methods of a task train side by side in one process on the same batches, and whoever has had the least
measured time takes the next ten steps. The rates of the rivals are tried on `--rates` values a factor of 3 apart, each
for a third of the time, by the loss that is reported; `newton` has nothing tuned. The target is the lowest running loss
that every method reached, so that each has a time. `tf32` compares one refresh of `newton`'s curvature and its step at
the default precision of the device with that at `highest`, on the same parameters and batch: the relative difference of
the steps, and both times. On a CPU both are float32, and the difference is 0.

Seconds are measured, compilation apart, which is reported beside them.

    .venv/bin/python benchmarks/gpu.py [--size small|full] [--seconds 60]

The last line of the output is one JSON object. `--size full` is laid out for less than 9 minutes on a
data-centre GPU, and was not run on one yet; `--size small` takes about two minutes on two cores, and shows that the
script runs, and nothing about speed.
"""

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from gpu_parts.soap import soap

import qnewton as qn
from qnewton._hardware import describe_machine
from qnewton.lab._experiments.task_options import GptOptions, ResNetOptions, TaskOptions, TextOptions
from qnewton.lab._experiments.tasks import make_task
from qnewton.lab._experiments.tasks.base import Task, batches

TURN, SMOOTHED = 10, 0.9


@dataclass(frozen=True)
class Size:
    """Of the tasks: their options, examples of a batch, and how long each training may take."""

    options: dict[str, TaskOptions]
    batch: int
    seconds: float
    rates: int


SIZES = {
    "small": Size(
        {
            "cnn": ResNetOptions(channels=4, stages=2),
            "gpt-tiny": GptOptions(
                layers=1, hidden=16, intermediate=32, text=TextOptions(vocabulary=300, length=16, sequences=64)
            ),
        },
        batch=32,
        seconds=1.0,
        rates=1,
    ),
    "full": Size(
        {
            "cnn": ResNetOptions(channels=128, stages=4, blocks=2),
            "gpt-tiny": GptOptions(
                layers=6, hidden=384, heads=6, intermediate=1536, window=128, text=TextOptions(2048, length=128)
            ),
        },
        batch=256,
        seconds=20.0,
        rates=2,
    ),
}


@dataclass
class Method:
    """A training: its compiled step, where it is, and its running losses against its own measured seconds."""

    name: str
    step: Callable[..., Any]
    params: Any
    state: Any
    data: Iterator[Any]
    compile_seconds: float
    peak_bytes: int
    seconds: float = 0.0
    curve: list[tuple[float, float]] = field(default_factory=list)

    def advance(self) -> None:
        """`TURN` steps, timed together; making their batches is not."""
        given = [jax.block_until_ready(jax.device_put(next(self.data))) for _ in range(TURN)]
        start, losses = time.perf_counter(), []
        for batch in given:
            self.params, self.state, loss = self.step(self.params, self.state, batch)
            losses.append(loss)
        jax.block_until_ready(self.params)
        self.seconds += time.perf_counter() - start
        mean = float(np.mean(jax.device_get(losses)))
        before = self.curve[-1][1] if self.curve else mean
        self.curve.append((self.seconds, SMOOTHED * before + (1 - SMOOTHED) * mean if self.curve else mean))

    @property
    def lowest(self) -> float:
        """Running loss; infinite where the training left the floating-point range."""
        losses = [loss for _, loss in self.curve]
        return min(losses) if losses and np.isfinite(losses[-1]) else float("inf")

    def reached(self, target: float) -> tuple[float, int] | None:
        """Measured seconds and steps until the running loss was there."""
        for turn, (seconds, loss) in enumerate(self.curve, 1):
            if loss <= target:
                return seconds, turn * TURN
        return None


def made(name: str, task: Task, optimizer: Any, size: Size, seed: int) -> Method:
    """Compile a training."""
    optimizer = optax.with_extra_args_support(optimizer)
    count = min(size.batch, len(task.train))
    params = task.init(jax.random.key(seed))
    first = next(batches(task.train, count, seed))

    def step(params: Any, state: Any, batch: Any) -> tuple[Any, Any, Any]:
        loss, grads = jax.value_and_grad(task.objective)(params, batch)
        updates, state = optimizer.update(grads, state, params, batch=batch)
        return optax.apply_updates(params, updates), state, loss

    start = time.perf_counter()
    state = optimizer.init(params)
    compiled = jax.jit(step).lower(params, state, first).compile()
    took = time.perf_counter() - start
    plan = compiled.memory_analysis()
    peak = 0 if plan is None else plan.temp_size_in_bytes + plan.argument_size_in_bytes + plan.output_size_in_bytes
    return Method(name, compiled, params, state, batches(task.train, count, seed), took, peak)


def newton_for(task: Task, size: Size) -> Any:
    """With the batch's shapes; nothing is tuned. Language models by the units' Fisher matrix, as `qnewton train` does:
    K-FAC would need the curvature in all tokens times the vocabulary."""
    example = next(batches(task.train, min(size.batch, len(task.train)), 0))
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), jnp.asarray(leaf).dtype), example)
    family = "fisher" if task.name == "gpt-tiny" else None
    return qn.newton(task.objective, example=shapes, minibatch=True, family=family)


RIVALS: dict[str, tuple[Callable[[float], Any], float]] = {
    "adamw": (optax.adamw, 1e-3),
    "muon": (optax.contrib.muon, 1e-2),
    "soap": (soap, 3e-3),
}


def tuned(name: str, task: Task, size: Size) -> tuple[Any, float]:
    """The rival at its best rate, on a seed that is not reported."""
    make, middle = RIVALS[name]
    rates = [middle * 3.0**k for k in range(size.rates)] if size.rates > 1 else [middle]
    tried = {}
    for rate in rates if len(rates) > 1 else ():
        method = made(name, task, make(rate), size, seed=1)
        while method.seconds < size.seconds / 3:
            method.advance()
        tried[rate] = method.lowest
    best = min(tried, key=lambda rate: tried[rate]) if tried else middle
    return make(best), best


def race(task: Task, size: Size) -> dict[str, Any]:
    """All methods of one task, side by side."""
    chosen = {name: tuned(name, task, size) for name in RIVALS}
    methods = [made("newton", task, newton_for(task, size), size, seed=0)]
    methods += [made(name, task, optimizer, size, seed=0) for name, (optimizer, _) in chosen.items()]
    while (next_one := min(methods, key=lambda method: method.seconds)).seconds < size.seconds:
        next_one.advance()
    target = max(method.lowest for method in methods)
    family = str(methods[0].state.info.family)
    return {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(methods[0].params)),
        "target_running_loss": target,
        "newton_family": family,
        "methods": {
            method.name: {
                "rate": chosen[method.name][1] if method.name in chosen else None,
                "steps": len(method.curve) * TURN,
                "median_step_seconds": statistics.median(np.diff([0.0, *(s for s, _ in method.curve)])) / TURN,
                "lowest_running_loss": method.lowest,
                "seconds_and_steps_to_target": method.reached(target),
                "compile_seconds": method.compile_seconds,
                "planned_bytes": method.peak_bytes,
            }
            for method in methods
        },
    }


def tf32(task: Task, size: Size) -> dict[str, float]:
    """What the device's default precision of products does to one step of `newton`, and what it saves."""
    params = task.init(jax.random.key(0))
    batch = next(batches(task.train, min(size.batch, len(task.train)), 0))
    grads = jax.jit(jax.grad(task.objective))(params, batch)
    found = {}
    for precision in ("default", "highest"):
        with jax.default_matmul_precision(precision):
            optimizer = newton_for(task, size)
            state = optimizer.init(params)
            update = jax.jit(lambda g, s, p, b, o=optimizer: o.update(g, s, p, batch=b)[0])
            step = jax.block_until_ready(update(grads, state, params, batch))
            times = []
            for _ in range(5):
                start = time.perf_counter()
                jax.block_until_ready(update(grads, state, params, batch))
                times.append(time.perf_counter() - start)
        found[precision] = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(step)]), statistics.median(times)
    (fast, fast_seconds), (exact, exact_seconds) = found["default"], found["highest"]
    return {
        "relative_difference_of_the_step": float(np.linalg.norm(fast - exact) / np.linalg.norm(exact)),
        "default_seconds": fast_seconds,
        "highest_seconds": exact_seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=list(SIZES), default="small")
    parser.add_argument("--seconds", type=float, help="measured seconds of each training; default by --size")
    given = parser.parse_args()
    size = SIZES[given.size]
    if given.seconds is not None:
        size = dataclasses.replace(size, seconds=given.seconds)
    result: dict[str, Any] = {"size": given.size, "device": str(jax.devices()[0].device_kind), "tasks": {}}
    for name, options in size.options.items():
        task = make_task(name, "float32", options)
        result["tasks"][name] = {**race(task, size), "tf32": tf32(task, size)}
        print(json.dumps({name: result["tasks"][name]}), flush=True)
    stats = jax.devices()[0].memory_stats() or {}
    result["peak_bytes_in_use"] = stats.get("peak_bytes_in_use")
    result["versions"] = {"jax": jax.__version__, "optax": optax.__version__}
    print(json.dumps({**result, "machine": describe_machine()}))


if __name__ == "__main__":
    main()

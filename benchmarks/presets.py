"""Which preset trains best: measured seconds and steps to two targets on `digits-mlp`, side by side.

Every contestant starts from the same parameters (three seeds) and gets the whole training set in each step. Seconds are
the wall clock of the jitted steps alone: compilation, calibration and evaluation are left out, and each step is waited
for. Contestants alternate within a seed, so that a busy machine slows all of them alike; compare ratios. Adam, with the
best of three learning rates, stands beside them as what a Newton step has to beat. Prints one JSON object.

    .venv/bin/python benchmarks/presets.py [--seeds 3]
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import optax
import threadpoolctl

import qnewton as qn
from qnewton._hardware import describe_machine
from qnewton.lab._experiments.tasks import make_task
from qnewton.lab._experiments.tasks.base import Task

# Fraction of the held-out digits that are recognised, and mean loss over the training set.
ACCURACY, LOSS = 0.95, 0.01


@dataclass(frozen=True)
class Contestant:
    """An optimizer and the steps it may take."""

    name: str
    make: Callable[[qn.Objective], optax.GradientTransformationExtraArgs]
    steps: int


def damped(relative: float) -> tuple[qn.Damp, ...]:
    return (qn.Damp(relative),)


def published(rate: float) -> Callable[[qn.Objective], optax.GradientTransformationExtraArgs]:
    """Q-Newton's direction (exact Hessian per tensor, r = 5e-3, clipped), 20 steps of warm-up, then a constant rate."""
    return lambda objective: qn.newton(
        objective,
        optax.linear_schedule(rate / 20, rate, 19),
        curvature=qn.Hessian(),
        partition=qn.per_tensor,
        conditioning=damped(5e-3),
        solver=qn.Hybrid([qn.LU(), qn.QLSA()]),
        adaptation=qn.Fixed(),
        clip=100.0,
    )


def adam(rate: float) -> Callable[[qn.Objective], optax.GradientTransformationExtraArgs]:
    return lambda objective: optax.with_extra_args_support(optax.adam(rate))


CONTESTANTS = (
    Contestant("default", lambda objective: qn.newton(objective, family="blocks"), 60),
    Contestant("default, r 0.05", lambda objective: qn.newton(objective, conditioning=damped(0.05)), 60),
    Contestant("per layer", lambda objective: qn.newton(objective, partition=qn.per_layer), 120),
    Contestant("per tensor", lambda objective: qn.newton(objective, partition=qn.per_tensor), 120),
    Contestant(
        "exact Hessian, per tensor",
        lambda objective: qn.newton(objective, curvature=qn.Hessian(), partition=qn.per_tensor),
        120,
    ),
    Contestant("published direction, rate 0.01", published(0.01), 120),
    Contestant("published direction, rate 0.03", published(0.03), 120),
    Contestant("published direction, rate 0.1", published(0.1), 120),
    Contestant("adam 3e-3", adam(3e-3), 300),
    Contestant("adam 1e-2", adam(1e-2), 300),
    Contestant("adam 3e-2", adam(3e-2), 300),
)


class Run:
    """A compiled training of one contestant."""

    def __init__(self, contestant: Contestant, task: Task):
        self._contestant, self._task = contestant, task
        optimizer = contestant.make(task.objective)

        def step(params, state, batch):
            gradients = jax.grad(task.objective)(params, batch)
            updates, state = optimizer.update(gradients, state, params, batch=batch)
            return optax.apply_updates(params, updates), state

        params = task.init(jax.random.key(0))
        self._init = optimizer.init
        start = time.perf_counter()
        self._step = jax.jit(step).lower(params, self._init(params), task.train.batch).compile()
        self.compile_seconds = time.perf_counter() - start
        self._evaluate = jax.jit(lambda p: (task.accuracy(p, task.test.batch), task.objective(p, task.train.batch)))

    def train(self, seed: int) -> dict[str, Any]:
        """From fresh parameters to both targets, or to the last step allowed."""
        params = self._task.init(jax.random.key(seed))
        state, seconds, step, reached = self._init(params), 0.0, 0, {}
        while len(reached) < 2 and step < self._contestant.steps:
            start = time.perf_counter()
            params, state = jax.block_until_ready(self._step(params, state, self._task.train.batch))
            seconds += time.perf_counter() - start
            step += 1
            accuracy, loss = (float(value) for value in self._evaluate(params))
            for target, hit in (("accuracy", accuracy >= ACCURACY), ("loss", loss <= LOSS)):
                if hit and target not in reached:
                    reached[target] = {"steps": step, "measured_seconds": seconds}
        return {"reached": reached, "steps": step, "measured_seconds": seconds}


def summarise(runs: list[dict[str, Any]], compile_seconds: float) -> dict[str, Any]:
    """Medians over the seeds; a run that missed a target counts with its limit, and `reached` says how many did not."""
    result: dict[str, Any] = {}
    for target in ("accuracy", "loss"):
        ends = [run["reached"].get(target, run) for run in runs]
        result[target] = {
            "reached": sum(target in run["reached"] for run in runs),
            "runs": len(runs),
            "median_steps": statistics.median(end["steps"] for end in ends),
            "median_measured_seconds": statistics.median(end["measured_seconds"] for end in ends),
        }
    return {
        **result,
        "median_measured_seconds_per_step": statistics.median(r["measured_seconds"] / r["steps"] for r in runs),
        "measured_compile_seconds": compile_seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="seeds per contestant")
    seeds = parser.parse_args().seeds
    task = make_task("digits-mlp", "float32")
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        runs = {contestant.name: Run(contestant, task) for contestant in CONTESTANTS}
        results = {name: [] for name in runs}
        for seed in range(seeds):
            for name, run in runs.items():
                results[name].append(run.train(seed))
    print(
        json.dumps(
            {
                "benchmark": "presets",
                "task": task.name,
                "targets": {"accuracy": ACCURACY, "loss": LOSS},
                "seeds": seeds,
                "machine": describe_machine(),
                "contestants": {name: summarise(results[name], run.compile_seconds) for name, run in runs.items()},
            }
        )
    )


if __name__ == "__main__":
    main()

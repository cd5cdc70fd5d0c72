"""Seconds from `optimizer = ...` to the first result of a training step, against those of `optax.adam`.

The problem is README's first example: 48 parameters, 100 examples of 2 outputs, squared loss. Every optimizer runs in
fresh interpreters without a compilation cache, the contestants in turn, `--repeats` times; imports are done and the
data is made before the clock starts. `traced` counts `init` and what Python does until the program of the step is given
to XLA, `compiled` XLA's part, `ran` the first call, and `cpu` the process's own time, all threads together, which other
work on the machine disturbs less. The ratios are of the medians of `seconds`. `mean_squares` is Adam on the same mean
without a `qn.Objective`, which says what that adds to the gradient.

    .venv/bin/python benchmarks/first_step.py

The last line of the output is one JSON object.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

import qnewton as qn
from qnewton._hardware import describe_machine

PARTS = ("seconds", "traced", "compiled", "ran", "cpu")


def predict(params, inputs):
    return jnp.tanh(inputs @ params["w"] + params["b"]) @ params["v"]


def loss(outputs, targets):
    return jnp.sum((outputs - targets) ** 2, axis=-1)


def mean_of_squares(params, batch):
    return jnp.mean(loss(predict(params, batch[0]), batch[1]))


# What each contestant differentiates, and its optimizer.
CONTESTANTS: dict[str, Callable] = {
    "adam": lambda objective: (objective, optax.with_extra_args_support(optax.adam(1e-3))),
    "mean_squares": lambda objective: (mean_of_squares, optax.with_extra_args_support(optax.adam(1e-3))),
    "newton()": lambda objective: (objective, qn.newton(objective)),
    "dual_newton": lambda objective: (objective, qn.dual_newton(objective)),
    "kfac": lambda objective: (objective, qn.kfac(objective)),
    "newton_cholesky": lambda objective: (objective, qn.newton(objective, solver=qn.Cholesky())),
}


def child(name: str) -> dict[str, float]:
    k = jax.random.split(jax.random.key(0), 4)
    params = {"w": jax.random.normal(k[0], (3, 8)), "b": jnp.zeros(8), "v": jax.random.normal(k[1], (8, 2)) / 3}
    batch = jax.random.normal(k[2], (100, 3)), jax.random.normal(k[3], (100, 2))
    objective = qn.Objective(predict, loss)
    for constructor in (qn.dual_newton, qn.kfac, qn.newton, qn.Cholesky):
        assert callable(constructor)  # loads its module

    started, cpu = time.perf_counter(), time.process_time()
    differentiated, optimizer = CONTESTANTS[name](objective)

    @jax.jit
    def step(params, state, batch):
        gradients = jax.grad(differentiated)(params, batch)
        updates, state = optimizer.update(gradients, state, params, batch=batch)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    lowered = step.lower(params, state, batch)
    traced = time.perf_counter()
    compiled = lowered.compile()
    ready = time.perf_counter()
    jax.block_until_ready(compiled(params, state, batch))
    done, cpu = time.perf_counter(), time.process_time() - cpu
    return dict(zip(PARTS, (done - started, traced - started, ready - traced, done - ready, cpu), strict=True))


def fresh(name: str) -> dict[str, float]:
    """One contestant in a new interpreter, nothing compiled before."""
    environment = {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"}
    command = [sys.executable, __file__, "--child", name]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    return json.loads(output.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="rounds")
    parser.add_argument("--only", nargs="+", choices=list(CONTESTANTS), help="beside adam")
    parser.add_argument("--child", choices=list(CONTESTANTS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(options.child)))
        return
    names = [name for name in CONTESTANTS if options.only is None or name in ("adam", *options.only)]
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(options.repeats):
        for name in names:
            taken[name].append(fresh(name))
    medians = {
        name: {part: round(statistics.median(found[part] for found in runs), 3) for part in PARTS}
        for name, runs in taken.items()
    }
    for name, parts in medians.items():
        print(f"{name:>16} " + ", ".join(f"{part} {value:.2f}" for part, value in parts.items()))
    ratios = {name: round(parts["seconds"] / medians["adam"]["seconds"], 2) for name, parts in medians.items()}
    print(
        json.dumps(
            {
                "benchmark": "first_step",
                "machine": describe_machine(),
                "repeats": options.repeats,
                "medians": medians,
                "over_adam": ratios,
            }
        )
    )


if __name__ == "__main__":
    main()

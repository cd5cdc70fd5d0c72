"""Seconds of tracing and compiling one Newton step, against the number of identical layers."""

import statistics
import time
from typing import Any

import jax
import jax.numpy as jnp

import qnewton as qn

from .problems import normal

WIDTH, EXAMPLES = 16, 64


def compilation(counts: list[int], rounds: int) -> list[dict[str, Any]]:
    samples = {count: [] for count in counts}
    for _ in range(rounds):
        for count in counts:
            samples[count].append(_seconds(count))
    first = statistics.median(samples[counts[0]])
    return [
        {
            "layers": count,
            "measured_compile_seconds": statistics.median(seconds),
            "times_the_first": statistics.median(seconds) / first,
        }
        for count, seconds in samples.items()
    ]


def _seconds(count: int) -> float:
    def predict(params, x):
        for layer in params:
            x = jnp.tanh(x @ layer["w"].T + layer["b"])
        return x

    objective = qn.Objective(predict, lambda z, y: jnp.sum((z - y) ** 2, axis=-1))
    params = [{"w": normal(k, WIDTH, WIDTH, scale=0.25), "b": jnp.zeros(WIDTH)} for k in range(count)]
    batch = normal(90, EXAMPLES, WIDTH), normal(91, EXAMPLES, WIDTH)
    optimizer = qn.newton(objective, partition=qn.per_layer, solver=qn.Cholesky())
    gradient, state = jax.grad(objective)(params, batch), optimizer.init(params)

    def step(gradient, state, params, batch):
        return optimizer.update(gradient, state, params, batch=batch)

    jax.clear_caches()
    start = time.perf_counter()
    jax.jit(step).lower(gradient, state, params, batch).compile()
    return time.perf_counter() - start

"""Seconds to compile a training step and to run it, with the batch closed over against the batch as an argument.

The network 784-16-16-10 on 1,438 random images, as a notebook would train it. Each optimizer is compiled both ways, the
two in turn `--repeats` times, from a lowering of its own each time; ratios are those of the least seconds. Before the
batch was kept behind a barrier, XLA folded its products while compiling: 4.8 times the seconds for `cg_kfac`.

    .venv/bin/python benchmarks/closed_over.py

The last line of the output is one JSON object.
"""

import argparse
import json
import time
from typing import Any

import jax
import jax.numpy as jnp
import optax

import qnewton as qn

SIZES, EXAMPLES, RUNS = (784, 16, 16, 10), 1438, 5


def predict(params: Any, x: jax.Array) -> jax.Array:
    for layer in params[:-1]:
        x = jax.nn.relu(x @ layer["w"] + layer["b"])
    return x @ params[-1]["w"] + params[-1]["b"]


def problem() -> tuple[qn.Objective, Any, Any]:
    keys = jax.random.split(jax.random.key(0), len(SIZES))
    params = [
        {"w": jax.random.normal(key, (i, o)) / i**0.5, "b": jnp.zeros(o)}
        for key, i, o in zip(keys, SIZES[:-1], SIZES[1:], strict=False)
    ]
    batch = jax.random.normal(keys[-1], (EXAMPLES, SIZES[0])), jnp.arange(EXAMPLES) % SIZES[-1]
    return qn.Objective(predict, optax.softmax_cross_entropy_with_integer_labels), params, batch


def optimizers(objective: qn.Objective) -> dict[str, Any]:
    return {
        "cg_kfac": qn.newton(objective, solver=qn.CG(rtol=0.5, preconditioner=qn.KFAC()), residual_tolerance=0.9),
        "kfac": qn.kfac(objective),
        "fisher_newton": qn.fisher_newton(objective),
        "minres_hessian": qn.newton(objective, curvature=qn.Hessian(), solver=qn.MINRES()),
    }


def measure(optimizer: Any, objective: qn.Objective, params: Any, batch: Any, repeats: int) -> dict[str, float]:
    def step(params: Any, state: Any, batch: Any) -> Any:
        return optimizer.update(jax.grad(objective)(params, batch), state, params, batch=batch)

    state = optimizer.init(params)
    ways = {
        "argument": (step, (params, state, batch)),
        "closed_over": (lambda p, s: step(p, s, batch), (params, state)),
    }
    compiling: dict[str, list[float]] = {name: [] for name in ways}
    running: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, (function, arguments) in ways.items():
            start = time.perf_counter()
            compiled = jax.jit(lambda *given, function=function: function(*given)).lower(*arguments).compile()
            compiling[name].append(time.perf_counter() - start)
            jax.block_until_ready(compiled(*arguments))
            for _ in range(RUNS):
                start = time.perf_counter()
                jax.block_until_ready(compiled(*arguments))
                running[name].append(time.perf_counter() - start)
    found = {f"compile_seconds_{name}": round(min(seconds), 3) for name, seconds in compiling.items()}
    found["compile_ratio"] = round(min(compiling["closed_over"]) / min(compiling["argument"]), 3)
    found["step_ratio"] = round(min(running["closed_over"]) / min(running["argument"]), 3)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=2)
    repeats = parser.parse_args().repeats
    objective, params, batch = problem()
    results = {}
    for name, optimizer in optimizers(objective).items():
        results[name] = measure(optimizer, objective, params, batch, repeats)
        print(name, results[name], flush=True)
    worst = max(result["compile_ratio"] for result in results.values())
    print(json.dumps({"benchmark": "closed_over", "worst_compile_ratio": worst, "optimizers": results}))


if __name__ == "__main__":
    main()

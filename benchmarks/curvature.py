"""What finding the layers buys: blocks formed with and without structure, and the matrix product that bounds both.

On `digits-mlp`, full batch: the joint Gauss-Newton system and the first exact Hessian block per tensor. Beside them
stands one matrix product with the operations of the structured joint block. Median seconds of five calls, each waited
for; compilation apart. Prints one JSON object.

    .venv/bin/python benchmarks/curvature.py
"""

import json
import time
from typing import Any

import jax
import jax.numpy as jnp

import qnewton as qn
from qnewton._hardware import describe_machine, median_seconds
from qnewton.lab._experiments.tasks import make_task


def main() -> None:
    task = make_task("digits-mlp", "float32")
    params, batch = task.init(jax.random.key(0)), task.train.batch
    (joint,), first = qn.whole(params), qn.per_tensor(params)[0]
    cases = {
        "gauss_newton_whole": (qn.GaussNewton(structure=True), qn.GaussNewton(structure=False), joint),
        "hessian_first_tensor": (qn.Hessian(structure=True), qn.Hessian(structure=False), first),
    }
    result: dict[str, Any] = {"benchmark": "curvature", "task": task.name, "machine": describe_machine()}
    for name, (structured, plain, block) in cases.items():
        figures = {}
        for way, curvature in (("structured", structured), ("plain", plain)):

            def form(p, b, curvature=curvature, block=block):
                return curvature.form(task.objective, p, b, block).matrix

            start = time.perf_counter()
            compiled = jax.jit(form).lower(params, batch).compile()
            figures[f"measured_compile_seconds_{way}"] = time.perf_counter() - start
            figures[f"measured_seconds_{way}"] = median_seconds(lambda c=compiled: c(params, batch), 5, 10)
        figures["speedup"] = figures["measured_seconds_plain"] / figures["measured_seconds_structured"]
        result[name] = {"n": block.n, **figures}

    rows = jnp.ones((len(task.train), joint.n))
    product = jax.jit(lambda a: a.T @ a)
    result["measured_seconds_product_of_joint_size"] = median_seconds(lambda: product(rows), 5, 10)
    print(json.dumps(result))


if __name__ == "__main__":
    main()

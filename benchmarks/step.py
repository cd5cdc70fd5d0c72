"""One Newton step of the published network, ours against the plain way that a careful user would write.

MLP 784-16-16-10 with ReLU, batch 1,024, exact Hessian, one block per tensor, damped by 5e-3 max|H|, nothing pruned. The
plain way is jitted `jax.hessian` per tensor and `jnp.linalg.solve`. Ours: `dense` (Cholesky), `cg_1e-3`, `cg_1e-6`
(conjugate gradients with K-FAC and EKFAC preconditioners), and `cg_plain_1e-3` without. Every way runs in a process of
its own, so that its peak memory is its own; seconds are medians, compilation apart and each call waited for. The images
are scikit-learn's digits, enlarged to 20 x 20 and framed to 28 x 28 as MNIST's are: 399 of the 784 inputs are ever on.

`step_error` is the largest relative error of a tensor's step (dense, and CG to 1e-6) against float64 conjugate
gradients to 1e-12 on plain Hessian-vector products. CG to 1e-3 is judged by its residuals and by the decrease of the
quadratic model. With `--published`, the way of Q-Newton's code is timed as well: the full Hessian, a sort of every row,
and the inverse of each block.

    .venv/bin/python benchmarks/step.py

The last line of the output is one JSON object.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import qnewton as qn
from qnewton._conditioning import condition
from qnewton._curvature import Point
from qnewton._hardware import describe_machine
from qnewton._optim.stages import leaves_unformed, solve_block

BATCH, SIZES, DAMPING = 1024, (784, 16, 16, 10), 5e-3
OURS = {
    "dense": qn.Cholesky(),
    "cg_1e-3": qn.CG(rtol=1e-3, preconditioner=qn.KFAC()),
    "cg_1e-6": qn.CG(rtol=1e-6, preconditioner=qn.EKFAC()),
    "cg_plain_1e-3": qn.CG(rtol=1e-3),
}
REPEATS = {"plain": 1, "published": 1, "dense": 3}


def predict(params, x):
    for layer in params[:-1]:
        x = jax.nn.relu(x @ layer["weight"].T + layer["bias"])
    return x @ params[-1]["weight"].T + params[-1]["bias"]


def cross_entropy(logits, labels):
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1)[:, 0]


OBJECTIVE = qn.Objective(predict, cross_entropy)


def problem(dtype: str = "float32") -> tuple[Any, Any]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = jax.image.resize(jnp.asarray(digits.images[:BATCH] / 16, jnp.float32), (BATCH, 20, 20), "linear")
    x = jnp.pad(images, ((0, 0), (4, 4), (4, 4))).reshape(BATCH, 784)
    keys = jax.random.split(jax.random.key(0), len(SIZES) - 1)
    params = [
        {
            "weight": jax.random.normal(key, (out, width), jnp.float32) * np.sqrt(2 / width),
            "bias": jnp.zeros(out, jnp.float32),
        }
        for key, width, out in zip(keys, SIZES[:-1], SIZES[1:], strict=True)
    ]
    cast = jax.tree.map(lambda leaf: leaf.astype(dtype), (params, x))
    return cast[0], (cast[1], jnp.asarray(digits.target[:BATCH]))


# The ways ------------------------------------------------------------------------------------------------------------


def ours(solver) -> Callable:
    def step(params, batch):
        gradients = jax.grad(OBJECTIVE)(params, batch)
        point = Point.of(OBJECTIVE, params, batch)
        directions, infos = [], []
        for block in qn.per_tensor(params):
            system = qn.Hessian(chunk_bytes=2**28).system(point, block)
            if not leaves_unformed(solver, system):
                system = system.formed()
            damped = condition((qn.Damp(DAMPING),), system, jnp.ones(()))
            direction, info = solve_block(solver, damped, block.take(gradients), 0.1)
            point = point.after(direction)
            directions.append(direction)
            infos.append((info.relative_residual, info.iterations, info.damping))
        return directions, infos

    return step


def blocks_by_hand(params, batch):
    leaves, tree = jax.tree.flatten(params)
    for k, leaf in enumerate(leaves):

        def loss(vector, k=k, leaf=leaf):
            return OBJECTIVE(
                jax.tree.unflatten(tree, [*leaves[:k], vector.reshape(leaf.shape), *leaves[k + 1 :]]), batch
            )

        yield loss, leaf.ravel()


def plain(params, batch):
    directions, infos = [], []
    for loss, vector in blocks_by_hand(params, batch):
        hessian, gradient = jax.hessian(loss)(vector), jax.grad(loss)(vector)
        damping = DAMPING * jnp.max(jnp.abs(hessian))
        matrix = hessian + damping * jnp.eye(vector.size)
        directions.append(jnp.linalg.solve(matrix, gradient))
        infos.append((jnp.linalg.norm(matrix @ directions[-1] - gradient) / jnp.linalg.norm(gradient), 0, damping))
    return directions, infos


def published(params, batch):
    flat, unravel = jax.flatten_util.ravel_pytree(params)
    full = jax.hessian(lambda w: OBJECTIVE(unravel(w), batch))(flat)
    gradient = jax.grad(lambda w: OBJECTIVE(unravel(w), batch))(flat)
    directions, infos, start = [], [], 0
    for leaf in jax.tree.leaves(params):
        own = slice(start, start + leaf.size)
        start += leaf.size
        damping = DAMPING * jnp.max(jnp.abs(full[own, own]))
        matrix = full[own, own] + damping * jnp.eye(leaf.size)
        order = jnp.argsort(jnp.abs(matrix), axis=1)
        # A keep ratio of 1: everything is sorted and scattered back, nothing is lost.
        kept = (
            jnp.zeros_like(matrix)
            .at[jnp.arange(leaf.size)[:, None], order]
            .set(jnp.take_along_axis(matrix, order, axis=1))
        )
        directions.append(jnp.linalg.inv(kept) @ gradient[own])
        infos.append((jnp.zeros(()), 0, damping))
    return directions, infos


def reference(dampings: list[float]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Float64 steps and gradients, on plain Hessian-vector products."""
    from scipy.sparse.linalg import LinearOperator, cg

    params, batch = problem("float64")
    steps, gradients = [], []
    for (loss, vector), damping in zip(blocks_by_hand(params, batch), dampings, strict=True):
        product = jax.jit(lambda v, loss=loss, w=vector: jax.jvp(jax.grad(loss), (w,), (v,))[1])
        gradient = np.asarray(jax.grad(loss)(vector))
        operator = LinearOperator(
            (vector.size, vector.size),
            matvec=lambda v, product=product, damping=damping: (
                np.asarray(product(jnp.asarray(v.ravel()))) + damping * v
            ),
            dtype=np.float64,
        )
        solution, failed = cg(operator, gradient, rtol=1e-12, atol=0, maxiter=20_000)
        assert failed == 0, "the reference did not converge"
        steps.append(solution)
        gradients.append(gradient)
    return steps, gradients


# Running -------------------------------------------------------------------------------------------------------------


def child(way: str, file: Path, threads: int) -> None:
    from threadpoolctl import threadpool_limits

    params, batch = problem()
    function = jax.jit({"plain": plain, "published": published}.get(way) or ours(OURS[way]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    with threadpool_limits(threads, user_api="blas"):
        start = time.perf_counter()
        compiled = function.lower(params, batch).compile()
        compile_seconds = time.perf_counter() - start
        directions, infos = jax.block_until_ready(compiled(params, batch))
        seconds = []
        for _ in range(REPEATS.get(way, 15)):
            start = time.perf_counter()
            jax.block_until_ready(compiled(params, batch))
            seconds.append(time.perf_counter() - start)
    planned = compiled.memory_analysis()
    np.savez(file, *[np.asarray(d) for d in directions])
    print(
        json.dumps(
            {
                "measured_seconds": float(np.median(seconds)),
                "measured_compile_seconds": compile_seconds,
                "measured_peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before,
                "planned_bytes": planned.temp_size_in_bytes + planned.output_size_in_bytes,
                "relative_residuals": [float(info[0]) for info in infos],
                "iterations": [int(info[1]) for info in infos],
                "dampings": [float(info[2]) for info in infos],
            }
        )
    )


def run(way: str, folder: Path, threads: int) -> tuple[dict[str, Any], list[np.ndarray]]:
    print(f"{way} ...", file=sys.stderr, flush=True)
    file = folder / f"{way}.npz"
    command = [sys.executable, __file__, "--child", way, "--file", str(file), "--threads", str(threads)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    arrays = np.load(file)
    return json.loads(done.stdout.splitlines()[-1]), [arrays[name] for name in arrays.files]


def errors(directions: list[np.ndarray], exact: list[np.ndarray]) -> list[float]:
    return [float(np.linalg.norm(d - e) / np.linalg.norm(e)) for d, e in zip(directions, exact, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--published", action="store_true", help="time the way of the published code as well")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="BLAS threads, for every way")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.file, options.threads)
        return
    load = os.getloadavg()[0]
    ways = ["plain", *OURS, *(["published"] if options.published else [])]
    with tempfile.TemporaryDirectory() as folder:
        results = {way: run(way, Path(folder), options.threads) for way in ways}
    figures = {way: figure for way, (figure, _) in results.items()}
    with jax.enable_x64(True):
        exact, gradients = reference(figures["plain"]["dampings"])
    for way, (_, directions) in results.items():
        figures[way]["step_errors"] = errors(directions, exact)
        # Decrease of the damped model over the best possible: 1 - (error in the energy norm / step's)^2.
        figures[way]["model_decrease"] = [
            float(2 * g @ d - d @ _damped(k, d, figures["plain"]["dampings"])) / float(g @ e)
            for k, (g, d, e) in enumerate(zip(gradients, directions, exact, strict=True))
        ]
    seconds = {way: figure["measured_seconds"] for way, figure in figures.items()}
    print(
        json.dumps(
            {
                "benchmark": "step",
                "machine": describe_machine(),
                "load_at_start": load,
                "blas_threads": options.threads,
                "dense_speedup": seconds["plain"] / seconds["dense"],
                "iterative_speedup": seconds["plain"] / min(seconds["cg_1e-3"], seconds["cg_plain_1e-3"]),
                "memory_ratio": figures["plain"]["measured_peak_bytes"] / figures["dense"]["measured_peak_bytes"],
                "step_error": max(*figures["dense"]["step_errors"], *figures["cg_1e-6"]["step_errors"]),
                "ways": figures,
            }
        )
    )


def _damped(block: int, direction: np.ndarray, dampings: list[float]) -> np.ndarray:
    with jax.enable_x64(True):
        params, batch = problem("float64")
        loss, vector = list(blocks_by_hand(params, batch))[block]
        direction = direction.astype(np.float64)
        return (
            np.asarray(jax.jvp(jax.grad(loss), (vector,), (jnp.asarray(direction),))[1]) + dampings[block] * direction
        )


if __name__ == "__main__":
    main()

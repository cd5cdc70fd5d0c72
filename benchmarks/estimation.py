"""How close each estimator comes on damped Gauss-Newton blocks, and what the default costs beside a Cholesky.

Accuracy: dense, convolutional and attending networks on the 8x8 digits under cross-entropy and squares, as initialised
and trained for 60 steps of Adam, per tensor and whole, damped by r max|H| with r from 0.5 to 5e-4; float32 as the
library runs, against `numpy.linalg.eigvalsh` in float64 of the very matrix that was estimated. Seeds 100 to 102, on
which nothing was chosen. Per estimator: the share of blocks within 5 %, the worst ratios to the truth, how often a
bound was below it, and the products that it took.

Cost: measured seconds, medians of interleaved repetitions, of one estimate, of the mean over the ten steps that
`Reuse()` makes it serve, and of one Cholesky factorisation: formed blocks of about 1,000 and 4,000 rows, and the first
layer of 784-16 (n = 12,544), which stays unformed and is compared with the Cholesky of a matrix of its size.

Prints one JSON object as its last line.

    .venv/bin/python benchmarks/estimation.py [--seeds 3]
"""

import argparse
import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from estimation_parts.models import LOSSES, cases, dense, trained
from sklearn.datasets import load_digits

import qnewton as qn
from qnewton._conditioning import condition
from qnewton._core.records import System
from qnewton._curvature import Point
from qnewton._hardware import describe_machine

DAMPINGS = (0.5, 5e-2, 5e-3, 5e-4)
EXAMPLES = 1024
ESTIMATORS = {
    "default": qn.estimators.Automatic(),
    "certified": qn.estimators.Certified(),
    "probabilistic": qn.estimators.ProbabilisticLanczos(),
    "lanczos": qn.estimators.Lanczos(),
    "inverse-lanczos": qn.estimators.InverseLanczos(),
    "hager-higham": qn.estimators.HagerHigham(),
}
REPEATS = 7


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    seeds = range(100, 100 + parser.parse_args().seeds)
    inputs, targets = load_digits(return_X_y=True)
    batch = jnp.asarray(inputs[:EXAMPLES] / 16, jnp.float32), jnp.asarray(targets[:EXAMPLES], jnp.int32)
    result = {
        "benchmark": "estimation",
        "machine": describe_machine(),
        "accuracy": accuracy(seeds, batch),
        "cost": cost(batch),
    }
    print(json.dumps(result))


def accuracy(seeds: range, batch: Any) -> dict[str, Any]:
    ratios, matvecs, kinds = defaultdict(list), defaultdict(list), {}
    estimate = eqx.filter_jit(lambda estimator, system: estimator(system))
    # The batch is an argument: of a constant XLA works half of the block out while compiling, which takes minutes.
    form = eqx.filter_jit(
        lambda objective, params, batch, block: qn.GaussNewton().form(objective, params, batch, block)
    )
    blocks_seen = 0
    for seed in seeds:
        for name, objective, params in cases(seed, batch):
            blocks = {block.n: block for block in (*qn.per_tensor(params), *qn.whole(params))}
            for block in blocks.values():
                raw = form(objective, params, batch, block)
                for relative in DAMPINGS:
                    system = condition((qn.Damp(relative),), raw, jnp.ones(()))
                    truth = np.linalg.eigvalsh(np.asarray(system.matrix, np.float64))
                    blocks_seen += 1
                    for label, estimator in ESTIMATORS.items():
                        found = estimate(estimator, system)
                        ratios[label].append(float(found.condition_number) * truth[0] / truth[-1])
                        matvecs[label].append(int(found.matvecs))
                        kinds[label] = found.kind.value
            print(f"seed {seed}: {name}", file=sys.stderr)
    return {
        "systems": blocks_seen,
        **{label: _summary(kinds[label], np.array(ratios[label]), matvecs[label]) for label in ESTIMATORS},
    }


def _summary(kind: str, ratios: np.ndarray, matvecs: list[int]) -> dict[str, Any]:
    finite = ratios[np.isfinite(ratios)]
    return {
        "kind": kind,
        "within_5_percent": float(np.mean(np.abs(ratios - 1) <= 0.05)),
        "lowest_ratio": float(finite.min()),
        "median_ratio": float(np.median(ratios)),
        "highest_ratio": float(finite.max()),
        "below_truth": int(np.sum(ratios < 1 - 1e-6)),
        "infinite": int(np.sum(~np.isfinite(ratios))),
        "median_matvecs": statistics.median(matvecs),
    }


def cost(batch: Any) -> dict[str, Any]:
    found = {}
    for label, widths in (("n_1000", (64, 16, 16, 10)), ("n_4000", (64, 48, 16, 10))):
        objective, params = _network(widths, batch)
        block = qn.per_tensor(params)[1] if label == "n_1000" else qn.whole(params)[0]
        raw = qn.GaussNewton().form(objective, params, batch, block)
        found[label] = _beside_cholesky(raw, raw.matrix, REPEATS)
    wide = jnp.asarray(_enlarged(np.asarray(batch[0]))), batch[1]
    objective, params = _network((784, 16, 10), wide)
    block = qn.per_tensor(params)[1]
    raw = qn.GaussNewton().system(Point.of(objective, params, wide), block)
    # Any definite matrix of its size: the block itself need not be formed, which costs more than its factor.
    stand_in = jnp.asarray(np.random.default_rng(0).standard_normal((block.n, 64)), jnp.float32)
    found["unformed"] = _beside_cholesky(raw, stand_in @ stand_in.T, 3)
    return found


def _network(widths: tuple[int, ...], batch: Any) -> tuple[qn.Objective, Any]:
    params, predict = dense(jax.random.key(100), widths)
    objective = qn.Objective(predict, LOSSES["cross-entropy"])
    return objective, trained(objective, params, batch)


def _enlarged(inputs: np.ndarray) -> np.ndarray:
    """20 x 20 in a frame of 28 x 28, as MNIST's digits are."""
    images = inputs.reshape(-1, 8, 8)
    places = np.arange(20) * 8 // 20
    return np.pad(images[:, places][:, :, places], ((0, 0), (4, 4), (4, 4))).reshape(len(images), -1)


def _beside_cholesky(raw: System, matrix: Any, repeats: int) -> dict[str, Any]:
    n = raw.like.shape[0]
    system = condition((qn.Damp(5e-3),), raw, jnp.ones(()))
    damped = jax.block_until_ready(matrix + 5e-3 * jnp.max(jnp.abs(matrix)) * jnp.eye(n, dtype=matrix.dtype))
    reuse = qn.estimators.Reuse()
    # The arrays are arguments, as they are of a step: a constant could be worked on while compiling.
    arrays, rest = eqx.partition(system, eqx.is_array)
    factor = jax.jit(jnp.linalg.cholesky)
    estimate = jax.jit(lambda a: qn.estimators.Automatic()(eqx.combine(a, rest)))
    step = jax.jit(lambda a, remembered: reuse.after(eqx.combine(a, rest), remembered))

    def period() -> Any:
        remembered = reuse.init(system.like.dtype)
        for _ in range(reuse.max_age):
            estimate, remembered = jax.block_until_ready(step(arrays, remembered))
        return estimate

    found = jax.block_until_ready(estimate(arrays))
    ways = {"cholesky": lambda: factor(damped), "estimate": lambda: estimate(arrays), "period": period}
    seconds = _interleaved(ways, repeats)
    amortised = seconds["period"] / reuse.max_age
    return {
        "n": n,
        "matvecs": int(found.matvecs),
        "condition_number": float(found.condition_number),
        "measured_seconds_cholesky": seconds["cholesky"],
        "measured_seconds_estimate": seconds["estimate"],
        "measured_seconds_amortised": amortised,
        "refresh_period": reuse.max_age,
        "estimate_over_cholesky": seconds["estimate"] / seconds["cholesky"],
        "amortised_over_cholesky": amortised / seconds["cholesky"],
    }


def _interleaved(ways: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    samples = defaultdict(list)
    for turn in range(repeats + 1):
        for name, run in ways.items():
            start = time.perf_counter()
            jax.block_until_ready(run())
            if turn:  # the first compiles
                samples[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in samples.items()}


if __name__ == "__main__":
    main()

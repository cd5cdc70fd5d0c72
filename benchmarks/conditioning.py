"""What conditioning does to the encoded condition number of a block, and to the step that it gives.

Blocks: `conditioning_parts/blocks.py`, float64, Gauss-Newton, damped by 5e-3 max|H|; perceptrons with ReLU and tanh, a
convolutional network, an attention head whose four matrices are one block, and an autoencoder, each at several points
of its training. The presets' constants were fitted on seed 0 of the perceptrons and the autoencoder; the seeds here are
others. Everything is judged by dense numpy in `conditioning_parts/judge.py`.

Per method: the encoded condition number alpha / sigma_min for sparse access, and how many times below the un-pruned
damped block that is (`gain`); the model decrease of the one-shot step at optimal length; the outer steps of CG on the
exact block until 0.9 and 0.99, times the condition number (`total`); and what fraction of blocks gets there. Beside
them: the best encoding of the un-pruned block (`baseline`), the fair control (only raising the damping, the best per
block), and the classical twin (`diagonal`: the same basis and CG, d = 1, nothing quantum to solve).

Charged: forming the conditioned matrix (measured seconds, beside those of one Cholesky solve of the exact block), and
read-outs (`readout_queries`: outer steps to 0.99, times n / 0.1^2 states for an l2 error of 0.1, times the queries of
`jennings2023v1` per state).

    .venv/bin/python benchmarks/conditioning.py [--seeds 1 2] [--networks relu ...] [--blocks FILE] [--large]

`--blocks` writes every block's figures, and goes on where an earlier run left them; `--large` times the paper's pruning
of a matrix with N = 12,544 against one Cholesky factorisation of it (9 GiB). The last line of the output is one JSON
object.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from conditioning_parts.blocks import Sample, samples
from conditioning_parts.judge import TARGETS, Exact, encodings, outer_steps, solver_of

import qnewton as qn
from qnewton._conditioning import condition
from qnewton._hardware import describe_machine
from qnewton._optim.stages import solve_block

DAMP, READOUT_ERROR, PRECISION = qn.Damp(5e-3), 0.1, 1e-2
NETWORKS = ("relu", "tanh", "conv", "attention", "ae")
KFAC = (qn.conditioning.Rotate(strict=False), qn.conditioning.WhitenOutputs(strict=False))
METHODS = {
    "none": qn.conditioning.preset("none"),
    "tight": qn.conditioning.preset("tight"),
    "balanced": qn.conditioning.preset("balanced"),
    "loose": qn.conditioning.preset("loose"),
    "matching": qn.conditioning.preset("matching"),
    "diagonal": qn.conditioning.preset("diagonal"),
    "cliques_4": (DAMP, *KFAC, qn.conditioning.Cliques(4)),
    "jacobi": (DAMP, qn.ScaleDiagonal(), qn.conditioning.Threshold(0.01), qn.conditioning.ShiftTo(0.05)),
    "ekfac": (
        DAMP,
        qn.conditioning.Rotate(strict=False),
        qn.ScaleDiagonal(),
        qn.conditioning.Threshold(0.01),
        qn.conditioning.ShiftTo(0.05),
    ),
    "neuron": (
        DAMP,
        qn.conditioning.WhitenOutputs(strict=False),
        qn.conditioning.Threshold(0.01),
        qn.conditioning.ShiftTo(0.05),
    ),
    "compensated": (DAMP, *KFAC, qn.conditioning.Threshold(0.01), qn.conditioning.Compensate()),
    "paper_0.5": qn.conditioning.preset("paper", keep=0.5),
    "paper_0.25": qn.conditioning.preset("paper", keep=0.25),
}
ONE_SHOT = ("tight", "balanced", "loose", "jacobi", "ekfac", "neuron", "compensated", "paper_0.5", "paper_0.25")
CORRECTED = qn.Correction(max_steps=60)
CERTIFIED = jax.jit(lambda system, g: solve_block(qn.Cholesky(), system, g, 0.1, correction=CORRECTED))


def queries(kappa: float) -> float:
    one = jnp.ones(())
    return float(qn.queries.jennings2023v1(qn.solvers.Encoding(kappa * one, one), PRECISION).queries)


def readout_queries(steps: int | None, degree: int, n: int, kappa: float) -> float | None:
    if degree == 1:
        return 0.0  # nothing quantum to solve
    return None if steps is None else steps * n / READOUT_ERROR**2 * queries(kappa)


def judged(sample: Sample) -> dict[str, Any]:
    """One block's figures, per method."""
    one = jnp.ones(())
    damped = np.asarray(DAMP(sample.system, one).matrix)
    gradient = np.asarray(sample.gradient)
    exact = Exact.of(damped, gradient)
    unpruned = exact.unpruned()
    start = time.perf_counter()
    np.linalg.cholesky(damped)
    figures: dict[str, Any] = {
        "n": len(damped),
        "kappa": float(exact.values[-1] / exact.values[0]),
        "unpruned": unpruned,
        "baseline": min(unpruned.values()),
        "control": {str(target): exact.raised_damping(target) for target in TARGETS},
        "measured_cholesky_seconds": time.perf_counter() - start,
        "methods": {},
    }
    for name, conditioners in METHODS.items():
        # Twice: the first call may compile.
        jax.block_until_ready(condition(conditioners, sample.system, one).matrix)
        start = time.perf_counter()
        system = condition(conditioners, sample.system, one)
        jax.block_until_ready(system.matrix)
        seconds = time.perf_counter() - start
        figures["methods"][name] = judged_method(name, system, exact, unpruned["sparse"], seconds)
    return figures


def judged_method(
    name: str, system: qn.curvature.System, exact: Exact, unpruned: float, seconds: float
) -> dict[str, Any]:
    matrix, coordinates = np.asarray(system.matrix), system.coordinates
    values = np.linalg.eigvalsh(matrix)
    encoded = encodings(matrix, float(np.min(np.abs(values))))
    solve = solver_of(matrix)
    into, back = coordinates.into, coordinates.back

    def precondition(vector: np.ndarray) -> np.ndarray:
        return np.asarray(back(jnp.asarray(solve(np.asarray(into(jnp.asarray(vector)))))))

    step = precondition(exact.gradient)
    steps = outer_steps(exact.matrix, exact.gradient, exact.best, precondition) if values[0] > 0 else {}
    kappa = encoded["sparse"]
    to_last = steps.get(str(TARGETS[-1]))
    degree = int(np.max(np.count_nonzero(matrix, axis=1)))
    found = {
        "encoded": encoded,
        "gain": unpruned / kappa,
        "degree": degree,
        "negative": int(np.sum(values <= 0)),
        "decrease": exact.decrease(step),
        "cosine": float(step @ exact.step / np.linalg.norm(step) / np.linalg.norm(exact.step)),
        "residual": float(np.linalg.norm(exact.matrix @ step - exact.gradient) / np.linalg.norm(exact.gradient)),
        "outer_steps": steps,
        "total": {key: None if count is None else count * kappa for key, count in steps.items()},
        "readout_queries": readout_queries(to_last, degree, len(matrix), kappa),
        "measured_forming_seconds": seconds,
    }
    if name in ("matching", "diagonal"):
        x, info = CERTIFIED(system, jnp.asarray(exact.gradient))
        found["certified"] = {
            "outer_steps": int(info.outer_steps),
            "total": int(info.outer_steps) * kappa,
            "proven": float(info.proven_decrease),
            "decrease": float(2 * exact.gradient @ np.asarray(x) - x @ exact.matrix @ np.asarray(x)) / exact.best,
        }
    return found


# Tables --------------------------------------------------------------------------------------------------------------


def spread(values: list[float | None]) -> list[float] | None:
    """Least, median and largest; a block that never got there counts as infinite."""
    numbers = [np.inf if value is None else value for value in values]
    return [min(numbers), statistics.median(numbers), max(numbers)] if numbers else None


def summary(blocks: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Per method: least, median and largest over the blocks, and fractions of blocks."""
    table: dict[str, Any] = {}
    for name in METHODS:
        rows = [block["methods"][name] for block in blocks.values()]
        table[name] = {
            "gain": spread([row["gain"] for row in rows]),
            "gain_over_baseline": spread(
                [b["baseline"] / min(r["encoded"].values()) for b, r in zip(blocks.values(), rows, strict=True)]
            ),
            "kappa_sparse": spread([row["encoded"]["sparse"] for row in rows]),
            "kappa_lcu": spread([row["encoded"]["lcu"] for row in rows]),
            "degree": spread([row["degree"] for row in rows]),
            "indefinite": sum(row["negative"] > 0 for row in rows),
            "decrease": spread([row["decrease"] for row in rows]),
            "cosine": spread([row["cosine"] for row in rows]),
            "residual": spread([row["residual"] for row in rows]),
            "fraction_reaching": {str(t): fraction(row["decrease"] >= t for row in rows) for t in TARGETS},
            "outer_steps": {str(t): spread([row["outer_steps"].get(str(t)) for row in rows]) for t in TARGETS},
            "total": {str(t): spread([row["total"].get(str(t)) for row in rows]) for t in TARGETS},
            "readout_queries": spread([row["readout_queries"] for row in rows]),
            "forming_over_cholesky": spread(
                [
                    r["measured_forming_seconds"] / b["measured_cholesky_seconds"]
                    for b, r in zip(blocks.values(), rows, strict=True)
                ]
            ),
        }
        if "certified" in rows[0]:
            table[name]["certified"] = {
                key: spread([row["certified"][key] for row in rows]) for key in ("outer_steps", "total", "decrease")
            }
            table[name]["certificates_violated"] = sum(
                row["certified"]["proven"] > row["certified"]["decrease"] + 1e-9 for row in rows
            )
    table["control"] = {
        str(t): spread([b["unpruned"]["sparse"] / b["control"][str(t)] for b in blocks.values()]) for t in TARGETS
    }
    table["baseline"] = {
        "kappa": spread([b["baseline"] for b in blocks.values()]),
        "gain": spread([b["unpruned"]["sparse"] / b["baseline"] for b in blocks.values()]),
    }
    return table


def fraction(flags: Any) -> float:
    flags = list(flags)
    return sum(flags) / len(flags)


def verdict(blocks: dict[str, dict[str, Any]], table: dict[str, Any]) -> dict[str, Any]:
    """What the issue asks for, and who wins against whom."""
    best = {}
    for target in TARGETS:
        # A preset counts where its median block reaches the decrease.
        able = [n for n in ONE_SHOT if table[n]["decrease"][1] >= target and not table[n]["indefinite"]]
        top = max(able, key=lambda name: table[name]["gain"][1], default=None)
        best[str(target)] = None if top is None else {"preset": top, **table[top]}
    twin = [
        (b["methods"]["diagonal"]["total"].get("0.99") or np.inf)
        <= (b["methods"]["matching"]["total"].get("0.99") or np.inf)
        for b in blocks.values()
    ]
    return {
        "gain_at_0.99": best["0.99"] and best["0.99"]["gain"][1],
        "preset_at_0.99": best["0.99"] and best["0.99"]["preset"],
        "fraction_of_blocks_at_0.99": best["0.99"] and best["0.99"]["fraction_reaching"]["0.99"],
        "gain_at_0.9": best["0.9"] and best["0.9"]["gain"][1],
        "preset_at_0.9": best["0.9"] and best["0.9"]["preset"],
        "fraction_of_blocks_at_0.9": best["0.9"] and best["0.9"]["fraction_reaching"]["0.9"],
        "outer_total_d2_at_0.99": table["matching"]["total"]["0.99"][1],
        "outer_total_d2_certified": table["matching"]["certified"]["total"][1],
        "certificates_violated": table["matching"]["certificates_violated"],
        "classical_twin_wins": fraction(twin),
        "square_root_is_the_baseline": fraction(b["baseline"] == b["unpruned"]["square_root"] for b in blocks.values()),
    }


def families(blocks: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Gain and decrease (least, median, largest) of the presets, per network."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for network in dict.fromkeys(name.split("/")[0] for name in blocks):
        own = [block for name, block in blocks.items() if name.split("/")[0] == network]
        for method in ("tight", "balanced", "loose", "matching"):
            rows = [block["methods"][method] for block in own]
            found[network][method] = {key: spread([row[key] for row in rows]) for key in ("gain", "decrease")}
            found[network][method]["total_0.99"] = spread([row["total"].get("0.99") for row in rows])
    return dict(found)


def large(n: int = 12544) -> dict[str, float]:
    """Measured seconds of pruning a matrix to a half of its entries, and of one Cholesky factorisation of it.

    Medians of three interleaved repetitions after one that does not count.
    """
    x = jax.random.normal(jax.random.key(0), (n, n), jnp.float32)
    x = jax.jit(lambda x: jnp.tril(x) + jnp.tril(x, -1).T + 4 * n**0.5 * jnp.eye(n, dtype=x.dtype))(x)
    functions = {
        "prune": lambda m: qn.Prune(0.5)(qn.curvature.System.of(m, symmetric=True), jnp.ones(())).matrix,
        "cholesky": lambda m: jax.lax.linalg.cholesky(m, symmetrize_input=False),
    }
    programs = {name: jax.jit(function).lower(x).compile() for name, function in functions.items()}
    times = {name: [] for name in programs}
    for _ in range(4):
        for name, program in programs.items():
            start = time.perf_counter()
            jax.block_until_ready(program(x))
            times[name].append(time.perf_counter() - start)
    seconds = {name: statistics.median(own[1:]) for name, own in times.items()}
    return {
        "n": n,
        "measured_prune_seconds": seconds["prune"],
        "measured_cholesky_seconds": seconds["cholesky"],
        "prune_over_cholesky": seconds["prune"] / seconds["cholesky"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2], help="of the networks; none: only --large")
    parser.add_argument("--networks", nargs="*", default=NETWORKS, choices=NETWORKS)
    parser.add_argument("--blocks", type=Path, help="file with every block's figures")
    parser.add_argument("--large", action="store_true", help="prune N = 12,544 as well")
    options = parser.parse_args()
    result: dict[str, Any] = {"benchmark": "conditioning", "machine": describe_machine(), "load": os.getloadavg()[0]}
    if options.large:
        result["pruning_large"] = large()
    blocks = json.loads(options.blocks.read_text()) if options.blocks and options.blocks.exists() else {}
    with jax.enable_x64(True):
        for seed in options.seeds:
            for sample in samples(seed, options.networks, tuple(blocks)):
                print(f"{sample.name} n={sample.gradient.size}", file=sys.stderr, flush=True)
                blocks[sample.name] = judged(sample)
                if options.blocks:
                    options.blocks.write_text(json.dumps(blocks, indent=1))
    if blocks:
        table = summary(blocks)
        result |= {
            "seeds": options.seeds,
            "count": len(blocks),
            **verdict(blocks, table),
            "table": table,
            "per_network": families(blocks),
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main()

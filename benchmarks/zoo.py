"""What K-FAC covers of some thirty models, whether blocks are right, and what compiling a step takes beside Adam.

Coverage: the share of parameters in recognised layers, by construct, as `init` tells it, and why others are in none.

Blocks: the Gauss-Newton block of every parameter of at most 1,200 entries, as `GaussNewton` forms it in float64,
against the dense `sum_n J_n^T J_n / batch` by jax's own derivatives of the whole model; the largest difference relative
to the block's largest entry. Left out with `--no-blocks`.

Compile time (`--compile`): measured seconds of the first step of `qn.newton(objective, example=batch)`, gradient
included, over those of `optax.adam`; each is compiled once, in float32. On a machine with other work these are not
to be trusted beyond their order.

Prints one JSON object as its last line.

    .venv/bin/python benchmarks/zoo.py [--only seq2seq] [--no-blocks] [--compile]
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
from jaxtyping import PyTree
from zoo_parts import frameworks, plain
from zoo_parts.case import Case

import qnewton as qn

LARGEST_BLOCK = 1200
NOTHING = 1e-12
"""Of the largest entry of all blocks, what counts as none of a block."""
LEAST = 0.6
"""Coverage that no model may fall below."""


def coverage(case: Case) -> dict[str, Any]:
    """What K-FAC's state tells."""
    optimizer: Any = qn.kfac(case.objective, example=case.inputs)
    found = jax.eval_shape(optimizer.init, case.params).info.coverage
    total = found.parameters
    return {
        "parameters": total,
        "covered": round(found.share, 4),
        "layers": {name: round(size / total, 4) for name, size in found.constructs},
        "outside": {reason: round(size / total, 4) for reason, size in found.missing},
    }


def disagreement(make: Callable[[], Case]) -> float:
    """The largest difference of a block from the dense one, over the block's largest entry."""
    with jax.enable_x64(True):
        case = make()
        leaves, structure = jax.tree.flatten(case.params)
        count = len(jax.tree.leaves(case.inputs)[0])
        blocks = [one for one in qn.per_tensor(case.params) if one.n <= LARGEST_BLOCK]

        def outputs(chosen: list[jax.Array]) -> jax.Array:
            changed = dict(zip((block.leaves[0] for block in blocks), chosen, strict=True))
            return case.predict(
                jax.tree.unflatten(structure, [changed.get(k, x) for k, x in enumerate(leaves)]), case.inputs
            )

        def both(params: PyTree, chosen: list[jax.Array]) -> tuple[list[jax.Array], list[jax.Array]]:
            formed = [qn.GaussNewton().form(case.objective, params, case.batch, block).matrix for block in blocks]
            return jax.jacrev(outputs)(chosen), formed

        # Unoptimised: each program runs once.
        run = jax.jit(both, compiler_options={"xla_backend_optimization_level": 0})
        jacobians, formed = run(case.params, [leaves[block.leaves[0]] for block in blocks])
        rows = [np.asarray(one).reshape(-1, block.n) for one, block in zip(jacobians, blocks, strict=True)]
        dense = [one.T @ one / count for one in rows]
        largest = [float(np.max(np.abs(matrix))) for matrix in dense]
        # The offset of an attention's keys moves nothing: its block is made of rounding errors.
        scales = [max(own, NOTHING * max(largest)) for own in largest]
        worst = [
            float(np.max(np.abs(np.asarray(matrix) - wanted))) / scale
            for matrix, wanted, scale in zip(formed, dense, scales, strict=True)
        ]
    return max(worst)


def first_step(case: Case, optimizer: Any) -> float:
    """Measured seconds to compile and run one step, the gradient included."""
    batch = case.batch

    @jax.jit
    def step(params: Any, state: Any) -> Any:
        gradients = jax.grad(case.objective)(params, batch)
        updates, state = optimizer.update(gradients, state, params, batch=batch)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(case.params)
    start = time.perf_counter()
    jax.block_until_ready(step(case.params, state))
    return time.perf_counter() - start


def main() -> None:
    """Prints a line for each model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="models whose names hold this text")
    parser.add_argument("--no-blocks", action="store_true", help="leave the dense blocks out")
    parser.add_argument("--compile", action="store_true", help="measure the first steps of newton and Adam")
    options = parser.parse_args()
    results = {}
    for name, make in (frameworks.CASES | plain.CASES).items():
        if options.only not in name:
            continue
        case = make()
        found = coverage(case)
        if not options.no_blocks:
            found["worst_block"] = disagreement(make)
        if options.compile:
            adam = first_step(case, optax.with_extra_args_support(optax.adam(1e-3)))
            found["adam_s"], found["newton_s"] = adam, first_step(case, qn.newton(case.objective, example=case.batch))
            found["times_adam"] = found["newton_s"] / adam
        results[name] = found
        numbers = " ".join(f"{key} {value:.3g}" for key, value in found.items() if isinstance(value, float))
        print(f"{name:40} {numbers} {found['layers']} {found['outside'] or ''}", flush=True)
    low = sorted(name for name, found in results.items() if found["covered"] < LEAST)
    print(json.dumps({"models": results, "least": min(f["covered"] for f in results.values()), "below": low}))


if __name__ == "__main__":
    main()

"""What K-FAC covers of some thirty models, whether blocks are right, and what compiling a step takes beside Adam.

Coverage: the share of parameters in recognised layers, by construct, as `init` tells it, and why others are in none.

Blocks: the Gauss-Newton block of every parameter of at most 1,200 entries, as `GaussNewton` forms it in float64,
against the dense `sum_n J_n^T J_n / batch` by jax's own derivatives of the whole model; the largest difference relative
to the block's largest entry. Left out with `--no-blocks`.

Compile time (`--compile`): seconds of the processor to trace, lower and compile a step, gradient included, of
`qn.newton(objective, example=batch)` over those of `optax.adam`, in float32; jax's caches are cleared before each, and
other work on the machine disturbs the processor's seconds less than the clock. `--within` ends the list of models after
so many seconds; the median says of how many it is.

Prints one JSON object as its last line.

    .venv/bin/python benchmarks/zoo.py [--only seq2seq] [--no-blocks] [--compile] [--within 300]
"""

import argparse
import json
import statistics
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


def compile_seconds(case: Case, optimizer: Any) -> float:
    """Of the processor, for one step with its gradient."""
    state = optimizer.init(case.params)

    def step(params: Any, state: Any, batch: Any) -> Any:
        gradients = jax.grad(case.objective)(params, batch)
        updates, state = optimizer.update(gradients, state, params, batch=batch)
        return optax.apply_updates(params, updates), state

    jax.clear_caches()
    start = time.process_time()
    jax.jit(step).lower(case.params, state, case.batch).compile()
    return time.process_time() - start


def compile_times(case: Case) -> dict[str, float | str]:
    """Of both optimizers, and the family that newton chose."""
    newton = qn.newton(case.objective, example=case.batch)
    adam = compile_seconds(case, optax.with_extra_args_support(optax.adam(1e-3)))
    ours = compile_seconds(case, newton)
    family = jax.eval_shape(newton.init, case.params).info.family
    return {"adam_s": adam, "newton_s": ours, "times_adam": ours / adam, "family": family}


def main() -> None:
    """Prints a line for each model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="models whose names hold this text")
    parser.add_argument("--no-blocks", action="store_true", help="leave the dense blocks out")
    parser.add_argument("--compile", action="store_true", help="measure what newton's and Adam's steps take to compile")
    parser.add_argument("--within", type=float, default=float("inf"), help="seconds after which no model is begun")
    options = parser.parse_args()
    results, begun = {}, time.perf_counter()
    for name, make in (frameworks.CASES | plain.CASES).items():
        if options.only not in name or time.perf_counter() - begun > options.within:
            continue
        case = make()
        found = coverage(case)
        if not options.no_blocks:
            found["worst_block"] = disagreement(make)
        if options.compile:
            found |= compile_times(case)
        results[name] = found
        numbers = " ".join(f"{key} {value:.3g}" for key, value in found.items() if isinstance(value, float))
        print(f"{name:40} {numbers} {found['layers']} {found['outside'] or ''}", flush=True)
    low = sorted(name for name, found in results.items() if found["covered"] < LEAST)
    answer = {"models": results, "least": min(f["covered"] for f in results.values()), "below": low}
    if options.compile:
        ratios = [found["times_adam"] for found in results.values()]
        answer["compile"] = {"median_times_adam": statistics.median(ratios), "most": max(ratios), "of": len(ratios)}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()

"""What a change costs: compile and step time of ordinary trainings, this tree against the source of another commit.

    git archive COMMIT src | tar x -C /tmp/then
    .venv/bin/python benchmarks/against.py /tmp/then/src

Each optimizer's step (its gradient and its update, compiled together) runs on an MLP 64-16-16-10 with 256 digits, in a
process of its own for each tree, in turn, `--rounds` times. Compile seconds are processor time of tracing, lowering and
compiling, which other load disturbs less than the clock, the least of three; a step's are the mean of ten, two of which
refresh what is refreshed. A ratio is the median over rounds of now over then; its spread stands beside it.

The last line of the output is one JSON object.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent.parent / "src"
WAYS = (
    "newton_cholesky",
    "newton_cg",
    "newton_per_tensor",
    "kfac",
    "kfac_klclip",
    "dual_newton",
    "dual_newton_sampled",
)
SIZES, BATCH = (64, 16, 16, 10), 256


def optimizer(way: str, qn, objective):
    return {
        "newton_cholesky": lambda: qn.newton(objective, solver=qn.Cholesky()),
        "newton_cg": lambda: qn.newton(objective, solver=qn.CG(rtol=0.3, preconditioner=qn.KFAC())),
        "newton_per_tensor": lambda: qn.newton(objective, solver=qn.Cholesky(), partition=qn.per_tensor),
        "kfac": lambda: qn.kfac(objective),
        "kfac_klclip": lambda: qn.kfac(objective, step=qn.KLClip()),
        "dual_newton": lambda: qn.dual_newton(objective, sample=None),
        "dual_newton_sampled": lambda: qn.dual_newton(objective),
    }[way]()


def child(way: str) -> None:
    import jax
    import jax.numpy as jnp
    import optax
    from sklearn.datasets import load_digits

    import qnewton as qn

    def predict(params, x):
        for weight, bias in params[:-1]:
            x = jnp.tanh(x @ weight + bias)
        weight, bias = params[-1]
        return x @ weight + bias

    def loss(logits, labels):
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels)

    objective = qn.Objective(predict, loss)
    x, y = load_digits(return_X_y=True)
    batch = jnp.asarray(x[:BATCH] / 16, jnp.float32), jnp.asarray(y[:BATCH])
    keys = jax.random.split(jax.random.key(0), len(SIZES) - 1)
    params = [
        (jax.random.normal(k, (i, o), jnp.float32) / i**0.5, jnp.zeros(o, jnp.float32))
        for k, i, o in zip(keys, SIZES[:-1], SIZES[1:], strict=True)
    ]
    opt = optimizer(way, qn, objective)
    state = opt.init(params)

    def step(params, state, batch):
        gradient = jax.grad(objective)(params, batch)
        update, state = opt.update(gradient, state, params, batch=batch)
        return optax.apply_updates(params, update), state

    def compile_it():
        jax.clear_caches()
        start = time.process_time()
        traced = jax.jit(step).lower(params, state, batch)
        lowered = time.process_time()
        compiled = traced.compile()
        return (time.process_time() - start, lowered - start), f"{traced.as_text()}", compiled

    tries = [compile_it() for _ in range(3)]
    (compile_seconds, trace_seconds), text, compiled = min(tries, key=lambda found: found[0])
    params, state = jax.block_until_ready(compiled(params, state, batch))
    turns = []
    for _ in range(3):
        begin = time.perf_counter()
        for _ in range(10):
            params, state = compiled(params, state, batch)
        jax.block_until_ready(params)
        turns.append((time.perf_counter() - begin) / 10)
    print(
        json.dumps(
            {
                "trace": trace_seconds,
                "compile": compile_seconds,
                "step": min(turns),
                "lines": text.count("\n"),
                "loss": float(objective(params, batch)),
            }
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("then", type=Path, help="the other commit's `src`")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ways", nargs="+", default=WAYS, choices=WAYS)
    options = parser.parse_args()
    figures: dict[str, dict[str, list[dict[str, float]]]] = {}
    for turn in range(options.rounds):
        trees = {"now": HERE, "then": options.then.resolve()}
        for way in options.ways:
            for name in sorted(trees, reverse=bool(turn % 2)):
                environment = os.environ | {"PYTHONPATH": str(trees[name]), "OMP_NUM_THREADS": "1"}
                ran = subprocess.run(
                    [sys.executable, __file__, "--child", way],
                    env=environment,
                    stdout=subprocess.PIPE,
                    text=True,
                    check=True,
                )
                figure = json.loads(str(ran.stdout).splitlines()[-1])
                figures.setdefault(way, {}).setdefault(name, []).append(figure)
                print(turn, way, name, {k: round(v, 5) for k, v in figure.items()}, file=sys.stderr, flush=True)
    result = {}
    for way, by_tree in figures.items():
        result[way] = {}
        for what in ("trace", "compile", "step", "lines"):
            now, then = ([figure[what] for figure in by_tree[name]] for name in ("now", "then"))
            ratios = [a / b for a, b in zip(now, then, strict=True)]
            result[way][what] = {
                "ratio": statistics.median(ratios),
                "ratio_of_least": min(now) / min(then),
                "spread": [min(ratios), max(ratios)],
                "measured_seconds": statistics.median(now),
            }
    print(json.dumps({"benchmark": "against", "rounds": options.rounds, "load": os.getloadavg()[0], "ways": result}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2])
    else:
        main()

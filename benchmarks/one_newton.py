"""What scheduling costs inside an optimizer, whether it chooses well, and whether the choice follows the machines.

Each question within this run, in medians, after warm-up, waited for:

`overhead`  a step of `kfac`, `dual_newton` and `fisher_newton` with the default scheduler over a step with the solver
            that it chose as the only one; and with a scheduler whose choice bounds leave open (`open`), refreshed every
            five steps, over the same. Microseconds and ratios, per step, refreshes included.
`regret`    measured seconds of a step with the chosen candidate over those with the best of the candidates.
`winners`   under machines that make LU, Cholesky, CG, the explicit inverse or a quantum solver the fastest: who solves,
            and the steps to a loss, which must not grow by more than 15 %.

`price`     processor seconds of a step of `newton(objective)` over those of a step of Muon, which takes turns with it;
            and how many kernels a step runs, what they take, and what is left for starting them and for loops: from
            jax's profiler, the lower quartile of each kernel's durations times how often it runs.

Predicted and modelled seconds decide here; only measured ones are reported, but for the names of who was chosen.

    python benchmarks/one_newton.py [--repeats 7] [--steps 20] [--only overhead regret winners price]
        [--problems digits digits28 autoencoder autoencoder_minibatch] [--families kfac dual fisher]

Progress goes to stderr; the last line of stdout is one JSON object.
"""

import argparse
import collections
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import scipy.linalg  # noqa: F401  # jax factorises through it, and threadpoolctl sees only what is loaded
import threadpoolctl
from time_to_target_parts.fused import orders
from time_to_target_parts.problems import Problem, autoencoder, autoencoder_minibatch, digits, digits28

import qnewton as qn
from qnewton.hardware import KernelTimes

CANDIDATES = {"Inverse": qn.Inverse(), "Cholesky": qn.Cholesky(), "LU": qn.LU()}
# Of systems by the thousand, besides.
MANY = {"GaussJordan": qn.GaussJordan()}
SECONDS_PER_FLOP = {
    "inverse": 8e-10,
    "cholesky": 2e-10,
    "lu": 4e-10,
    "cg": 3e-7,
    "product": 2e-11,
    "substitution": 2e-10,
}
WINNERS = {
    "Inverse": {"inverse": 0.1},
    "Cholesky": {},
    "LU": {"lu": 0.1},
    "CG": {"cg": 1e-6},
    "QLSA(jennings2023v1)": {"gate": 1e-18},
}


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Training:
    """A step of an optimizer on a problem, compiled; many of them are one call."""

    def __init__(self, problem: Problem, optimizer: Any, steps: int, part: int | None = None):
        batch = problem.batch if part is None else jax.tree.map(lambda leaf: leaf[:part], problem.batch)
        objective, order = problem.objective, orders(problem, 1)

        def several(params: Any, state: Any, batch: Any) -> Any:
            def body(carry: Any, places: Any) -> Any:
                params, state = carry
                own = batch if places is None else jax.tree.map(lambda leaf: leaf[places], batch)
                loss, gradients = jax.value_and_grad(objective)(params, own)
                updates, state = optimizer.update(gradients, state, params, batch=own)
                return (optax.apply_updates(params, updates), state), loss

            return jax.lax.scan(body, (params, state), None if order is None else order[:steps], length=steps)

        self.steps, self.batch, self.start = steps, batch, problem.init(1)
        self.state = optimizer.init(self.start)
        self.run: Callable = jax.jit(several)
        (_, self.last), losses = jax.block_until_ready(self.run(self.start, self.state, batch))
        self.losses = np.asarray(losses)

    def seconds(self) -> float:
        """Of one step."""
        began = time.perf_counter()
        jax.block_until_ready(self.run(self.start, self.state, self.batch))
        return (time.perf_counter() - began) / self.steps

    def processor_seconds(self) -> float:
        """Of one step, all threads together."""
        began = time.process_time()
        self.seconds()
        return (time.process_time() - began) / self.steps

    @property
    def chosen(self) -> list[str]:
        """Who solves each group under the acting set."""
        return [plan.offers.names[int(plan.choice[0])] for plan in self.last.info.systems]


def medians(trainings: dict[str, Training], repeats: int) -> dict[str, float]:
    """Seconds of a step of each, all of them taking turns."""
    found: dict[str, list[float]] = {name: [] for name in trainings}
    for _ in range(repeats):
        for name, training in trainings.items():
            found[name].append(training.seconds())
    return {name: statistics.median(seconds) for name, seconds in found.items()}


def kfac(solver: Any) -> Callable[[Problem], Any]:
    return lambda problem: qn.kfac(problem.objective, solver=solver)


def dual(solver: Any) -> Callable[[Problem], Any]:
    return lambda problem: qn.dual_newton(problem.objective, solver=solver, sample=None)


def fisher(solver: Any) -> Callable[[Problem], Any]:
    return lambda problem: qn.fisher_newton(problem.objective, solver=solver, refresh=5)


# Of a problem the examples that a family is for.
FAMILIES = {"kfac": (kfac, None), "dual": (dual, 40), "fisher": (fisher, 256)}


PROBLEMS = {"digits": digits, "digits28": digits28}
PRICED = PROBLEMS | {"autoencoder": autoencoder, "autoencoder_minibatch": autoencoder_minibatch}


def overhead(problems: list[Problem], families: dict[str, Any], repeats: int, steps: int) -> dict[str, Any]:
    found = {}
    for problem in problems:
        for family, (make, part) in families.items():
            default = Training(problem, make(None)(problem), steps, part)
            names = set(default.chosen)
            trainings = {"scheduled": default}
            if len(names) == 1:
                only = (CANDIDATES | MANY)[names.pop()]
                trainings["fixed"] = Training(problem, make(only)(problem), steps, part)
            # Nobody's least is above another one's most: kappa is estimated at each refresh.
            both = qn.Hybrid([qn.Inverse(), qn.QLSA()], quantum=qn.QuantumMachine(1e-12))
            trainings["open"] = Training(problem, make(both)(problem), steps, part)
            trainings["open, fixed"] = Training(problem, make(qn.Inverse())(problem), steps, part)
            seconds = medians(trainings, repeats)
            entry: dict[str, Any] = {
                "chosen": default.chosen,
                "measured_us": {name: round(1e6 * value, 1) for name, value in seconds.items()},
            }
            for one, other in (("scheduled", "fixed"), ("open", "open, fixed")):
                if other in seconds:
                    entry[f"{one}_over_fixed"] = round(seconds[one] / seconds[other], 3)
                    entry[f"{one}_minus_fixed_us"] = round(1e6 * (seconds[one] - seconds[other]), 1)
            found[f"{family}, {problem.name}"] = entry
            say(f"overhead {family}, {problem.name}: {entry}")
    return found


def regret(problems: list[Problem], families: dict[str, Any], repeats: int, steps: int) -> dict[str, Any]:
    found = {}
    for problem in problems:
        for family, (make, part) in families.items():
            candidates = CANDIDATES | (MANY if family == "fisher" else {})
            trainings = {name: Training(problem, make(one)(problem), steps, part) for name, one in candidates.items()}
            trainings["scheduled"] = Training(problem, make(None)(problem), steps, part)
            seconds = medians(trainings, repeats)
            best = min(candidates, key=lambda name: seconds[name])
            entry = {
                "chosen": trainings["scheduled"].chosen,
                "best": best,
                "regret": round(seconds["scheduled"] / seconds[best], 3),
                "measured_us": {name: round(1e6 * value, 1) for name, value in seconds.items()},
            }
            found[f"{family}, {problem.name}"] = entry
            say(f"regret {family}, {problem.name}: {entry}")
    return found


def price(problems: list[Problem], repeats: int, steps: int) -> dict[str, Any]:
    found = {}
    for problem in problems:
        example = jax.tree.map(lambda leaf, size=problem.batch_size: leaf[:size], problem.batch)
        optimizers = {
            "newton()": qn.newton(problem.objective, example=example),
            "muon": optax.with_extra_args_support(optax.contrib.muon(0.02)),
        }
        trainings = {name: Training(problem, optimizer, steps) for name, optimizer in optimizers.items()}
        spent: dict[str, list[float]] = {name: [] for name in trainings}
        for _ in range(repeats):
            for name, training in trainings.items():
                spent[name].append(training.processor_seconds())
        middle = {name: 1e6 * statistics.median(values) for name, values in spent.items()}
        ours = kernels(trainings["newton()"], repeats)
        entry = {
            "processor_us": {name: round(value, 1) for name, value in middle.items()},
            "over_muon": round(middle["newton()"] / middle["muon"], 2),
            "kernels": ours,
            "besides_kernels_us": round(middle["newton()"] - ours["us"], 1),
        }
        found[problem.name] = entry
        say(f"price {problem.name}: {entry}")
    return found


def kernels(training: Training, repeats: int, shown: int = 12) -> dict[str, Any]:
    """What a step runs: events that hold no others, on whatever thread."""
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    durations: dict[str, list[float]] = collections.defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, profiler_options=options):
            for _ in range(repeats):
                training.seconds()
        (file,) = Path(folder).rglob("*.xplane.pb")
        for plane in jax.profiler.ProfileData.from_file(str(file)).planes:
            for line in plane.lines:
                if "XLAEigen" not in line.name:  # The threads that run programs.
                    continue
                events = [event for event in line.events if not event.name.startswith(("end: ", "ThunkExecutor"))]
                events.sort(key=lambda event: (event.start_ns, -event.duration_ns))
                ends = [event.start_ns + event.duration_ns for event in events]
                for event, end, following in zip(events, ends, [*events[1:], None], strict=True):
                    if following is None or following.start_ns >= end:
                        durations[event.name].append(event.duration_ns / 1e3)
    taken = repeats * training.steps
    each = {name: (len(own) / taken, float(np.percentile(own, 25))) for name, own in durations.items()}
    largest = sorted(each, key=lambda name: -each[name][0] * each[name][1])[:shown]
    return {
        "a_step": round(sum(times for times, _ in each.values()), 1),
        "us": round(sum(times * one for times, one in each.values()), 1),
        "largest": {name: [round(each[name][0], 2), round(each[name][1], 1)] for name in largest},
    }


def machine(changed: dict[str, float]) -> tuple[qn.ClassicalMachine, qn.QuantumMachine]:
    flops = {kernel: seconds * changed.get(kernel, 1.0) for kernel, seconds in SECONDS_PER_FLOP.items()}
    kernels = tuple((name, KernelTimes(1e3 * seconds, 0.0, seconds)) for name, seconds in sorted(flops.items()))
    return qn.ClassicalMachine("made up", "float32", kernels), qn.QuantumMachine(changed.get("gate", 1e-3))


def winners(problem: Problem, targets: dict[str, float], steps: int) -> dict[str, Any]:
    found = {}
    for family, (make, part) in FAMILIES.items():
        if family == "fisher":
            continue
        exact = Training(problem, make(None)(problem), steps, part)
        goal = steps_to(exact.losses, targets[family])
        for winner, changed in WINNERS.items():
            classical, quantum = machine(changed)
            solvers = [qn.Inverse(), qn.Cholesky(), qn.LU(), qn.CG(), qn.QLSA()]
            hybrid = qn.Hybrid(solvers, classical=classical, quantum=quantum)
            training = Training(problem, make(hybrid)(problem), steps, part)
            taken = steps_to(training.losses, targets[family])
            entry = {"chosen": training.chosen, "steps": taken, "steps_exact": goal, "loss": targets[family]}
            entry["follows"] = set(training.chosen) == {winner}
            found[f"{family}, {winner}"] = entry
            say(f"winners {family}, {winner}: {entry}")
    return found


def steps_to(losses: np.ndarray, target: float) -> int | None:
    below = np.flatnonzero(losses <= target)
    return int(below[0]) if below.size else None


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=20, help="steps of one measurement, refreshes included")
    parser.add_argument("--only", nargs="+", choices=("overhead", "regret", "winners", "price"))
    parser.add_argument(
        "--problems", nargs="+", choices=tuple(PRICED), default=list(PROBLEMS), help="the autoencoders for price alone"
    )
    parser.add_argument("--families", nargs="+", choices=tuple(FAMILIES), default=list(FAMILIES))
    options = parser.parse_args()
    families = {name: FAMILIES[name] for name in options.families}
    asked = options.only or ["overhead", "regret", "winners", "price"]
    names = [name for name in options.problems if name in PROBLEMS]
    result: dict[str, Any] = {"repeats": options.repeats, "steps": options.steps, "seconds": "measured"}
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        problems = [PROBLEMS[name]() for name in names] if {"overhead", "regret"} & set(asked) else []
        if "overhead" in asked:
            result["overhead"] = overhead(problems, families, options.repeats, options.steps)
        if "regret" in asked:
            result["regret"] = regret(problems, families, options.repeats, options.steps)
        if "winners" in asked:
            result["winners"] = winners(digits(), {"kfac": 0.01, "dual": 1e-3}, 60)
        if "price" in asked:
            priced = [PRICED[name]() for name in options.problems]
            result["price"] = price(priced, options.repeats, options.steps)
    print(json.dumps(result))


if __name__ == "__main__":
    main()

"""Workers against bare processes: the solves of an autoencoder's blocks, interleaved in one run.

    .venv/bin/python benchmarks/workers.py [--rounds 50] [--widths 64 32 16 8 16 32 64]

Each round solves the same damped Gauss-Newton blocks (float32, Cholesky, one BLAS thread each) in one bare process, in
two bare processes and by two workers on a local Ray, in an order that turns. The last line is one JSON object:

- `speedup_share`: median of the workers' speed-up over one process, over that of two bare processes; at least 0.8.
- `makespan_ratio`: median of realised over predicted makespan of the workers, over the same of the bare processes,
  which have the same predictions and assignment; at most 1.15.
- `simulated_p95`: 95th percentile of realised over predicted makespan on a simulated clock with the durations that were
  recorded, each round predicted by the medians of the ones before; at most 1.5.
- `overhead_share`: median share of a step of `newton` by two workers in which the driver was occupied with them: arrays
  put, solves sent, residuals checked; at most 0.05. `measured_overhead_seconds` and `measured_seconds_per_step` are
  what it is of.

Blocks travel as in a step: in parts where these are fewer bytes, which a process then forms, the bare ones too.

`benchmarks/soak.py --workers` kills workers of a training at random, by `kills` of this file.
"""

import argparse
import json
import multiprocessing
import os
import random
import signal
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import jax
import jax.numpy as jnp
import numpy as np
import optax

import qnewton as qn
from qnewton._conditioning import condition
from qnewton._curvature import Point
from qnewton._optim.elsewhere import travelling
from qnewton._scheduling.elsewhere import Courier
from qnewton._scheduling.makespan import Jobs, schedule
from qnewton._scheduling.sent import Answered, Sent
from qnewton._workers.host import THREADS, Host

EXAMPLES = 512


def network(key: Any, widths: list[int]) -> list[dict[str, jax.Array]]:
    keys = jax.random.split(key, len(widths) - 1)
    pairs = zip(keys, widths[:-1], widths[1:], strict=True)
    return [{"w": jax.random.normal(k, (a, b)) / np.sqrt(a), "b": jnp.zeros(b)} for k, a, b in pairs]


def model(params: list[dict[str, jax.Array]], x: jax.Array) -> jax.Array:
    for place, layer in enumerate(params):
        x = x @ layer["w"] + layer["b"]
        x = jnp.tanh(x) if place < len(params) - 1 else x
    return x


def data() -> tuple[jax.Array, jax.Array]:
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    x = jnp.asarray(digits.data[:EXAMPLES] / 16.0, jnp.float32)
    return x, x


class Collected:
    """A crew that keeps what it is sent, and solves nothing."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.calibrations: dict[str, Any] = {}

    def send(self, sent: Sent) -> None:
        self.sent.append(sent._replace(arrays=[np.array(array) for array in sent.arrays]))

    def wait(self, block: int) -> Answered | None:
        return None


def systems(widths: list[int]) -> list[Sent]:
    """The blocks of a step, as they are sent to workers."""
    objective = qn.Objective(model, lambda out, target: jnp.sum((out - target) ** 2, axis=-1) / 2)
    params, crew = network(jax.random.key(0), widths), Collected()
    curvature, hybrid = qn.GaussNewton(), qn.Hybrid([qn.Cholesky(fallback=True)], workers=crew)
    blocks = qn.per_layer(params)

    @jax.jit
    def sends(params: Any, batch: Any) -> jax.Array:
        courier = Courier(crew, [block.name for block in blocks], 0.1)
        gradients = jax.grad(objective)(params, batch)
        for place, block in enumerate(blocks):
            system = travelling(hybrid, curvature.system(Point.of(objective, params, batch), block))
            system = condition([qn.Damp(0.1)], system, jnp.ones(()))
            options = {} if system.eigenvalue_floor is None else {"eigenvalue_floor": system.eigenvalue_floor}
            courier.send(place, hybrid, system.operator, block.take(gradients), options)
        return courier.ticket

    jax.block_until_ready(sends(params, data()))
    jax.effects_barrier()
    return crew.sent


def bare(pipe: Any, packed: list[tuple[str, bytes]], arrays: list[list[np.ndarray]]) -> None:
    """A process that solves what it is told, and says how long each took."""
    host = Host()
    for key, program in packed:
        host.learn(key, program)
    pipe.send("ready")
    while (wanted := pipe.recv()) is not None:
        found = []
        for place in wanted:
            reply = host.solve(packed[place][0], 0, arrays[place])
            found.append(reply.ended_s - reply.started_s)
        pipe.send(found)


class Bare:
    """Two processes without a scheduler."""

    def __init__(self, sent: list[Sent]) -> None:
        context = multiprocessing.get_context("spawn")
        saved = {name: os.environ.get(name) for name in (*THREADS, "JAX_PLATFORMS")}
        os.environ.update(THREADS | {"JAX_PLATFORMS": "cpu"})
        packed = [(one.program.key, one.program.packed) for one in sent]
        self.pipes, self.processes = [], []
        for _ in range(2):
            here, there = context.Pipe()
            process = context.Process(target=bare, args=(there, packed, [one.arrays for one in sent]), daemon=True)
            process.start()
            self.pipes.append(here)
            self.processes.append(process)
        for name, value in saved.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        for pipe in self.pipes:
            pipe.recv()

    def run(self, shares: list[list[int]]) -> tuple[float, dict[int, float]]:
        """Seconds until all are done, and of each solve."""
        begun = time.perf_counter()
        for pipe, share in zip(self.pipes, shares, strict=False):
            pipe.send(share)
        found: dict[int, float] = {}
        for pipe, share in zip(self.pipes, shares, strict=False):
            found |= dict(zip(share, pipe.recv(), strict=True))
        return time.perf_counter() - begun, found

    def close(self) -> None:
        for pipe, process in zip(self.pipes, self.processes, strict=True):
            pipe.send(None)
            process.join()


def measure(rounds: int, widths: list[int]) -> dict[str, Any]:
    sent = systems(widths)
    print("rows of the blocks:", *(one.program.n for one in sent))
    everything = list(range(len(sent)))
    control = Bare(sent)
    with qn.Workers(cpus=2) as workers:
        known = dict.fromkeys(everything, 1.0)
        history: list[dict[int, float]] = []

        def by_workers() -> float:
            begun = time.perf_counter()
            for one in sent:
                workers.send(one._replace(seconds=np.asarray([known[one.block]])))
            for one in sent:
                assert workers.wait(one.block) is not None
            return time.perf_counter() - begun

        for _ in range(3):  # compile, everywhere
            control.run([everything, everything])
            by_workers()
        _, seconds = control.run([everything, []])
        known = seconds
        rows: list[dict[str, float]] = []
        workers.taken()
        for number in range(rounds + 2):
            table = np.repeat([[known[k]] for k in everything], 2, axis=1)
            plan = schedule(Jobs.of(table), exact_up_to=0)
            shares = [[k for k in everything if plan.assignment[k] == place] for place in range(2)]
            row: dict[str, float] = {}
            parts: list[Callable[[], None]] = [
                lambda row=row: row.update(one=control.run([everything, []])[0]),
                lambda row=row, shares=shares: row.update(two=control.run(shares)[0]),
                lambda row=row: row.update(workers=by_workers()),
            ]
            for part in parts[number % 3 :] + parts[: number % 3]:
                part()
            attempts = [one for one in workers.taken() if one.outcome == "solved"]
            places = {one.name: one.block for one in sent}
            durations = {places[one.block]: (one.ended_s or 0.0) - (one.started_s or 0.0) for one in attempts}
            row["predicted"] = plan.makespan_s
            loads = [sum(durations[k] for k in share) for share in shares]
            row["simulated"] = max(loads) / plan.makespan_s
            history.append(durations)
            known = {k: statistics.median(one[k] for one in history[-9:]) for k in everything}
            if number >= 2:  # in the first ones predictions are those of one process alone
                rows.append(row)
        control.close()
        return summary(rows) | overhead(workers, widths, rounds)


def summary(rows: list[dict[str, float]]) -> dict[str, Any]:
    bare_speedup = [row["one"] / row["two"] for row in rows]
    speedup = [row["one"] / row["workers"] for row in rows]
    share = [own / other for own, other in zip(speedup, bare_speedup, strict=True)]
    return {
        "rounds": len(rows),
        "load": os.getloadavg()[0],
        "bare_speedup": statistics.median(bare_speedup),
        "workers_speedup": statistics.median(speedup),
        "speedup_share": statistics.median(share),
        "makespan_ratio": statistics.median(row["workers"] / row["two"] for row in rows),
        "simulated_p95": float(np.quantile([row["simulated"] for row in rows], 0.95)),
        "measured_seconds_per_round": statistics.median(row["workers"] for row in rows),
    }


class Timed:
    """Workers, and how long the driver was occupied with them rather than waiting."""

    def __init__(self, workers: qn.Workers) -> None:
        self.seconds, self._workers, self.calibrations = 0.0, workers, workers.calibrations
        engine = workers._engine
        ready = engine.ready

        def waits(*given: Any) -> Any:
            begun = time.perf_counter()
            found = ready(*given)
            self.seconds -= time.perf_counter() - begun
            return found

        engine.ready = waits  # type: ignore[method-assign]

    def send(self, sent: Sent) -> None:
        begun = time.perf_counter()
        self._workers.send(sent)
        self.seconds += time.perf_counter() - begun

    def wait(self, block: int) -> Answered | None:
        begun = time.perf_counter()
        found = self._workers.wait(block)
        self.seconds += time.perf_counter() - begun
        return found


def overhead(workers: qn.Workers, widths: list[int], steps: int) -> dict[str, float]:
    timed = Timed(workers)
    objective = qn.Objective(model, lambda out, target: jnp.sum((out - target) ** 2, axis=-1) / 2)
    solver = qn.Hybrid([qn.Cholesky(fallback=True)], workers=timed)
    optimizer = qn.newton(objective, partition=qn.per_layer, solver=solver)
    params, batch = network(jax.random.key(0), widths), data()
    state = optimizer.init(params)

    @jax.jit
    def step(params: Any, state: Any) -> Any:
        gradients = jax.grad(objective)(params, batch)
        updates, state = optimizer.update(gradients, state, params, batch=batch)
        return optax.apply_updates(params, updates), state

    rows = []
    for _ in range(steps + 2):
        timed.seconds, begun = 0.0, time.perf_counter()
        params, state = jax.block_until_ready(step(params, state))
        rows.append((timed.seconds, time.perf_counter() - begun))
    return {
        "overhead_share": statistics.median(own / whole for own, whole in rows[2:]),
        "measured_overhead_seconds": statistics.median(own for own, _ in rows[2:]),
        "measured_seconds_per_step": statistics.median(whole for _, whole in rows[2:]),
    }


def kills(count: int, seed: int) -> dict[str, Any]:
    """Kill workers of a training at random moments; compare with a training by workers whom nobody disturbs.

    All workers run one program, so that losses are equal bit for bit until the driver solves a block alone, by the
    program of the whole step; from then on they are compared to a thousandth.
    """
    objective = qn.Objective(model, lambda out, target: jnp.sum((out - target) ** 2, axis=-1) / 2)
    widths = [64, 16, 8, 16, 64]

    def trained(workers: Any, steps: int, more: Callable[[int], bool]) -> list[float]:
        solver = qn.Hybrid([qn.Cholesky(fallback=True)], workers=workers)
        optimizer = qn.newton(objective, partition=qn.per_layer, solver=solver)
        params, batch = network(jax.random.key(0), widths), data()
        state = optimizer.init(params)

        @jax.jit
        def step(params: Any, state: Any) -> Any:
            value, gradients = jax.value_and_grad(objective)(params, batch)
            updates, state = optimizer.update(gradients, state, params, batch=batch)
            return optax.apply_updates(params, updates), state, value

        losses: list[float] = []
        while len(losses) < steps or more(len(losses)):
            params, state, value = jax.block_until_ready(step(params, state))
            losses.append(float(value))
        return losses

    draw, killed, over = random.Random(seed), [0], threading.Event()
    with qn.Workers(cpus=2, grace_s=5.0) as workers:
        engine: Any = workers._engine
        answers, get = [0], engine.get

        def counted(handle: Any) -> Any:
            reply = get(handle)
            answers[0] += 1
            return reply

        engine.get = counted

        def kill() -> None:
            # After some answers, or a busy machine would see no worker live until it has solved anything.
            wanted = draw.randint(1, 12)
            while not over.wait(draw.uniform(0.0, 0.5)) and killed[0] < count:
                alive = list(engine.processes.values())
                if answers[0] >= wanted and alive and killed_one(draw.choice(alive)):
                    killed[0] += 1
                    wanted = answers[0] + draw.randint(1, 12)

        thread = threading.Thread(target=kill)
        thread.start()
        disturbed = trained(workers, 30, lambda done: killed[0] < count)
        over.set()
        thread.join()
        attempts = workers.taken()
    with qn.Workers(cpus=2) as others:
        undisturbed = trained(others, len(disturbed), lambda done: False)
    # The loss of a step is that before it.
    alike = 1 + min((one.step for one in attempts if one.outcome == "driver"), default=len(disturbed))
    pairs = list(zip(disturbed, undisturbed, strict=True))
    kinds = {kind: sum(one.outcome == kind for one in attempts) for kind in {one.outcome for one in attempts}}
    return {
        "kills": killed[0],
        "steps": len(disturbed),
        "outcomes": kinds,
        "lost": len(disturbed) * (len(widths) - 1) - kinds.get("solved", 0) - kinds.get("driver", 0),
        "alike_steps": min(alike, len(disturbed)),
        "wrong": sum(own != other for own, other in pairs[:alike])
        + sum(abs(own - other) > 1e-3 * abs(other) for own, other in pairs[alike:]),
    }


def killed_one(number: int) -> bool:
    try:
        os.kill(number, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 32, 16, 8, 16, 32, 64])
    given = parser.parse_args()
    print(json.dumps(measure(given.rounds, given.widths)))


if __name__ == "__main__":
    main()

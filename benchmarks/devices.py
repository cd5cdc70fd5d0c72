"""Two processes with one device each against one process, on the parts of a step and on the whole of it.

For an autoencoder and for a transformer layer, both trained by `kfac` with the batch spread over the devices:

`curvature`     the Kronecker factors of all layers.
`block solves`  their inverses, each made by its owner, and the solves.
`step`          five steps with one refresh: loss, gradient, trial and all.

A speed-up is the seconds of one process over those of two. The host is shared, so two bare processes, each with one
thread and nothing to exchange, are timed in the same rounds: how much more they do than one is what can be had, and
each speed-up is given as a share of it. `factorised` counts the matrices that one process factorises in a set-up, and
that two do together: none twice, where both are the same. Every process has one BLAS and one XLA thread. Medians of
interleaved rounds; all seconds are measured.

    python benchmarks/devices.py [--rounds 7] [--tasks autoencoder transformer]

Progress goes to stderr; the last line of stdout is one JSON object.
"""

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

TARGETS = {"block solves": 0.85, "step": 0.7}
PHASES = ("curvature", "block solves", "step")
ONE_THREAD = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC", "PJRT_NPROC"), "1"),
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
}


class Worker:
    """A process that runs what it is asked for."""

    def __init__(self, process: int, processes: int, port: int, task: str):
        program = Path(__file__).parent / "devices_parts" / "worker.py"
        self._running = subprocess.Popen(
            [sys.executable, str(program), str(process), str(processes), str(port), task],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **ONE_THREAD},
        )
        self.owners: list[int] | None = None

    def wait(self) -> None:
        self.owners = self._answer()["owners"]

    def ask(self, what: str) -> None:
        assert self._running.stdin is not None
        self._running.stdin.write(f"{what}\n")
        self._running.stdin.flush()

    def seconds(self) -> float:
        return float(self._answer()["seconds"])

    def made(self) -> int:
        return int(self._answer()["made"])

    def end(self) -> None:
        # Not waited for here: processes of one training end together.
        assert self._running.stdin is not None
        self._running.stdin.close()

    def wait_for_end(self) -> None:
        self._running.wait(60)

    def kill(self) -> None:
        self._running.kill()

    def _answer(self) -> dict[str, Any]:
        assert self._running.stdout is not None
        for line in self._running.stdout:
            # Libraries of collectives greet on standard output.
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError("a process ended before it answered")


def together(workers: list[Worker], what: str) -> float:
    """Until the last of them is done."""
    for worker in workers:
        worker.ask(what)
    return max(worker.seconds() for worker in workers)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def timed(task: str, rounds: int) -> dict[str, Any]:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    one, two = [Worker(0, 1, 0, task)], [Worker(k, 2, port, task) for k in range(2)]
    bare = [Worker(k, 0, 0, task) for k in range(2)]
    try:
        for worker in (*one, *two, *bare):
            worker.wait()
        say(f"{task}: compiled")
        taken: dict[str, list[tuple[float, float, float]]] = {phase: [] for phase in PHASES}
        for _ in range(rounds):
            for phase in PHASES:
                alone, pair = together(bare[:1], "bare"), together(bare, "bare")
                taken[phase].append((together(one, phase), together(two, phase), 2 * alone / pair))
        for worker in (*one, *two):
            worker.ask("count")
        factorised = {"one": sum(worker.made() for worker in one), "two": sum(worker.made() for worker in two)}
        for worker in (*one, *two, *bare):
            worker.end()
        for worker in (*one, *two, *bare):
            worker.wait_for_end()
    finally:
        for worker in (*one, *two, *bare):
            worker.kill()
    owners = two[0].owners
    assert owners is not None
    return {
        "phases": {phase: judged(phase, samples) for phase, samples in taken.items()},
        "owners": owners,
        "made by every device": sum(owner < 0 for owner in owners),
        "set-ups": len(owners),
        "factorised": factorised,
        "none twice": factorised["one"] == factorised["two"] and min(owners) >= 0,
    }


def judged(phase: str, samples: list[tuple[float, float, float]]) -> dict[str, Any]:
    alone, pair, bare = (statistics.median(values) for values in zip(*samples, strict=True))
    share = statistics.median(a / b / c for a, b, c in samples)
    say(f"  {phase}: {alone:.3f} s alone, {pair:.3f} s by two, bare {bare:.2f}, share {share:.2f}")
    found = {"one_s": alone, "two_s": pair, "speedup": alone / pair, "bare_speedup": bare, "share": share}
    return found | ({"target": TARGETS[phase], "met": share >= TARGETS[phase]} if phase in TARGETS else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tasks", nargs="+", default=["autoencoder", "transformer"])
    given = parser.parse_args()
    found = {task: timed(task, given.rounds) for task in given.tasks}
    print(json.dumps({"cores": os.cpu_count(), "machine": platform.processor() or platform.machine(), "tasks": found}))


if __name__ == "__main__":
    main()

"""One process: runs what its standard input asks for, and answers in seconds, one line of JSON each.

Run as `python worker.py PROCESS PROCESSES PORT TASK`; with 0 processes it runs bare work without any training.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import jax

PROCESS, PROCESSES, PORT, TASK = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
if PROCESSES > 1:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"localhost:{PORT}", PROCESSES, PROCESS)

import jax.numpy as jnp  # noqa: E402
from jax.sharding import AxisType  # noqa: E402


def bare() -> dict[str, Callable[[], Any]]:
    """What a training does, without one: matrix products and factorisations, about half a second."""
    a = jnp.eye(700) * 700 + jax.random.normal(jax.random.key(0), (700, 700))

    @jax.jit
    def work(a: Any) -> Any:
        def again(_: Any, b: Any) -> Any:
            return jnp.linalg.inv(b @ b.T / 700 + jnp.eye(700)) + a

        return jax.lax.fori_loop(0, 12, again, a)

    jax.block_until_ready(work(a))
    return {"bare": lambda: work(a)}


def main() -> None:
    owners, counting = None, None
    if PROCESSES == 0:
        runs = bare()
    else:
        from tasks import TASKS, Phases

        mesh = jax.make_mesh((PROCESSES,), ("d",), axis_types=(AxisType.Auto,))
        phases = Phases(TASKS[TASK](), mesh)
        runs, owners, counting = phases.runs, phases.owners, phases.counting
    print(json.dumps({"ready": True, "owners": owners}), flush=True)
    for line in sys.stdin:
        if line.strip() == "count" and counting is not None:
            print(json.dumps({"made": counting()}), flush=True)
            continue
        run = runs[line.strip()]
        start = time.perf_counter()
        jax.block_until_ready(run())
        print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)


if __name__ == "__main__":
    main()

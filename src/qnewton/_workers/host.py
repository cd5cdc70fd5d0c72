"""What runs in the process of a worker."""

import os
import pickle
import platform
import socket
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from .engine import Reply

THREADS = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}
"""Environment of a worker on one core."""


def versions() -> dict[str, str]:
    """Versions that driver and workers share, since programs and arrays travel between them."""
    packages = ("qnewton", "jax", "jaxlib", "equinox", "lineax", "numpy", "ray")
    return {"python": platform.python_version()} | {name: _version(name) for name in packages}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


class Host:
    """A worker: learns programs, and solves with them."""

    def __init__(self):
        """Know nothing yet."""
        self._programs: dict[str, Any] = {}
        self._compiled: dict[tuple[str, int], Callable] = {}

    def hello(self, dtype: str = "float32") -> dict[str, Any]:
        """Return who this is: versions, place, and the time of a matrix product here."""
        from .._hardware.measure import gemm_probe, median_seconds

        return {
            "versions": versions(),
            "node": socket.gethostname(),
            "pid": os.getpid(),
            "probe_s": median_seconds(gemm_probe(dtype), 15, 0.1),
        }

    def reached(self, arrays: Sequence[np.ndarray]) -> int:
        """Return how many bytes came, all of which were read."""
        return sum(int(np.count_nonzero(array)) for array in arrays)

    def calibrate(self, packed: bytes, dtype: str, sizes: Sequence[int] | None) -> Any:
        """Return the classical machine that this is.

        Args:
            packed: the candidates.
            dtype: of the systems.
            sizes: rows that are measured; None: nothing is, and a profile is scaled by the probe.
        """
        import jax

        from .._scheduling.calibration import calibrate, rated_once

        solvers = pickle.loads(packed)
        with jax.enable_x64(dtype == "float64"):
            if sizes is None:
                return rated_once(tuple(solvers), dtype, forming=True)
            return calibrate(solvers, dtype=dtype, sizes=sizes, forming=True)

    def learn(self, key: str, packed: bytes) -> None:
        """Take up a program."""
        from .._scheduling.sent import Program

        self._programs[key] = Program.unpacked(packed)

    def solve(self, key: str, place: int, arrays: Sequence[np.ndarray]) -> Reply:
        """Solve one system.

        Args:
            key: of the program.
            place: of the candidate.
            arrays: the numbers of the system.
        """
        started = time.time()
        value, steps, executed = self._carried_out(key, place, arrays)
        return Reply(
            np.asarray(value),
            int(steps),
            float(executed.queries),
            float(executed.success_probability),
            int(executed.outcome),
            started,
            time.time(),
        )

    def _carried_out(self, key: str, place: int, arrays: Sequence[np.ndarray]) -> Any:
        import jax

        program = self._programs[key]
        with jax.enable_x64(program.dtype == "float64"):
            if (key, place) not in self._compiled:
                self._compiled[key, place] = jax.jit(lambda given: program.solve(place, given))
            return jax.block_until_ready(self._compiled[key, place](list(arrays)))


def apart(worker: str, own: dict[str, str], theirs: dict[str, str]) -> str:
    """Return what is wrong with the versions of a worker; empty if nothing is."""
    other = [name for name in own if own[name] != theirs.get(name)]
    if not other:
        return ""
    listed = "; ".join(f"{name} {own[name]} here and {theirs.get(name, 'none')} there" for name in other)
    return (
        f"the worker {worker} has other versions than the driver: {listed}. Programs travel between them, so install "
        "the same ones on both"
    )

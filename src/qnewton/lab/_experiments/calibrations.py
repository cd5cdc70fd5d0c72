"""The calibration snapshot that a run predicts with: its source, its record, and its learned factors."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax

from ..._hardware import (
    ClassicalMachine,
    StoredCalibration,
    calibration_environment,
    check_environment,
    load_calibration,
    next_factors,
    store_calibration,
)
from ..._hardware import read_calibration as read_kept
from ..._pricing.price import classical_workload
from ..._scheduling import calibrate
from ..._scheduling.calibration import rated_once
from ..._scheduling.conditioned import Conditioned
from ..._solvers import AbstractSolver
from .._runfile import Calibration, KernelRecord, KernelSample, StageSeconds, read_calibration
from . import build
from .estimates import stacked_estimate
from .provenance import machine
from .saved import SavedRun, learned_factors, measured_machine


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A calibration, frozen for a run.

    Attributes:
        machine: as measured.
        learned: factors on its kernels.
        environment: what it holds for.
        source: `measured`, `profile`, or the file that it was read from.
    """

    machine: ClassicalMachine
    learned: dict[str, float]
    environment: dict[str, Any]
    source: str

    @property
    def corrected(self) -> ClassicalMachine:
        """Machine that predictions use."""
        return self.machine.corrected(self.learned)

    def record(self, stages: StageSeconds, *, shared: bool) -> Calibration:
        """Return the record for `calibration.json`, with every digit that a prediction depends on.

        The caller adds the measuring time.

        Args:
            stages: measured seconds of everything but the solves.
            shared: whether an earlier training of the process measured them.
        """
        return Calibration(
            machine=machine(),
            source=self.source,
            basis=self.machine.basis,
            environment=self.environment,
            dtype=self.machine.dtype,
            gemm_seconds=self.machine.gemm_seconds,
            kernels=kernel_records(self.machine, self.learned),
            stages=stages,
            stages_shared=shared,
            measured_seconds=0.0,
        )


def kernel_records(machine: ClassicalMachine, learned: Mapping[str, float]) -> dict[str, KernelRecord]:
    """Return what a machine's kernels take, with the factors that were learned."""
    return {
        kernel: KernelRecord(
            seconds_per_call=times.seconds_per_call,
            seconds_per_byte=times.seconds_per_byte,
            seconds_per_flop=times.seconds_per_flop,
            learned_factor=learned.get(kernel, 1.0),
            samples=tuple(
                KernelSample(n=n, measured_seconds=measured, predicted_seconds=predicted)
                for n, measured, predicted in times.samples
            ),
            bends=times.bends,
            worst_relative_error=times.worst_relative_error if times.samples else None,
        )
        for kernel, times in machine.kernels
    }


def snapshot(
    source: str,
    solvers: Sequence[AbstractSolver],
    *,
    dtype: str,
    blas_threads: int,
    sizes: Sequence[int],
    forming: bool = False,
) -> Snapshot:
    """The calibration of a run.

    Args:
        source: `profile`; `measure`; `kept`, the newest of `qnewton calibrate` that fits; or a file: one that it kept,
            `calibration.json` of a run, or that run's directory.
        solvers: the candidates, each of whose kernels must be in it.
        dtype: of the systems.
        blas_threads: that dense factorisations get.
        sizes: rows of the systems that are measured.
        forming: whether forming blocks is measured in any case.

    Raises:
        ValueError, OSError: if there is none, if it lacks a candidate, or if it belongs to another machine.
    """
    here = calibration_environment(dtype, blas_threads)
    if source == "profile":
        return Snapshot(rated_once(tuple(solvers), dtype, forming=forming), {}, here, "profile")
    if source == "measure":
        return Snapshot(calibrate(solvers, dtype=dtype, sizes=sizes, forming=forming), {}, here, "measured")
    kernels = kernels_of(solvers)
    if source == "kept":
        stored = load_calibration(here, kernels)
        if stored is None:
            raise ValueError(
                "--calibration kept: there is no calibration of this machine, these versions, "
                f"{dtype} and {blas_threads} BLAS threads with {', '.join(kernels)}: run `qnewton calibrate --solvers "
                f"{' '.join(k for k in kernels if k != 'forming')} --dtype {dtype} --blas-threads {blas_threads}`, or "
                "use --calibration measure"
            )
        return _stored(stored)
    found = _from_file(Path(source))
    check_environment(found.environment, here, f"--calibration {source}")
    missing = set(kernels) - {kernel for kernel, _ in found.machine.kernels}
    if missing:
        raise ValueError(
            f"--calibration {source} lacks {', '.join(sorted(missing))}: calibrate with every candidate, or leave them "
            "away"
        )
    return found


def frozen_snapshot(record: Calibration) -> Snapshot:
    """Return the snapshot in `calibration.json`, as `Snapshot.record` wrote it, to the last digit."""
    return Snapshot(measured_machine(record), learned_factors(record), record.environment, record.source)


def _from_file(path: Path) -> Snapshot:
    if path.is_dir() or _is_of_a_run(path):
        return dataclasses.replace(frozen_snapshot(read_calibration(path)), source=str(path))
    return _stored(read_kept(path))


def _stored(kept: StoredCalibration) -> Snapshot:
    return Snapshot(kept.machine, dict(kept.learned), kept.environment, str(kept.path))


def _is_of_a_run(path: Path) -> bool:
    """Whether a file is a run's record rather than one that `qnewton calibrate` kept, which has a version."""
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and "stages" in content and "schema_version" not in content


def kernels_of(solvers: Sequence[AbstractSolver]) -> tuple[str, ...]:
    """Return the kernels that predictions for these candidates need."""
    classical = [solver for solver in solvers if not solver.capabilities.quantum]
    names = {KERNELS[type(solver).__name__] for solver in classical}
    free = [solver.capabilities.matrix_free for solver in classical]
    own = any(isinstance(solver, Conditioned) for solver in solvers)
    return tuple(sorted(names | ({"forming"} if own or (any(free) and not all(free)) else set())))


KERNELS = {
    "Cholesky": "cholesky",
    "LU": "lu",
    "Inverse": "inverse",
    "GaussJordan": "gauss-jordan",
    "Eigh": "eigh",
    "CG": "cg",
    "MINRES": "minres",
    "Dual": "dual",
}


def learn(saved: SavedRun, directory: Path | None = None) -> tuple[StoredCalibration, dict[str, int]]:
    """Return the next snapshot: the run's own, corrected by its timed solves and stored for later runs.

    Args:
        saved: a run of this machine with timed solves.
        directory: where calibrations are kept; None: the user's.

    Returns:
        It, and how many solves of each kernel it learned from.

    Raises:
        ValueError: if the run belongs to another machine, timed nothing, or predicted by a profile.
    """
    if saved.measured.basis != "measured":
        raise ValueError(
            f"{saved.path} predicted by the {saved.measured.basis}, and there is no measurement to correct: train with "
            "--calibration measure, or kept, and learn from that"
        )
    environment, training = saved.calibration.environment, saved.options.training
    here = calibration_environment(training.dtype, training.blas_threads)
    check_environment(environment, here, f"the calibration of {saved.path}")
    with jax.enable_x64(training.dtype == "float64"):
        ratios = _ratios(saved)
    if not ratios:
        raise ValueError(f"{saved.path} timed no solve: train with --time-solves 5, for example, and learn from that")
    factors = next_factors(saved.learned, ratios)
    stored = store_calibration(saved.measured, environment, directory, factors)
    return stored, {kernel: len(own) for kernel, own in ratios.items()}


def _ratios(saved: SavedRun) -> dict[str, list[float]]:
    """Return, per kernel, measured over predicted seconds, for the iterations taken, at the calibration's speed."""
    solvers = {solver.name: solver for solver in build.make_solvers(saved.options.scheduling)}
    machine, found = saved.measured, {}
    for lines in saved.steps:
        for line in lines:
            for name, timed in line.timed.items():
                solver = solvers[name]
                if not (line.formed or solver.capabilities.matrix_free):
                    continue  # What forming took is in the seconds, too.
                estimate = jax.tree.map(lambda leaf: leaf[0], stacked_estimate([line], machine.dtype))
                workload = classical_workload(solver, estimate)
                workload = eqx.tree_at(lambda w: w.steps, workload, float(timed.iterations))
                speed = 1.0
                if machine.gemm_seconds and line.probe_seconds:
                    speed = machine.gemm_seconds / line.probe_seconds
                ratio = timed.measured_seconds * speed / float(machine.seconds(workload, formed=bool(line.formed)))
                if ratio > 0:
                    found.setdefault(machine.kernel_of(workload, formed=bool(line.formed)), []).append(ratio)
    return found
